#include "tests/support/chaos/traffic.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "tests/support/chaos/call.h"
#include "tests/support/history/linearizable.h"

#define ACTIVE           16
#define RETIRED_AT       160
#define RETIRED_UNKNOWN  8 /* unknown outcomes make the checker's work grow fast */
#define STEPS_MAX        UINT64_C(3000000)
#define FINAL_TRIES      600
#define FINAL_TIMEOUT_MS 10000
#define RETRY_MS         20
#define PIPELINE         6
#define PIPELINE_ONE_IN  10
#define PRINTED_MAX      5

struct tracked {
    unsigned number;
    enum call_family family;
    char name[40];
    struct operation *operations; /* its texts are its own */
    size_t count, capacity;
    unsigned unknown;
};

struct sample {
    uint64_t called_us, returned_us;
    enum call_outcome outcome;
};

struct client_thread {
    struct traffic *traffic;
    pthread_t thread;
    unsigned index;
    struct random random;
    redisContext *context;
    uint64_t timeout_ms;
    uint64_t sequence;
    struct tracked *own; /* the key of its pipelines */
};

struct traffic {
    unsigned number;      /* of this program's traffics: each has keys of its own */
    pthread_mutex_t lock; /* all but the clients and what is set before they start */
    unsigned nports;
    uint16_t ports[CLUSTER_PROXIES_MAX];
    unsigned period_ms; /* of one client */
    unsigned nclients;
    struct client_thread clients[TRAFFIC_CLIENTS_MAX];
    struct tracked **keys;
    size_t nkeys, keys_capacity;
    struct tracked *active[ACTIVE];
    struct sample *samples;
    size_t nsamples, samples_capacity;
    uint64_t counts[CALL_OUTCOMES];
    uint64_t given_up;
    atomic_bool is_stopped;
};

/* --- keys ------------------------------------------------------------------------------------ */

static struct tracked *add_key(struct traffic *traffic)
{
    struct tracked *key = mem_zalloc(sizeof(*key));
    key->number = (unsigned)traffic->nkeys;
    key->family = (enum call_family)(key->number % CALL_FAMILIES);
    (void)snprintf(key->name, sizeof(key->name), "{k%u.%u}:%s", traffic->number, key->number,
                   call_family_name(key->family));
    MEM_GROW(traffic->keys, traffic->nkeys, traffic->keys_capacity);
    traffic->keys[traffic->nkeys++] = key;
    return key;
}

static struct tracked *choose_key(struct traffic *traffic, struct random *random)
{
    unsigned i = (unsigned)random_below(random, ACTIVE);
    (void)pthread_mutex_lock(&traffic->lock);
    struct tracked *key = traffic->active[i];
    if (key->count >= RETIRED_AT || key->unknown >= RETIRED_UNKNOWN) {
        key = traffic->active[i] = add_key(traffic);
    }
    (void)pthread_mutex_unlock(&traffic->lock);
    return key;
}

static struct tracked *choose_own_key(struct client_thread *client)
{
    (void)pthread_mutex_lock(&client->traffic->lock);
    if (client->own == NULL || client->own->count >= RETIRED_AT ||
        client->own->unknown >= RETIRED_UNKNOWN) {
        client->own = add_key(client->traffic);
    }
    (void)pthread_mutex_unlock(&client->traffic->lock);
    return client->own;
}

static void add_operation(struct tracked *key, const struct call *call, unsigned client)
{
    MEM_GROW(key->operations, key->count, key->capacity);
    bool is_known = call->outcome == CALL_ANSWERED;
    key->operations[key->count++] =
        (struct operation){.called_us = call->called_us,
                           .returned_us = call->returned_us,
                           .command = mem_strdup(call->command),
                           .result = is_known ? mem_strdup(call->result) : NULL,
                           .client = client};
    key->unknown += is_known ? 0 : 1;
}

