#include "proxy/routing/private_lane.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "proxy/routing/router_internal.h"

struct private_lane {
    struct private_lane *next, *previous; /* of the router's */
    struct router *router;
    struct backend *backend;
    unsigned slot;
    unsigned char protocol;
    enum private_lane_use use;
    struct shard_identity process;
    bool is_stale, is_broken, was_ready;
    uint64_t stale_at_us; /* not 0: what it carries may go on until then */
    uint64_t opened_at_us;
    struct request *waiting; /* for the connection */
    struct private_lane_events events;
};

/* --- events of its connection ----------------------------------------------------------------- */

static void send_now(struct private_lane *lane, struct request *request, struct slice bytes)
{
    if (lane->use == PRIVATE_LANE_UPLOADS) {
        backend_send_begun(lane->backend, request, bytes);
    } else {
        backend_send(lane->backend, request, bytes);
    }
}

static void on_ready(void *context, struct backend *backend)
{
    struct private_lane *lane = context;
    struct request *request = lane->waiting;
    (void)backend;
    lane->waiting = NULL;
    lane->was_ready = true;
    if (request != NULL && lane->is_stale) {
        request->outcome = OUTCOME_NOT_SENT; /* the slot has moved on meanwhile */
        request->on_reply(request);
    } else if (request != NULL) {
        send_now(lane, request, buffer_slice(&request->bytes));
    }
}

static void on_written(void *context, struct backend *backend)
{
    const struct private_lane *lane = context;
    (void)backend;
    lane->events.on_room(lane->events.context);
}

static bool has_time(const struct private_lane *lane)
{
    return router_now_us(lane->router) <
           lane->opened_at_us + lane->router->settings.tuning.wait_max_us;
}

/* Once it was ready it is not made anew: what was watched or waited for on it is gone. */
static void on_down(void *context, struct backend *backend)
{
    struct private_lane *lane = context;
    struct router *router = lane->router;
    struct request *request = lane->waiting;
    if (!lane->was_ready && !lane->is_stale && backend_may_come(backend) && has_time(lane)) {
        return; /* refused for its epoch, say: the next hello will know better */
    }
    lane->is_broken = true;
    lane->waiting = NULL;
    if (request != NULL) {
        request->outcome = OUTCOME_NOT_SENT;
        request->on_reply(request); /* may close the lane */
    }
    router_reply_seen(router);
}

