#include "proxy/routing/router.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/replica_reads.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/split.h"

#define ATTEMPTS_MAX         8
#define CONGESTED_BYTES      ((size_t)8 << 20)
#define STUCK_US             250000u
#define HOLD_MAX_FALLBACK_MS 1000

/* --- answers -------------------------------------------------------------------------------- */

void router_answer(struct request *request)
{
    request->outcome = OUTCOME_REPLY;
    request->done(request);
}

void router_answer_error(struct request *request, const char *error)
{
    request->is_error = true;
    write_error(request_answer(request), error);
    router_answer(request);
}

void router_answer_unavailable(struct router *router, struct request *request, const char *why)
{
    char text[256];
    counter_add(&router->settings.backend.counters->errors_unavailable, 1);
    (void)snprintf(text, sizeof(text), "UNAVAILABLE %s; not executed, safe to retry", why);
    router_answer_error(request, text);
}

void router_answer_unknown(struct router *router, struct request *request)
{
    counter_add(&router->settings.backend.counters->errors_unknown, 1);
    if (request->has_begun && request->sink != NULL && request->sink != &request->reply) {
        /* Half of the reply is with the client: only closing tells it the truth. */
        request->outcome = OUTCOME_UNKNOWN;
        request->done(request);
        return;
    }
    buffer_clear(&request->reply);
    router_answer_error(request, "UNKNOWN the connection to the shard was lost after the command "
                                 "was sent: it may have been executed");
}

/* --- waiting -------------------------------------------------------------------------------- */

void router_keep_bytes(struct request *request, struct slice bytes)
{
    if (buffer_length(&request->bytes) == 0) {
        buffer_add(&request->bytes, bytes.data, bytes.len);
    }
}

static void hold(struct router *router, struct request *request, struct slice bytes)
{
    struct counters *counters = router->settings.backend.counters;
    router_keep_bytes(request, bytes);
    request->sent_at_us = router_now_us(router); /* since when it is held */
    request_queue_push(&router->held, request);
    counter_add(&counters->held, 1);
    counter_set(&counters->held_now, router->held.count);
}

static void wait_for(struct lane *lane, struct request *request, struct slice bytes)
{
    router_keep_bytes(request, bytes);
    request->sent_at_us = router_now_us(lane->router); /* since when it waits */
    request_queue_push(&lane->waiting, request);
}

void router_redispatch(struct router *router, struct request *request)
{
    if (request->is_outdated && request_has_followers(request)) {
        /* Those may be held, or with the new owner: it would run behind them. */
        router_answer_unavailable(router, request, "its slot was moved before it was sent");
        return;
    }
    if (request->attempts >= ATTEMPTS_MAX) {
        router_answer_unavailable(router, request, "the shard cannot be reached");
        return;
    }
    router_dispatch(router, request, buffer_slice(&request->bytes));
}

void router_redispatch_all(struct router *router, struct request_queue *queue)
{
    struct request_queue waiting = *queue;
    *queue = (struct request_queue){.count = 0};
    struct request *request;
    while ((request = request_queue_pop(&waiting)) != NULL) {
        /* Waiting is no attempt: only what was handed to a connection counts. */
        router_dispatch(router, request, buffer_slice(&request->bytes));
    }
}

/* Those whose slots are still held stay, and keep the time since when. */
static void release_held(struct router *router)
{
    struct counters *counters = router->settings.backend.counters;
    struct request_queue held = router->held;
    uint64_t now = router_now_us(router);
    struct request *request;
    router->held = (struct request_queue){.count = 0};
    while ((request = request_queue_pop(&held)) != NULL) {
        if (snapshot_entry(router->snapshot, request->slot)->is_held) {
            request_queue_push(&router->held, request);
            continue;
        }
        histogram_record(&counters->hold_wait, now - request->sent_at_us);
        router_dispatch(router, request, buffer_slice(&request->bytes));
    }
    counter_set(&counters->held_now, router->held.count);
}

/* --- dispatch ------------------------------------------------------------------------------- */

