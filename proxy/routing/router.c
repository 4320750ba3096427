#include "proxy/routing/router.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/split.h"

#define ATTEMPTS_MAX         8
#define CONGESTED_BYTES      ((size_t)8 << 20)
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

static void set_waiting(const struct lane *lane)
{
    struct counters *counters = lane->router->settings.backend.counters;
    counter_set(&counters_of_shard(counters, backend_index(lane->backend))->waiting,
                lane->waiting.count);
}

void router_redispatch(struct router *router, struct request *request)
{
    if (request->attempts >= ATTEMPTS_MAX) {
        router_answer_unavailable(router, request, "the shard cannot be reached");
        return;
    }
    router_dispatch(router, request, buffer_slice(&request->bytes));
}

/* Those that have to wait again go behind in the same order. */
static void redispatch_all(struct router *router, struct request_queue *queue)
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
    switch (request->outcome) {
    case OUTCOME_REPLY:
        request->done(request);
        break;
    case OUTCOME_NOT_SENT:
        router_redispatch(router, request);
        break;
    case OUTCOME_UNKNOWN:
    case OUTCOME_PENDING:
        /* Never sent again. Model: RESEND. */
        router_answer_unknown(router, request);
        break;
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
    if (request->attempts > 0 || !private_lane_is_usable(lane, request->slot) ||
        !private_lane_is_ready(lane)) {
        buffer_add_text(request_answer(request), "*-1\r\n");
        router_answer(request);
        return;
    }
    request->attempts++;
    dual_write_start(router, private_lane_backend(lane), request,
                     snapshot_entry(router->snapshot, request->slot), bytes);
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
    struct lane *lane = router->lanes[shard];
    if (backend_state(lane->backend) == BACKEND_READY) {
        send_on(lane, request, entry, bytes);
    } else if (backend_may_come(lane->backend)) {
        wait_for(lane, request, bytes);
    } else {
        char why[SHARD_NAME_MAX + 64];
        (void)snprintf(why, sizeof(why), "shard %s cannot be used now",
                       backend_name(lane->backend));
        router_answer_unavailable(router, request, why);
    }
}

/* --- adoption and draining ------------------------------------------------------------------- */

static void check_drains(void *context)
{
    struct router *router = context;
    bool is_behind = false;
    uint64_t epoch = router->snapshot->topology->epoch;
    for (unsigned i = 0; i < router->nlanes; i++) {
        struct lane *lane = router->lanes[i];
        if (lane->drained_epoch == epoch) {
            continue;
        }
        if (!backend_has_ended(lane->backend, lane->drain_mark) ||
            !private_lanes_have_ended(router, backend_name(lane->backend))) {
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
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (strcmp(backend_name(router->lanes[i]->backend), shard) == 0) {
            backend_killed(router->lanes[i]->backend, connection_id);
        }
    }
    router_reply_seen(router);
}

void router_expel(struct router *router, const char *shard)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (strcmp(backend_name(router->lanes[i]->backend), shard) == 0) {
            backend_expel(router->lanes[i]->backend);
        }
    }
    private_lanes_expel(router, shard);
}

bool router_orphan(struct router *router, const char *shard, uint64_t connection_id)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (strcmp(backend_name(router->lanes[i]->backend), shard) == 0) {
            backend_orphan(router->lanes[i]->backend, connection_id);
            return true;
        }
    }
    return false;
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
        if (concerned[i]) {
            router->lanes[i]->drain_mark = backend_sent(router->lanes[i]->backend);
        }
    }
    mem_free(concerned);
    private_lanes_mark(router, newer);
}

static uint64_t epoch_of(void *context)
{
    const struct lane *lane = context;
    return lane->router->snapshot->topology->epoch;
}

static void on_ready(void *context, struct backend *backend)
{
    struct lane *lane = context;
    (void)backend;
    redispatch_all(lane->router, &lane->waiting);
    set_waiting(lane);
}

static void on_down(void *context, struct backend *backend)
{
    struct lane *lane = context;
    router_reply_seen(lane->router);
    if (!backend_may_come(backend)) {
        redispatch_all(lane->router, &lane->waiting); /* each gets its error */
    }
    set_waiting(lane);
}

static void on_fenced(void *context, struct backend *backend)
{
    const struct lane *lane = context;
    (void)backend;
    lane->router->events.on_fenced(lane->router->events.context);
}

static void on_unfenced(void *context, struct backend *backend)
{
    const struct lane *lane = context;
    lane->router->events.on_unfenced(lane->router->events.context, backend_name(backend));
}

static void on_given_up(void *context, struct backend *backend, uint64_t connection_id)
{
    const struct lane *lane = context;
    const struct router_events *events = &lane->router->events;
    events->on_given_up(events->context, backend_name(backend), &lane->process, connection_id);
}

