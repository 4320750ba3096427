#include "proxy/control/replica_watch.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "proxy/control/replica_choice.h"
#include "proxy/control/replication_info.h"

#define SAMPLES       64 /* replica-lag-max in periods, and more */
#define PERIODS       4  /* in replica-lag-max */
#define PERIOD_MAX_US 1000000u

/* What the primary had written when it was asked. */
struct sample {
    uint64_t offset, asked_us;
};

struct shard_watch;

/* A replica, and our connection to it. */
struct watched {
    struct shard_watch *shard;
    struct address address;
    struct replica_place place;
    struct backend *backend;
    uint64_t asked_us; /* 0: no question is under way */
    uint64_t latency_us;
    bool is_lost; /* its name may stand for another address by now */
};

struct shard_watch {
    struct replica_watch *watch;
    const struct topology_shard *target;
    unsigned index;
    struct sample samples[SAMPLES]; /* a ring */
    unsigned nsamples;              /* ever */
    uint64_t latency_us;            /* of the primary */
    struct watched *replicas[REPLICAS_MAX];
    unsigned nreplicas;
};

struct replica_watch {
    const struct backend_shared *shared;
    struct replica_watch_events events;
    struct replica_names *names;
    enum read_policy policy;
    uint64_t lag_max_us;
    const struct topology *topology; /* null before the first */
    struct shard_watch *shards;      /* by index; null: nobody wants to know */
    uint64_t asked_us;
    bool has_news;
};

static uint64_t now_us(const struct replica_watch *watch)
{
    return loop_now_us(watch->shared->loop);
}

/* One that took long says little; the usual one counts. */
static uint64_t smoothed(uint64_t latency_us, uint64_t measured_us)
{
    return latency_us == 0 ? measured_us + 1 : (7 * latency_us + measured_us + 7) / 8;
}

/* --- asking replicas ------------------------------------------------------------------------- */

static void note_level(struct watched *watched, uint64_t offset)
{
    const struct shard_watch *shard = watched->shard;
    unsigned oldest = shard->nsamples > SAMPLES ? shard->nsamples - SAMPLES : 0;
    for (unsigned i = shard->nsamples; i > oldest; i--) {
        const struct sample *sample = &shard->samples[(i - 1) % SAMPLES];
        /* Of before the question: an answer that travelled for long may be of a process that has
         * ended since, and that one was not level later. Model: LATEANSWER. */
        if (sample->offset <= offset && sample->asked_us <= watched->asked_us) {
            watched->place.level_us = sample->asked_us;
            return;
        }
    }
}

static void on_answer(struct request *request)
{
    struct watched *watched = request->owner;
    struct replica_watch *watch = watched->shard->watch;
    struct replication_info info;
    if (request->outcome == OUTCOME_REPLY && !request->is_error) {
        replication_info_read(buffer_slice(&request->reply), &info);
        watched->latency_us = smoothed(watched->latency_us, now_us(watch) - watched->asked_us);
        if (!info.is_primary && info.is_following &&
            strcmp(info.replid, watched->shard->target->identity.replid) == 0) {
            note_level(watched, info.offset);
            watch->has_news = true;
        }
    }
    watched->asked_us = 0;
    request_give(watch->shared->pool, request);
}

static void ask(struct watched *watched)
{
    struct replica_watch *watch = watched->shard->watch;
    if (watched->asked_us != 0 || backend_state(watched->backend) != BACKEND_READY) {
        return;
    }
    struct request *request = request_take(watch->shared->pool);
    request->owner = watched;
    request->on_reply = on_answer;
    watched->asked_us = now_us(watch);
    buffer_add_text(backend_begin(watched->backend), replication_question);
    backend_commit(watched->backend, request, 1);
}

static void on_ready(void *context, struct backend *backend)
{
    struct watched *watched = context;
    (void)backend;
    watched->is_lost = false;
    ask(watched);
}

static void on_down(void *context, struct backend *backend)
{
    struct watched *watched = context; /* its level grows old */
    (void)backend;
    replica_names_forget(watched->shard->watch->names, watched->address.host);
    watched->is_lost = true;
}

/* --- which there are ------------------------------------------------------------------------- */

/* False: nobody knows yet what its name stands for. */
static bool locate(const struct shard_watch *shard, const struct address *address,
                   struct endpoint *endpoint)
{
    struct replica_watch *watch = shard->watch;
    struct error err;
    if (!endpoint_of_number(endpoint, address->host, address->port, &err) &&
        !replica_names_find(watch->names, address, now_us(watch), endpoint)) {
        return false;
    }
    if (shard->target->is_tls) {
        (void)snprintf(endpoint->tls_host, sizeof(endpoint->tls_host), "%s", address->host);
    }
    return true;
}