static void on_plain_reply(struct request *request)
{
    struct router *router = request->sender;
    if (request->outcome == OUTCOME_REPLY) {
        request->done(request);
    } else if (request->outcome == OUTCOME_NOT_SENT) {
        router_redispatch(router, request);
    } else {
        /* Never sent again. Model: RESEND. */
        router_answer_unknown(router, request);
    }
    router_reply_seen(router);
}

static void send_on(struct lane *lane, struct request *request, const struct slot_entry *entry,
                    struct slice bytes)
{
    request->attempts++;
    bool is_dual = entry != NULL && entry->is_dual && request->has_written_keys;
    if (is_dual || request->unit != NULL) {
        dual_write_start(lane->router, lane->backend, request, entry, bytes);
        return;
    }
    request->on_reply = on_plain_reply;
    backend_send(lane->backend, request, bytes);
}

/* The EXEC of a transaction with watched keys: on the connection that watches, or not at all. Nil
 * says that the transaction did not happen. */
static void dispatch_watched(struct router *router, struct request *request, struct slice bytes)
{
    struct private_lane *lane = request->private_lane;
    if (request->attempts > 0 || !private_lane_is_ready(lane) ||
        !private_lane_is_usable(lane, request->slot, request->protocol)) {
        write_null_array(request_answer(request), request->protocol);
        router_answer(request);
        return;
    }
    request->attempts++;
    dual_write_start(router, private_lane_backend(lane), request,
                     snapshot_entry(router->snapshot, request->slot), bytes);
}

/* Out of the way of router_dispatch. */
__attribute__((cold)) static void answer_unusable(const struct lane *lane, struct request *request)
{
    char why[SHARD_NAME_MAX + 64];
    (void)snprintf(why, sizeof(why), "shard %s cannot be used now", backend_name(lane->backend));
    router_answer_unavailable(lane->router, request, why);
}

__attribute__((cold)) static void answer_overloaded(const struct lane *lane,
                                                    struct request *request)
{
    char why[SHARD_NAME_MAX + 64];
    struct counters *counters = lane->router->settings.backend.counters;
    counter_add(&counters_of_shard(counters, backend_index(lane->backend))->overloaded, 1);
    (void)snprintf(why, sizeof(why), "shard %s has too much under way",
                   backend_name(lane->backend));
    router_answer_unavailable(lane->router, request, why);
}

/* So that a slow shard costs its own clients an error, and the others nothing: neither memory nor
 * their turn. */
static bool is_overloaded(const struct lane *lane)
{
    const struct backend *backend = lane->backend;
    return backend_in_flight(backend) + lane->waiting.count >=
               lane->router->settings.tuning.queue_max ||
           (backend_backlog(backend) > CONGESTED_BYTES && backend_is_stuck(backend, STUCK_US));
}

/* Its slot is stable, and it was not tried before. */
static bool is_for_replica(const struct router *router, const struct request *request,
                           const struct slot_entry *entry)
{
    return router->replica_reads != NULL && request->may_lag && entry != NULL &&
           entry->migration == NULL && request->attempts == 0;
}

void router_dispatch(struct router *router, struct request *request, struct slice bytes)
{
    const struct slot_entry *entry = NULL;
    unsigned shard = request->shard;
    request->sender = router;
    ASSERT(router->snapshot != NULL);
    if (request->private_lane != NULL) {
        dispatch_watched(router, request, bytes);
        return;
    }
    if (request->cut_epoch != 0 && request->cut_epoch != router->snapshot->topology->epoch) {
        split_again(router, request);
        return;
    }
    if (request->slot != SLOT_NONE) {
        entry = snapshot_entry(router->snapshot, request->slot);
        shard = entry->authority;
        /* Reads too. Model: READHOLD. */
        if (entry->is_held && !FAIL_POINT("rule.no-hold")) {
            hold(router, request, bytes);
            return;
        }
    }
    if (shard >= router->nlanes) {
        router_answer_unavailable(router, request, "the shard was removed");
        return;
    }
    if (is_for_replica(router, request, entry) &&
        replica_reads_send(router->replica_reads, request, shard, bytes)) {
        return;
    }
    struct lane *lane = lane_to(router, shard, request->protocol);
    if (is_overloaded(lane)) {
        answer_overloaded(lane, request);
    } else if (backend_state(lane->backend) == BACKEND_READY) {
        send_on(lane, request, entry, bytes);
    } else if (backend_may_come(lane->backend)) {
        wait_for(lane, request, bytes);
    } else {
        answer_unusable(lane, request);
    }
}

