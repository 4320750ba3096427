#include "tests/support/queues.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define QUEUES       20 /* the even ones are lists, the odd ones sorted sets */
#define PRODUCERS    4
#define WATCHERS     4 /* two to a counter */
#define MOVERS       2
#define WORKERS      (PRODUCERS + WATCHERS + MOVERS)
#define NUMBERS_MAX  100000 /* of one producer */
#define PAUSE_MS     2
#define PATIENCE_S   60
#define MESSAGE_SIZE 200

struct worker {
    struct queues *queues;
    unsigned index; /* among its kind */
    redisContext *context;
    unsigned done; /* pushed; executed */
    pthread_t thread;
};

struct queues {
    struct worker workers[WORKERS];
    struct worker consumers[QUEUES];
    atomic_uchar *popped; /* how often, by number */
    atomic_uint_least64_t npopped;
    atomic_bool is_stopped;  /* producers, watchers and movers end */
    atomic_bool is_finished; /* all was pushed: consumers end when nothing comes any more */
    atomic_uint nerrors;
    pthread_mutex_t lock;
    char error[MESSAGE_SIZE]; /* the first */
};

static void note_error(struct queues *queues, const char *what, const char *why)
{
    pthread_mutex_lock(&queues->lock);
    if (queues->error[0] == '\0') {
        (void)snprintf(queues->error, sizeof(queues->error), "%s: %s", what, why);
    }
    pthread_mutex_unlock(&queues->lock);
    atomic_fetch_add(&queues->nerrors, 1);
}