/* The lane may be gone before the kill is answered: the shard's shared lane keeps count. */
static void on_given_up(void *context, struct backend *backend, uint64_t connection_id)
{
    const struct private_lane *lane = context;
    const struct router_events *events = &lane->router->events;
    backend_killed(backend, connection_id);
    if (router_orphan(lane->router, backend_name(backend), connection_id)) {
        events->on_given_up(events->context, backend_name(backend), &lane->process, connection_id);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct private_lane *private_lane_open(struct router *router, unsigned slot, unsigned char protocol,
                                       enum private_lane_use use,
                                       const struct private_lane_events *events)
{
    unsigned shard = snapshot_entry(router->snapshot, slot)->authority;
    const struct topology_shard *target = &router->snapshot->topology->shards[shard];
    struct private_lane *lane = mem_zalloc(sizeof(*lane));
    const struct backend_events backend_events = {.on_ready = on_ready,
                                                  .on_down = on_down,
                                                  .on_given_up = on_given_up,
                                                  .on_written = on_written,
                                                  .context = lane};
    lane->router = router;
    lane->slot = slot;
    lane->protocol = protocol;
    lane->process = target->identity;
    lane->opened_at_us = router_now_us(router);
    lane->use = use;
    lane->events = *events;
    lane->next = router->private_lanes;
    if (lane->next != NULL) {
        lane->next->previous = lane;
    }
    router->private_lanes = lane;
    lane->backend = backend_new(&router->settings.backend, &backend_events);
    backend_set_protocol(lane->backend, protocol);
    if (use == PRIVATE_LANE_BLOCKS) {
        backend_set_patient(lane->backend);
    }
    backend_set_target(lane->backend, shard, target->name, &router->lanes[shard]->endpoint,
                       &target->identity);
    return lane;
}

void private_lane_close(struct private_lane *lane)
{
    struct router *router = lane->router;
    struct backend *backend = lane->backend;
    if (router->next_private_lane == lane) {
        router->next_private_lane = lane->next;
    }
    backend_free(backend);
    struct request *waiting = lane->waiting;
    lane->is_broken = true;
    lane->waiting = NULL;
    if (waiting != NULL) {
        waiting->outcome = OUTCOME_NOT_SENT;
        waiting->on_reply(waiting);
    }
    if (lane->previous != NULL) {
        lane->previous->next = lane->next;
    } else {
        router->private_lanes = lane->next;
    }
    if (lane->next != NULL) {
        lane->next->previous = lane->previous;
    }
    mem_free(lane);
    router_reply_seen(router);
}

bool private_lane_is_usable(const struct private_lane *lane, unsigned slot, unsigned char protocol)
{
    return lane->slot == slot && lane->protocol == protocol && !lane->is_stale && !lane->is_broken;
}

bool private_lane_is_stale(const struct private_lane *lane)
{
    return lane->is_stale;
}

bool private_lane_is_ready(const struct private_lane *lane)
{
    return !lane->is_broken && backend_state(lane->backend) == BACKEND_READY;
}

struct backend *private_lane_backend(struct private_lane *lane)
{
    return lane->backend;
}

void private_lane_send(struct private_lane *lane, struct request *request, struct slice bytes)
{
    ASSERT(lane->waiting == NULL);
    if (lane->is_broken) {
        request->outcome = OUTCOME_NOT_SENT;
        request->on_reply(request);
    } else if (backend_state(lane->backend) == BACKEND_READY) {
        send_now(lane, request, bytes);
    } else {
        router_keep_bytes(request, bytes);
        lane->waiting = request;
    }
}

/* --- adoption --------------------------------------------------------------------------------- */

/* The slot is still its process's. */
static bool leads_to_authority(const struct private_lane *lane, const struct snapshot *newer)
{
    if (lane->slot > newer->slot_mask) {
        return false;
    }
    unsigned shard = snapshot_entry(newer, lane->slot)->authority;
    const struct topology_shard *authority = &newer->topology->shards[shard];
    return strcmp(backend_name(lane->backend), authority->name) == 0 &&
           shard_identity_equal(&lane->process, &authority->identity);
}

/* What the shard does not have whole has not happened, and is sent under the newer epoch as it
 * would be under the older: then nothing has changed for it. */
static bool carries_on(const struct private_lane *lane, const struct snapshot *newer)
{
    if (lane->use != PRIVATE_LANE_UPLOADS || !leads_to_authority(lane, newer)) {
        return false;
    }
    const struct slot_entry *entry = snapshot_entry(newer, lane->slot);
    bool is_unfinished = lane->waiting != NULL || backend_has_begun(lane->backend);
    return is_unfinished && !entry->is_held && !entry->is_dual;
}

void private_lanes_mark(struct router *router, const struct snapshot *newer)
{
    for (struct private_lane *lane = router->private_lanes; lane != NULL; lane = lane->next) {
        if (slot_entry_changed(router->snapshot, newer, lane->slot) && !carries_on(lane, newer)) {
            backend_begin_drain(lane->backend);
        }
    }
}

static void become_stale(struct private_lane *lane)
{
    lane->is_stale = true;
    lane->stale_at_us = 0;
    if (lane->events.on_stale != NULL) {
        lane->events.on_stale(lane->events.context); /* may close this lane, and no other */
    }
}

/* Nobody waits yet for a slot that dual writes begin for, but the barrier: half of its patience is
 * for what has been begun, and counts as in flight until then. */
static uint64_t patience_us(const struct private_lane *lane)
{
    const struct snapshot *newer = lane->router->snapshot;
    if (lane->use != PRIVATE_LANE_UPLOADS || !backend_has_begun(lane->backend) ||
        lane->stale_at_us != 0 || !leads_to_authority(lane, newer)) {
        return 0;
    }
    const struct slot_entry *entry = snapshot_entry(newer, lane->slot);
    return entry->is_dual && !entry->is_held
               ? entry->migration->options.barrier_timeout_ms * 1000 / 2
               : 0;
}

void private_lanes_adopt(struct router *router, const struct snapshot *older)
{
    struct private_lane *lane = router->private_lanes;
    while (lane != NULL) {
        struct private_lane *next = lane->next;
        if (!lane->is_stale && slot_entry_changed(older, router->snapshot, lane->slot) &&
            !carries_on(lane, router->snapshot)) {
            uint64_t patience = patience_us(lane);
            if (patience > 0) {
                lane->stale_at_us = router_now_us(router) + patience;
            } else {
                become_stale(lane);
            }
        }
        lane = next;
    }
}

bool private_lanes_have_ended(const struct router *router, const char *shard)
{
    for (const struct private_lane *lane = router->private_lanes; lane != NULL; lane = lane->next) {
        if (strcmp(backend_name(lane->backend), shard) == 0 &&
            !backend_has_drained(lane->backend)) {
            return false;
        }
    }
    return true;
}

/* For walks whose callbacks may close any lane. */
static struct private_lane *next_lane(struct router *router)
{
    struct private_lane *lane = router->next_private_lane;
    router->next_private_lane = lane != NULL ? lane->next : NULL;
    return lane;
}

static struct private_lane *first_lane(struct router *router)
{
    router->next_private_lane = router->private_lanes;
    return next_lane(router);
}

static void fail_waiting(struct private_lane *lane)
{
    struct request *request = lane->waiting;
    lane->is_broken = true;
    lane->waiting = NULL;
    request->outcome = OUTCOME_NOT_SENT;
    request->on_reply(request);
}

void private_lanes_tick(struct router *router)
{
    uint64_t now = router_now_us(router);
    struct private_lane *lane;
    for (lane = first_lane(router); lane != NULL; lane = next_lane(router)) {
        if (lane->waiting != NULL && !has_time(lane)) {
            fail_waiting(lane);
        } else if (lane->stale_at_us != 0 && now >= lane->stale_at_us) {
            become_stale(lane);
        } else if (!lane->is_broken) {
            backend_tick(lane->backend, now);
        }
    }
}

void private_lanes_expel(struct router *router, const char *shard)
{
    struct private_lane *lane;
    for (lane = first_lane(router); lane != NULL; lane = next_lane(router)) {
        if (!lane->is_broken && strcmp(backend_name(lane->backend), shard) == 0) {
            backend_expel(lane->backend);
        }
    }
}

void private_lanes_end_uploads(struct router *router)
{
    struct private_lane *lane;
    for (lane = first_lane(router); lane != NULL; lane = next_lane(router)) {
        if (lane->use == PRIVATE_LANE_UPLOADS) {
            backend_expel(lane->backend);
        }
    }
}