static struct lane *lane_new(struct router *router)
{
    struct lane *lane = mem_zalloc(sizeof(*lane));
    struct backend_events events = {.epoch = epoch_of,
                                    .on_ready = on_ready,
                                    .on_down = on_down,
                                    .on_fenced = on_fenced,
                                    .on_unfenced = on_unfenced,
                                    .on_given_up = on_given_up,
                                    .context = lane};
    lane->router = router;
    lane->backend = backend_new(&router->settings.backend, &events);
    return lane;
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
    return lane_new(router);
}

/* What waits on a lane that is gone is told by dispatch where it belongs now. */
static void free_lane(struct lane *lane, struct request_queue *orphaned)
{
    request_queue_append(orphaned, &lane->waiting);
    struct backend *backend = lane->backend;
    backend_free(backend);
    mem_free(lane);
}

static void replace_lanes(struct router *router, struct request_queue *orphaned)
{
    unsigned nshards = router->snapshot->topology->nshards;
    struct lane **lanes = mem_alloc(nshards * sizeof(struct lane *));
    for (unsigned i = 0; i < nshards; i++) {
        lanes[i] = take_lane(router, router->snapshot->topology->shards[i].name);
    }
    struct lane **old = router->lanes;
    unsigned nold = router->nlanes;
    router->lanes = lanes;
    router->nlanes = nshards;
    for (unsigned i = 0; i < nold; i++) {
        if (old[i] != NULL) {
            free_lane(old[i], orphaned);
        }
    }
    mem_free(old);
}

static void point_lanes(struct router *router, const struct endpoint *endpoints)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        const struct topology_shard *shard = &router->snapshot->topology->shards[i];
        struct lane *lane = router->lanes[i];
        backend_set_target(lane->backend, i, shard->name, &endpoints[i], &shard->identity);
        lane->process = shard->identity;
        lane->endpoint = endpoints[i];
        backend_retry(lane->backend);
    }
}

/* Whatever waits for a shard is dispatched anew: its slot may have moved on, and what comes behind
 * it to the same slot must stay behind it. */
static void take_waiting(struct router *router, struct request_queue *waiting)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        request_queue_append(waiting, &router->lanes[i]->waiting);
    }
}

void router_adopt(struct router *router, struct snapshot *snapshot,
                  const struct endpoint *endpoints)
{
    struct request_queue orphaned = {.count = 0};
    mark_drains(router, snapshot);
    take_waiting(router, &orphaned);
    struct snapshot *older = router->snapshot;
    router->snapshot = snapshot;
    replace_lanes(router, &orphaned);
    point_lanes(router, endpoints);
    if (older != NULL) {
        private_lanes_adopt(router, older);
    }
    snapshot_unref(older);
    counter_set(&router->settings.backend.counters->epoch, snapshot->topology->epoch);
    router->is_draining = true;
    loop_at_turn_end(router->settings.backend.loop, &router->drain_task);
    redispatch_all(router, &orphaned);
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
           request->sent_at_us + hold_max_ms * 1000 + router->settings.store_timeout_us;
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
    uint64_t limit = router->settings.wait_max_us;
    while (lane->waiting.first != NULL &&
           router_now_us(router) > lane->waiting.first->sent_at_us + limit) {
        router_answer_unavailable(lane->router, request_queue_pop(&lane->waiting),
                                  "the shard does not answer");
    }
    set_waiting(lane);
}

void router_tick(struct router *router)
{
    uint64_t now = router_now_us(router);
    if (router->snapshot == NULL) {
        return;
    }
    for (unsigned i = 0; i < router->nlanes; i++) {
        backend_tick(router->lanes[i]->backend, now);
        expire_waiting(router->lanes[i]);
    }
    expire_held(router);
    dual_write_tick(router);
    private_lanes_tick(router);
    blocking_tick(router);
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

bool router_is_congested(const struct router *router)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (backend_backlog(router->lanes[i]->backend) > CONGESTED_BYTES) {
            return true;
        }
    }
    return false;
}

/* --- life ------------------------------------------------------------------------------------ */

struct router *router_new(const struct router_settings *settings,
                          const struct router_events *events)
{
    struct router *router = mem_zalloc(sizeof(*router));
    router->settings = *settings;
    router->events = *events;
    router->mirrors_last = &router->mirrors_first;
    turn_task_init(&router->drain_task, check_drains, router);
    blocking_init(router);
    command_parser_init(&router->parser, UINT64_MAX);
    return router;
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
    router->nlanes = 0; /* what the backends give back finds no lane, and is told so */
    for (unsigned i = 0; i < nlanes; i++) {
        struct request_queue orphaned = {.count = 0};
        free_lane(router->lanes[i], &orphaned);
        fail_all(router, &orphaned);
    }
    fail_all(router, &router->held);
    dual_write_forget_all(router);
    loop_cancel(router->settings.backend.loop, &router->drain_task);
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