/* --- adoption and draining ------------------------------------------------------------------- */

/* What was sent to this shard before the adoption, on whichever connection. */
static bool has_drained(const struct router *router, const struct lane *lane)
{
    const char *shard = backend_name(lane->backend);
    for (; lane != NULL; lane = lane->resp3) {
        if (!backend_has_drained(lane->backend)) {
            return false;
        }
    }
    return private_lanes_have_ended(router, shard);
}

static void check_drains(void *context)
{
    struct router *router = context;
    bool is_behind = false;
    uint64_t epoch = router->snapshot->topology->epoch;
    bool has_caught_up = subscribers_have_caught_up(router);
    for (unsigned i = 0; i < router->nlanes; i++) {
        struct lane *lane = router->lanes[i];
        if (lane->drained_epoch == epoch) {
            continue;
        }
        if (!has_caught_up || !has_drained(router, lane)) {
            is_behind = true;
            continue;
        }
        lane->drained_epoch = epoch;
        router->events.on_drained(router->events.context, backend_name(lane->backend), epoch);
    }
    router->is_draining = is_behind;
}

void router_reply_seen(struct router *router)
{
    if (router->is_draining) {
        loop_at_turn_end(router->settings.backend.loop, &router->drain_task);
    }
}

void router_killed(struct router *router, const char *shard, uint64_t connection_id)
{
    for (struct lane *lane = lane_find(router, shard); lane != NULL; lane = lane->resp3) {
        backend_killed(lane->backend, connection_id);
    }
    router_reply_seen(router);
}

void router_take_replicas(struct router *router, struct replica_list *list)
{
    if (router->replica_reads != NULL) {
        replica_reads_take(router->replica_reads, list);
    }
    mem_free(list);
}

void router_expel(struct router *router, const char *shard)
{
    for (struct lane *lane = lane_find(router, shard); lane != NULL; lane = lane->resp3) {
        backend_expel(lane->backend);
    }
    private_lanes_expel(router, shard);
    subscribers_expel(router, shard);
}

bool router_orphan(struct router *router, const char *shard, uint64_t connection_id)
{
    struct lane *lane = lane_find(router, shard);
    if (lane == NULL) {
        return false;
    }
    backend_orphan(lane->backend, connection_id);
    return true;
}

/* Before the new snapshot rules: what was sent so far to shards with changed slots must end.
 * Model: EARLYPUB, PUBOTHER. */
static void mark_drains(struct router *router, const struct snapshot *newer)
{
    if (router->snapshot == NULL) {
        return;
    }
    bool *concerned = mem_zalloc(router->nlanes * sizeof(*concerned));
    snapshot_shards_concerned(router->snapshot, newer, concerned);
    for (unsigned i = 0; i < router->nlanes; i++) {
        for (struct lane *lane = router->lanes[i]; concerned[i] && lane != NULL;
             lane = lane->resp3) {
            backend_begin_drain(lane->backend);
        }
    }
    mem_free(concerned);
    private_lanes_mark(router, newer);
}

static struct lane *take_lane(struct router *router, const char *name)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        struct lane *lane = router->lanes[i];
        if (lane != NULL && strcmp(backend_name(lane->backend), name) == 0) {
            router->lanes[i] = NULL;
            return lane;
        }
    }
    return lane_new(router, 2);
}

/* All have their address before anything is lost, and dispatched anew, on account of it. */
static void replace_lanes(struct router *router, const struct endpoint *endpoints,
                          struct request_queue *orphaned)
{
    unsigned nshards = router->snapshot->topology->nshards;
    struct lane **lanes = mem_alloc(nshards * sizeof(struct lane *));
    for (unsigned i = 0; i < nshards; i++) {
        lanes[i] = take_lane(router, router->snapshot->topology->shards[i].name);
        for (struct lane *lane = lanes[i]; lane != NULL; lane = lane->resp3) {
            lane->endpoint = endpoints[i];
        }
    }
    struct lane **old = router->lanes;
    unsigned nold = router->nlanes;
    router->lanes = lanes;
    router->nlanes = nshards;
    for (unsigned i = 0; i < nold; i++) {
        if (old[i] != NULL) {
            lane_free_both(old[i], orphaned);
        }
    }
    mem_free(old);
}