static struct watched *watched_new(struct shard_watch *shard, const struct address *address,
                                   const struct endpoint *endpoint)
{
    struct watched *watched = mem_zalloc(sizeof(*watched));
    struct backend_events events = {.on_ready = on_ready, .on_down = on_down, .context = watched};
    watched->shard = shard;
    watched->address = *address;
    watched->place = (struct replica_place){.shard = shard->index, .endpoint = *endpoint};
    watched->backend = backend_new(shard->watch->shared, &events);
    backend_set_greeting(watched->backend, GREETING_NAMED);
    backend_set_target(watched->backend, shard->index, shard->target->name, endpoint,
                       &shard->target->identity);
    return watched;
}

static void watched_free(struct watched *watched)
{
    backend_free(watched->backend); /* tells on_answer */
    mem_free(watched);
}

/* The place of the one that is watched already; null: none is. */
static struct watched **find_watched(struct shard_watch *shard, const struct address *address)
{
    for (unsigned i = 0; i < shard->nreplicas; i++) {
        const struct watched *watched = shard->replicas[i];
        if (watched != NULL && watched->address.port == address->port &&
            strcmp(watched->address.host, address->host) == 0) {
            return &shard->replicas[i];
        }
    }
    return NULL;
}

/* Null: it cannot be located. One that is lost is watched where it was until it is found
 * elsewhere. */
static struct watched *take_watched(struct shard_watch *shard, const struct address *address)
{
    struct endpoint endpoint;
    struct watched **place = find_watched(shard, address);
    struct watched *watched = place != NULL ? *place : NULL;
    bool is_located = (watched == NULL || watched->is_lost) && locate(shard, address, &endpoint);
    bool is_elsewhere =
        is_located && (watched == NULL || !endpoint_equal(&watched->place.endpoint, &endpoint));
    if (is_elsewhere) {
        return watched_new(shard, address, &endpoint);
    }
    if (place != NULL) {
        *place = NULL;
    }
    return watched;
}

static void free_replicas(struct watched **replicas, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (replicas[i] != NULL) {
            watched_free(replicas[i]);
        }
    }
}

static void replace_replicas(struct shard_watch *shard, const struct replication_info *info)
{
    struct watched *replicas[REPLICAS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < info->nreplicas; i++) {
        replicas[count] = take_watched(shard, &info->replicas[i]);
        count += replicas[count] != NULL ? 1 : 0;
    }
    free_replicas(shard->replicas, shard->nreplicas);
    memcpy(shard->replicas, replicas, count * sizeof(struct watched *));
    shard->nreplicas = count;
}

void replica_watch_hear(struct replica_watch *watch, unsigned shard_index, uint64_t asked_us,
                        struct slice reply)
{
    struct replication_info info;
    if (watch->shards == NULL) {
        return;
    }
    ASSERT(shard_index < watch->topology->nshards);
    struct shard_watch *shard = &watch->shards[shard_index];
    replication_info_read(reply, &info);
    if (!info.is_primary || strcmp(info.replid, shard->target->identity.replid) != 0) {
        return; /* somebody else sees to that */
    }
    shard->samples[shard->nsamples++ % SAMPLES] = (struct sample){info.offset, asked_us};
    shard->latency_us = smoothed(shard->latency_us, now_us(watch) - asked_us);
    replace_replicas(shard, &info);
    for (unsigned i = 0; i < shard->nreplicas; i++) {
        ask(shard->replicas[i]);
    }
    watch->has_news = true;
}

/* --- telling --------------------------------------------------------------------------------- */

static bool is_level(const struct watched *watched)
{
    const struct replica_watch *watch = watched->shard->watch;
    return watched->place.level_us != 0 &&
           now_us(watch) <= watched->place.level_us + watch->lag_max_us;
}

static void choose(struct shard_watch *shard)
{
    struct replica_candidate candidates[REPLICAS_MAX];
    for (unsigned i = 0; i < shard->nreplicas; i++) {
        const struct watched *watched = shard->replicas[i];
        candidates[i] = (struct replica_candidate){is_level(watched), watched->latency_us, false};
    }
    replica_choose(shard->watch->policy, shard->latency_us, candidates, shard->nreplicas);
    for (unsigned i = 0; i < shard->nreplicas; i++) {
        shard->replicas[i]->place.is_chosen = candidates[i].is_chosen;
    }
}