/* Null: an error, which is noted. */
static redisReply *ask(struct worker *worker, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(worker->context, format, arguments);
    va_end(arguments);
    if (reply == NULL) {
        note_error(worker->queues, format, worker->context->errstr);
        atomic_store(&worker->queues->is_stopped, true);
        return NULL;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        note_error(worker->queues, format, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static bool tell(struct worker *worker, const char *format, unsigned index, long long value)
{
    redisReply *reply = ask(worker, format, index, value);
    bool is_good = reply != NULL;
    freeReplyObject(reply);
    return is_good;
}

static bool goes_on(const struct worker *worker)
{
    clock_sleep_ms(PAUSE_MS);
    return !atomic_load(&worker->queues->is_stopped) && worker->context->err == 0;
}

/* --- queues ---------------------------------------------------------------------------------- */

static void *produce(void *context)
{
    struct worker *worker = context;
    while (goes_on(worker) && worker->done < NUMBERS_MAX) {
        unsigned queue = (worker->done + worker->index) % QUEUES;
        long long number = (long long)worker->index * NUMBERS_MAX + worker->done;
        bool is_good = queue % 2 == 0 ? tell(worker, "RPUSH queue:%u %lld", queue, number)
                                      : tell(worker, "ZADD queue:%u 1 %lld", queue, number);
        if (!is_good) {
            break;
        }
        worker->done++;
    }
    return NULL;
}

static void *consume(void *context)
{
    struct worker *worker = context;
    struct queues *queues = worker->queues;
    const char *command =
        worker->index % 2 == 0 ? "BLPOP queue:%u no{queue:%u} 0.5" : "BZPOPMIN queue:%u 0.5";
    while (worker->context->err == 0) {
        bool is_last = atomic_load(&queues->is_finished);
        redisReply *reply = ask(worker, command, worker->index, worker->index);
        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2) {
            unsigned long number = strtoul(reply->element[1]->str, NULL, 10);
            ASSERT(number < (unsigned long)PRODUCERS * NUMBERS_MAX);
            atomic_fetch_add(&queues->popped[number], 1);
            atomic_fetch_add(&queues->npopped, 1);
        } else if (is_last) {
            freeReplyObject(reply);
            break;
        }
        freeReplyObject(reply);
    }
    return NULL;
}

/* --- counters -------------------------------------------------------------------------------- */

static long long read_number(struct worker *worker, const char *format, unsigned index)
{
    redisReply *reply = ask(worker, format, index);
    long long number =
        reply != NULL && reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    return number;
}

static void *watch(void *context)
{
    struct worker *worker = context;
    unsigned counter = worker->index / 2;
    while (goes_on(worker)) {
        if (!tell(worker, "WATCH counter:%u", counter, 0)) {
            break;
        }
        long long value = read_number(worker, "GET counter:%u", counter);
        if (!tell(worker, "MULTI", 0, 0) ||
            !tell(worker, "SET counter:%u %lld", counter, value + 1)) {
            break;
        }
        redisReply *reply = ask(worker, "EXEC");
        worker->done += reply != NULL && reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
    }
    return NULL;
}

/* --- transfers ------------------------------------------------------------------------------- */

/* Both sides of account `account` in one MULTI: their sum is always 0. */
static bool sees_balance(struct worker *worker, unsigned account)
{
    long long sum = 0;
    if (!tell(worker, "MULTI", 0, 0) || !tell(worker, "GET {account:%u}a", account, 0) ||
        !tell(worker, "GET {account:%u}b", account, 0)) {
        return false;
    }
    redisReply *reply = ask(worker, "EXEC");
    for (size_t i = 0; reply != NULL && i < reply->elements; i++) {
        const redisReply *side = reply->element[i];
        sum += side->type == REDIS_REPLY_STRING ? strtoll(side->str, NULL, 10) : 0;
    }
    if (sum != 0) {
        note_error(worker->queues, "transfer", "half of it is seen");
    }
    freeReplyObject(reply);
    return reply != NULL;
}

static void *move(void *context)
{
    struct worker *worker = context;
    for (unsigned i = 0; goes_on(worker); i++) {
        unsigned account = i % 8;
        if (!tell(worker, "MULTI", 0, 0) ||
            !tell(worker, "DECRBY {account:%u}a %lld", account, i % 7) ||
            !tell(worker, "INCRBY {account:%u}b %lld", account, i % 7) ||
            !tell(worker, "EXEC", 0, 0) || !sees_balance(worker, (account + 3) % 8)) {
            break;
        }
        worker->done++;
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static void start_worker(struct queues *queues, struct worker *worker, unsigned index,
                         uint16_t port, void *(*run)(void *))
{
    worker->queues = queues;
    worker->index = index;
    worker->context = redisConnect("127.0.0.1", port);
    ASSERT(worker->context != NULL && worker->context->err == 0);
    (void)redisSetTimeout(worker->context, (struct timeval){.tv_sec = PATIENCE_S});
    int failed = pthread_create(&worker->thread, NULL, run, worker);
    ASSERT(!failed);
}

struct queues *queues_start(struct cluster *cluster)
{
    struct queues *queues = mem_zalloc(sizeof(*queues));
    unsigned nproxies = cluster_proxies(cluster);
    queues->popped = mem_zalloc((size_t)PRODUCERS * NUMBERS_MAX * sizeof(*queues->popped));
    (void)pthread_mutex_init(&queues->lock, NULL);
    for (unsigned i = 0; i < QUEUES; i++) {
        start_worker(queues, &queues->consumers[i], i,
                     cluster_proxy_port(cluster, (i / 2) % nproxies), consume);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        uint16_t port = cluster_proxy_port(cluster, i % nproxies);
        if (i < PRODUCERS) {
            start_worker(queues, &queues->workers[i], i, port, produce);
        } else if (i < PRODUCERS + WATCHERS) {
            start_worker(queues, &queues->workers[i], i - PRODUCERS, port, watch);
        } else {
            start_worker(queues, &queues->workers[i], i - PRODUCERS - WATCHERS, port, move);
        }
    }
    return queues;
}

uint64_t queues_popped(struct queues *queues)
{
    return atomic_load(&queues->npopped);
}

static void check_popped(const struct queues *queues)
{
    unsigned lost = 0;
    unsigned doubled = 0;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        for (unsigned n = 0; n < queues->workers[i].done; n++) {
            unsigned count = atomic_load(&queues->popped[(size_t)i * NUMBERS_MAX + n]);
            lost += count == 0;
            doubled += count > 1;
        }
    }
    if (lost > 0 || doubled > 0) {
        fail_msg("%u elements lost, %u popped twice", lost, doubled);
    }
}

static void check_counters(struct queues *queues)
{
    struct worker *watchers = &queues->workers[PRODUCERS];
    for (unsigned i = 0; i < WATCHERS; i += 2) {
        unsigned executed = watchers[i].done + watchers[i + 1].done;
        long long value = read_number(&watchers[i], "GET counter:%u", i / 2);
        if (value != (long long)executed || executed == 0) {
            fail_msg("counter:%u is %lld after %u EXECs", i / 2, value, executed);
        }
    }
}

void queues_end(struct queues *queues)
{
    atomic_store(&queues->is_stopped, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        (void)pthread_join(queues->workers[i].thread, NULL);
    }
    atomic_store(&queues->is_finished, true);
    for (unsigned i = 0; i < QUEUES; i++) {
        (void)pthread_join(queues->consumers[i].thread, NULL);
    }
    if (atomic_load(&queues->nerrors) > 0) {
        fail_msg("%u errors, the first: %s", atomic_load(&queues->nerrors), queues->error);
    }
    check_popped(queues);
    check_counters(queues);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_true(queues->workers[i].done > 0);
        redisFree(queues->workers[i].context);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        redisFree(queues->consumers[i].context);
    }
    (void)pthread_mutex_destroy(&queues->lock);
    mem_free(queues->popped);
    mem_free(queues);
}