static void point_lanes(struct router *router)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        for (struct lane *lane = router->lanes[i]; lane != NULL; lane = lane->resp3) {
            lane_point(lane, i);
        }
    }
}

/* What goes to a shard, whatever is there, goes to the one of that name: the others may have moved
 * up. What was handed over has its shard's index from its connection, should that be lost. */
static void renumber(const struct request_queue *waiting, const struct topology *newer,
                     const char *name)
{
    int found = topology_find_shard(newer, slice_of(name));
    for (struct request *request = waiting->first; request != NULL; request = request->next) {
        request->shard = found >= 0 ? (unsigned)found : NO_SHARD;
    }
}

/* Whatever waits for a shard is dispatched anew: its slot may have moved on, and what comes behind
 * it to the same slot must stay behind it. */
static void take_waiting(struct router *router, const struct topology *newer,
                         struct request_queue *waiting)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        for (struct lane *lane = router->lanes[i]; lane != NULL; lane = lane->resp3) {
            renumber(&lane->waiting, newer, backend_name(lane->backend));
            request_queue_append(waiting, &lane->waiting);
        }
    }
}

void router_adopt(struct router *router, struct snapshot *snapshot,
                  const struct endpoint *endpoints)
{
    struct request_queue orphaned = {.count = 0};
    mark_drains(router, snapshot);
    take_waiting(router, snapshot->topology, &orphaned);
    struct snapshot *older = router->snapshot;
    router->snapshot = snapshot;
    replace_lanes(router, endpoints, &orphaned);
    point_lanes(router);
    if (older != NULL) {
        private_lanes_adopt(router, older);
    }
    subscribers_adopt(router);
    if (router->replica_reads != NULL) {
        replica_reads_adopt(router->replica_reads);
    }
    snapshot_unref(older);
    counter_set(&router->settings.backend.counters->epoch, snapshot->topology->epoch);
    router->is_draining = true;
    loop_at_turn_end(router->settings.backend.loop, &router->drain_task);
    router_redispatch_all(router, &orphaned);
    release_held(router);
}

/* --- time ------------------------------------------------------------------------------------ */

/* A hold is undone by a proxy after hold_max; if even that does not happen (no store), the held are
 * told: they were never sent. */
static bool is_held_too_long(const struct router *router, const struct request *request)
{
    const struct slot_entry *entry = snapshot_entry(router->snapshot, request->slot);
    uint64_t hold_max_ms =
        entry->migration != NULL ? entry->migration->options.hold_max_ms : HOLD_MAX_FALLBACK_MS;
    return router_now_us(router) >
           request->sent_at_us + hold_max_ms * 1000 + router->settings.tuning.store_timeout_us;
}

static void expire_held(struct router *router)
{
    /* Oldest first: the first that may stay ends the walk (migrations differ little in hold_max).
     */
    while (router->held.first != NULL && is_held_too_long(router, router->held.first)) {
        router_answer_unavailable(router, request_queue_pop(&router->held),
                                  "its slot is being switched and the store does not answer");
    }
    counter_set(&router->settings.backend.counters->held_now, router->held.count);
}

static void expire_waiting(struct lane *lane)
{
    const struct router *router = lane->router;
    uint64_t limit = router->settings.tuning.wait_max_us;
    while (lane->waiting.first != NULL &&
           router_now_us(router) > lane->waiting.first->sent_at_us + limit) {
        router_answer_unavailable(lane->router, request_queue_pop(&lane->waiting),
                                  "the shard does not answer");
    }
}

static void tick_shard(struct router *router, unsigned shard)
{
    uint64_t now = router_now_us(router);
    unsigned waiting = 0;
    for (struct lane *lane = router->lanes[shard]; lane != NULL; lane = lane->resp3) {
        backend_tick(lane->backend, now);
        expire_waiting(lane);
        waiting += lane->waiting.count;
    }
    counter_set(&counters_of_shard(router_counters(router), shard)->waiting, waiting);
}