static void tell(struct replica_watch *watch)
{
    unsigned count = 0;
    for (unsigned i = 0; i < watch->topology->nshards; i++) {
        count += watch->shards[i].nreplicas;
    }
    struct replica_list *list = mem_alloc(sizeof(*list) + count * sizeof(list->places[0]));
    list->epoch = watch->topology->epoch;
    list->count = 0;
    for (unsigned i = 0; i < watch->topology->nshards; i++) {
        struct shard_watch *shard = &watch->shards[i];
        choose(shard);
        for (unsigned j = 0; j < shard->nreplicas; j++) {
            list->places[list->count++] = shard->replicas[j]->place;
        }
    }
    watch->has_news = false;
    watch->events.on_found(watch->events.context, list);
}

bool replica_watch_report(const struct replica_watch *watch, unsigned shard, unsigned position,
                          struct replica_report *report)
{
    if (watch->shards == NULL || position >= watch->shards[shard].nreplicas) {
        return false;
    }
    const struct watched *watched = watch->shards[shard].replicas[position];
    uint64_t level_us = watched->place.level_us;
    address_format(&watched->address, report->address);
    report->is_level = is_level(watched);
    report->is_chosen = report->is_level && watched->place.is_chosen;
    report->lag_us = level_us != 0 ? now_us(watch) - level_us : UINT64_MAX;
    report->latency_us = watched->latency_us;
    return true;
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t period_us(const struct replica_watch *watch)
{
    uint64_t period = watch->lag_max_us / PERIODS;
    return period < PERIOD_MAX_US ? period : PERIOD_MAX_US;
}

void replica_watch_tick(struct replica_watch *watch, struct publisher *const *publishers,
                        uint64_t now)
{
    if (watch->shards == NULL) {
        return;
    }
    bool is_due = now >= watch->asked_us + period_us(watch);
    watch->asked_us = is_due ? now : watch->asked_us;
    for (unsigned i = 0; i < watch->topology->nshards; i++) {
        const struct shard_watch *shard = &watch->shards[i];
        for (unsigned j = 0; j < shard->nreplicas; j++) {
            backend_tick(shard->replicas[j]->backend, now);
        }
        if (is_due) {
            publisher_ask_replication(publishers[i]);
        }
    }
    if (watch->has_news) {
        tell(watch);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void forget(struct replica_watch *watch)
{
    for (unsigned i = 0; watch->shards != NULL && i < watch->topology->nshards; i++) {
        free_replicas(watch->shards[i].replicas, watch->shards[i].nreplicas);
    }
    mem_free(watch->shards);
    watch->shards = NULL;
    watch->has_news = false;
}

static void begin(struct replica_watch *watch)
{
    if (watch->policy == READ_PRIMARY || watch->topology == NULL) {
        return;
    }
    watch->shards = mem_zalloc(watch->topology->nshards * sizeof(*watch->shards));
    for (unsigned i = 0; i < watch->topology->nshards; i++) {
        struct shard_watch *shard = &watch->shards[i];
        shard->watch = watch;
        shard->index = i;
        shard->target = &watch->topology->shards[i];
    }
    watch->asked_us = 0; /* at the next tick */
}

void replica_watch_adopt(struct replica_watch *watch, const struct topology *topology)
{
    forget(watch);
    watch->topology = topology;
    begin(watch);
}

void replica_watch_tune(struct replica_watch *watch, enum read_policy policy, uint64_t lag_max_us)
{
    bool is_other = policy != watch->policy;
    watch->policy = policy;
    watch->lag_max_us = lag_max_us;
    if (is_other) {
        forget(watch);
        begin(watch);
    }
}

void replica_watch_locate(struct replica_watch *watch, const char *host,
                          const struct endpoint *endpoint)
{
    replica_names_take(watch->names, host, endpoint);
}

struct replica_watch *replica_watch_new(const struct backend_shared *shared,
                                        const struct replica_watch_events *events)
{
    struct replica_watch *watch = mem_zalloc(sizeof(*watch));
    watch->shared = shared;
    watch->events = *events;
    watch->names = replica_names_new(events->on_name, events->context);
    return watch;
}

void replica_watch_free(struct replica_watch *watch)
{
    if (watch != NULL) {
        forget(watch);
        replica_names_free(watch->names);
        mem_free(watch);
    }
}