static void record(struct traffic *traffic, struct tracked *key, const struct call *call,
                   unsigned client)
{
    (void)pthread_mutex_lock(&traffic->lock);
    if (!call->is_pipelined) {
        MEM_GROW(traffic->samples, traffic->nsamples, traffic->samples_capacity);
        traffic->samples[traffic->nsamples++] =
            (struct sample){call->called_us, call->returned_us, call->outcome};
    }
    traffic->counts[call->outcome]++;
    traffic->given_up += call->is_given_up;
    if (call->outcome == CALL_ANSWERED ||
        (call->outcome == CALL_UNKNOWN && call_writes(call->command))) {
        add_operation(key, call, client);
    }
    if (call->outcome == CALL_STRANGE && traffic->counts[CALL_STRANGE] <= PRINTED_MAX) {
        (void)fprintf(stderr, "traffic: %s %s was answered with %s\n", key->name, call->command,
                      call->result);
    }
    (void)pthread_mutex_unlock(&traffic->lock);
}

/* --- the clients ----------------------------------------------------------------------------- */

static struct timeval time_of_ms(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static bool connect_somewhere(struct client_thread *client)
{
    const struct traffic *traffic = client->traffic;
    if (client->context != NULL) {
        return true;
    }
    uint16_t port = traffic->ports[random_below(&client->random, traffic->nports)];
    client->context = redisConnectWithTimeout("127.0.0.1", port, time_of_ms(1000));
    if (client->context != NULL && client->context->err == 0) {
        (void)redisSetTimeout(client->context, time_of_ms(client->timeout_ms));
        return true;
    }
    if (client->context != NULL) {
        redisFree(client->context);
        client->context = NULL;
    }
    return false;
}

static void send_one(struct client_thread *client, struct tracked *key, struct call *call)
{
    call->called_us = clock_now_us();
    if (connect_somewhere(client)) {
        call_send(call, &client->context, key->name);
    } else {
        call->outcome = CALL_REFUSED; /* never sent */
    }
    call->returned_us = clock_now_us();
}

/* Several commands at once to a key that only this client uses: they must be executed as they were
 * sent. Nobody else sees the key, so each may be put down as begun when the one before had ended.
 */
static void send_many(struct client_thread *client)
{
    struct traffic *traffic = client->traffic;
    struct call calls[PIPELINE];
    struct tracked *key = choose_own_key(client);
    uint64_t start_us = clock_now_us();
    bool is_connected = connect_somewhere(client);
    for (unsigned i = 0; i < PIPELINE; i++) {
        call_choose(&calls[i], key->family, &client->random, client->index, ++client->sequence);
        if (is_connected) {
            call_append(&calls[i], client->context, key->name);
        }
    }
    for (unsigned i = 0; i < PIPELINE; i++) {
        calls[i].outcome = CALL_REFUSED;
        if (is_connected) {
            call_take(&calls[i], &client->context);
        }
        calls[i].is_given_up |= i > 0 && calls[i - 1].is_given_up; /* of the same connection */
        calls[i].is_pipelined = true;
        calls[i].called_us = start_us + 2 * (uint64_t)i;
        calls[i].returned_us = calls[i].called_us + 1;
    }
    while (clock_now_us() <= start_us + 2 * (uint64_t)PIPELINE) {
        /* The next one begins after what was put down for these. */
    }
    for (unsigned i = 0; i < PIPELINE; i++) {
        record(traffic, key, &calls[i], client->index);
        call_fini(&calls[i]);
    }
}

static void *run_client(void *argument)
{
    struct client_thread *client = argument;
    struct traffic *traffic = client->traffic;
    /* An impatient client leaves a write on its way; a patient one sees what became of it. */
    client->timeout_ms = client->index % 3 == 0 ? 400 : 5000;
    while (!atomic_load(&traffic->is_stopped)) {
        struct call call;
        if (random_below(&client->random, PIPELINE_ONE_IN) == 0) {
            send_many(client);
        }
        struct tracked *key = choose_key(traffic, &client->random);
        call_choose(&call, key->family, &client->random, client->index, ++client->sequence);
        send_one(client, key, &call);
        record(traffic, key, &call, client->index);
        call_fini(&call);
        clock_sleep_ms(1 + random_below(&client->random, 2 * traffic->period_ms));
    }
    if (client->context != NULL) {
        redisFree(client->context);
    }
    return NULL;
}

struct traffic *traffic_start(struct cluster *cluster, unsigned clients, unsigned rate,
                              uint64_t seed)
{
    static unsigned number;
    ASSERT(clients <= TRAFFIC_CLIENTS_MAX && rate > 0);
    struct traffic *traffic = mem_zalloc(sizeof(*traffic));
    traffic->number = number++;
    (void)pthread_mutex_init(&traffic->lock, NULL);
    traffic->nports = cluster_proxies(cluster);
    for (unsigned i = 0; i < traffic->nports; i++) {
        traffic->ports[i] = cluster_proxy_port(cluster, i);
    }
    traffic->period_ms = clients * 1000 / rate + 1;
    traffic->nclients = clients;
    for (unsigned i = 0; i < ACTIVE; i++) {
        traffic->active[i] = add_key(traffic);
    }
    for (unsigned i = 0; i < clients; i++) {
        struct client_thread *client = &traffic->clients[i];
        client->traffic = traffic;
        client->index = i;
        random_seed(&client->random, seed * 1000 + i);
        int failed = pthread_create(&client->thread, NULL, run_client, client);
        ASSERT(!failed);
    }
    return traffic;
}

/* --- looking --------------------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void add_sample(struct traffic_view *view, const struct sample *sample)
{
    bool is_answered = sample->outcome == CALL_ANSWERED;
    bool is_slow = sample->returned_us - sample->called_us > TRAFFIC_SLOW_US;
    view->answered += is_answered;
    view->unknown += sample->outcome == CALL_UNKNOWN;
    view->refused += sample->outcome == CALL_REFUSED;
    if ((!is_answered || is_slow) && sample->returned_us > view->last_trouble_us) {
        view->last_trouble_us = sample->returned_us;
    }
}

struct traffic_view traffic_look(struct traffic *traffic, uint64_t from_us, uint64_t until_us)
{
    struct traffic_view view = {.answered = 0};
    (void)pthread_mutex_lock(&traffic->lock);
    uint64_t *latencies = mem_alloc((traffic->nsamples + 1) * sizeof(*latencies));
    for (size_t i = 0; i < traffic->nsamples; i++) {
        const struct sample *sample = &traffic->samples[i];
        if (sample->called_us >= from_us && sample->called_us < until_us) {
            if (sample->outcome == CALL_ANSWERED) {
                latencies[view.answered] = sample->returned_us - sample->called_us;
            }
            add_sample(&view, sample);
        }
    }
    (void)pthread_mutex_unlock(&traffic->lock);
    if (view.answered > 0) {
        qsort(latencies, view.answered, sizeof(*latencies), by_number);
        view.p50_us = latencies[view.answered / 2];
        view.p99_us = latencies[view.answered * 99 / 100];
        view.max_us = latencies[view.answered - 1];
    }
    mem_free(latencies);
    return view;
}

uint64_t traffic_answered(struct traffic *traffic)
{
    (void)pthread_mutex_lock(&traffic->lock);
    uint64_t answered = traffic->counts[CALL_ANSWERED];
    (void)pthread_mutex_unlock(&traffic->lock);
    return answered;
}

/* --- the end --------------------------------------------------------------------------------- */

/* Tries until it is answered; false when it never was. */
static bool call_finally(struct traffic *traffic, struct client_thread *reader, struct tracked *key,
                         const char *command)
{
    for (unsigned i = 0; i < FINAL_TRIES; i++) {
        struct call call = {.command = mem_strdup(command)};
        send_one(reader, key, &call);
        bool is_answered = call.outcome == CALL_ANSWERED;
        record(traffic, key, &call, reader->index);
        call_fini(&call);
        if (is_answered) {
            return true;
        }
        clock_sleep_ms(RETRY_MS);
    }
    return false;
}

static bool read_key(struct traffic *traffic, struct client_thread *reader, struct tracked *key)
{
    const char *command;
    bool is_read = true;
    for (unsigned i = 0; (command = call_final(key->family, i)) != NULL; i++) {
        is_read = call_finally(traffic, reader, key, command) && is_read;
    }
    return is_read;
}

/* The deletion is one more call of the key's history. */
static void read_all(struct traffic *traffic, bool removes, struct traffic_result *result)
{
    struct client_thread reader = {
        .traffic = traffic, .index = TRAFFIC_CLIENTS_MAX, .timeout_ms = FINAL_TIMEOUT_MS};
    random_seed(&reader.random, 1);
    for (size_t i = 0; i < traffic->nkeys; i++) {
        bool is_read = read_key(traffic, &reader, traffic->keys[i]) &&
                       (!removes || call_finally(traffic, &reader, traffic->keys[i], "DEL"));
        result->unread += is_read ? 0 : 1;
    }
    if (reader.context != NULL) {
        redisFree(reader.context);
    }
}

static void check_key(struct tracked *key, struct traffic_result *result)
{
    struct buffer why;
    buffer_init(&why, SIZE_MAX);
    enum verdict verdict = linearizable_check(key->operations, key->count, STEPS_MAX, &why);
    result->broken += verdict == VERDICT_BROKEN;
    result->undecided += verdict == VERDICT_UNDECIDED;
    if (verdict != VERDICT_LINEARIZABLE && result->broken + result->undecided <= PRINTED_MAX) {
        (void)fprintf(stderr, "%s: the history of %s (%zu operations, %u of unknown outcome)\n%.*s",
                      verdict == VERDICT_BROKEN ? "NOT LINEARIZABLE" : "UNDECIDED", key->name,
                      key->count, key->unknown, (int)buffer_length(&why), buffer_slice(&why).data);
    }
    buffer_fini(&why);
}

static void free_key(struct tracked *key)
{
    for (size_t i = 0; i < key->count; i++) {
        mem_free((void *)(uintptr_t)key->operations[i].command);
        mem_free((void *)(uintptr_t)key->operations[i].result);
    }
    mem_free(key->operations);
    mem_free(key);
}

static struct traffic_result end(struct traffic *traffic, bool removes)
{
    struct traffic_result result = {.operations = 0};
    atomic_store(&traffic->is_stopped, true);
    for (unsigned i = 0; i < traffic->nclients; i++) {
        (void)pthread_join(traffic->clients[i].thread, NULL);
    }
    for (unsigned i = 0; i < CALL_OUTCOMES; i++) {
        result.operations += traffic->counts[i];
    }
    result.refused = traffic->counts[CALL_REFUSED];
    result.unknown = traffic->counts[CALL_UNKNOWN];
    result.given_up = traffic->given_up;
    result.strange = traffic->counts[CALL_STRANGE];
    result.keys = (unsigned)traffic->nkeys;
    read_all(traffic, removes, &result);
    for (size_t i = 0; i < traffic->nkeys; i++) {
        check_key(traffic->keys[i], &result);
        free_key(traffic->keys[i]);
    }
    mem_free(traffic->keys);
    mem_free(traffic->samples);
    (void)pthread_mutex_destroy(&traffic->lock);
    mem_free(traffic);
    return result;
}

struct traffic_result traffic_end(struct traffic *traffic)
{
    return end(traffic, false);
}

struct traffic_result traffic_end_and_remove(struct traffic *traffic)
{
    return end(traffic, true);
}