void router_tick(struct router *router)
{
    if (router->snapshot == NULL) {
        return;
    }
    for (unsigned i = 0; i < router->nlanes; i++) {
        tick_shard(router, i);
    }
    expire_held(router);
    dual_write_tick(router);
    private_lanes_tick(router);
    subscribers_tick(router);
    blocking_tick(router);
    asides_tick(router);
    if (router->replica_reads != NULL) {
        replica_reads_tick(router->replica_reads);
    }
}

unsigned router_usable_shard(const struct router *router)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (backend_state(router->lanes[i]->backend) == BACKEND_READY) {
            return i;
        }
    }
    return 0;
}

static bool is_congested(const struct lane *lane)
{
    return backend_backlog(lane->backend) > CONGESTED_BYTES &&
           !backend_is_stuck(lane->backend, STUCK_US);
}

static bool is_resp3_congested(const struct router *router)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        const struct lane *lane = router->lanes[i]->resp3;
        if (lane != NULL && is_congested(lane)) {
            return true;
        }
    }
    return false;
}

bool router_is_congested(const struct router *router)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (is_congested(router->lanes[i])) {
            return true;
        }
    }
    return router->has_resp3 && is_resp3_congested(router);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint64_t adopted_epoch(void *context)
{
    const struct router *router = context;
    return router->snapshot->topology->epoch;
}

static void on_fenced(void *context)
{
    const struct router *router = context;
    router->events.on_fenced(router->events.context);
}

static void on_unfenced(void *context, const char *shard)
{
    const struct router *router = context;
    router->events.on_unfenced(router->events.context, shard);
}

struct router *router_new(const struct router_settings *settings,
                          const struct router_events *events)
{
    struct router *router = mem_zalloc(sizeof(*router));
    router->settings = *settings;
    router->settings.backend.hello =
        (struct backend_hello){adopted_epoch, on_fenced, on_unfenced, router};
    router_tune(router, &settings->tuning);
    router->events = *events;
    router->mirrors_last = &router->mirrors_first;
    turn_task_init(&router->drain_task, check_drains, router);
    blocking_init(router);
    command_parser_init(&router->parser, UINT64_MAX);
    return router;
}

void router_tune(struct router *router, const struct router_tuning *tuning)
{
    router->settings.tuning = *tuning;
    router->settings.backend.timeout_us = tuning->shard_timeout_us;
    router->settings.backend.connect_timeout_us = tuning->connect_timeout_us;
    struct replica_reads *reads = router->replica_reads;
    if (tuning->replica_lag_max_us == 0) {
        router->replica_reads = NULL;
        replica_reads_free(reads);
    } else if (reads == NULL) {
        router->replica_reads = replica_reads_new(router);
    } else {
        replica_reads_tune(reads);
    }
}

static void fail_all(struct router *router, struct request_queue *queue)
{
    struct request *request;
    while ((request = request_queue_pop(queue)) != NULL) {
        router_answer_unavailable(router, request, "the proxy stops");
    }
}

void router_free(struct router *router)
{
    unsigned nlanes = router->nlanes;
    ASSERT(router->subscribers == NULL); /* the clients are gone */
    router->nlanes = 0; /* what the backends give back finds no lane, and is told so */
    replica_reads_free(router->replica_reads);
    for (unsigned i = 0; i < nlanes; i++) {
        struct request_queue orphaned = {.count = 0};
        lane_free_both(router->lanes[i], &orphaned);
        fail_all(router, &orphaned);
    }
    fail_all(router, &router->held);
    dual_write_forget_all(router);
    asides_forget_all(router);
    splits_fini(router);
    private_lanes_end_uploads(router);
    mem_free(router->scripts);
    loop_cancel(&router->drain_task);
    blocking_fini(router);
    command_parser_fini(&router->parser);
    snapshot_unref(router->snapshot);
    mem_free(router->lanes);
    mem_free(router);
}

const struct snapshot *router_snapshot(const struct router *router)
{
    return router->snapshot;
}

struct request_pool *router_pool(struct router *router)
{
    return router->settings.backend.pool;
}

struct counters *router_counters(struct router *router)
{
    return router->settings.backend.counters;
}
