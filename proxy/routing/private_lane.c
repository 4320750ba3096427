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
    struct shard_identity process;
    bool is_stale, is_broken, was_ready;
    uint64_t opened_at_us;
    uint64_t drain_mark;
    struct request *waiting; /* for the connection */
    private_lane_fn *on_stale;
    void *context;
};

/* --- events of its connection ------------------------------------------------------------------
 */

static void on_ready(void *context, struct backend *backend)
{
    struct private_lane *lane = context;
    struct request *request = lane->waiting;
    lane->waiting = NULL;
    lane->was_ready = true;
    if (request != NULL && lane->is_stale) {
        request->outcome = OUTCOME_NOT_SENT; /* the slot has moved on meanwhile */
        request->on_reply(request);
    } else if (request != NULL) {
        backend_send(backend, request, buffer_slice(&request->bytes));
    }
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

/* --- life --------------------------------------------------------------------------------------
 */

struct private_lane *private_lane_open(struct router *router, unsigned slot, unsigned char protocol,
                                       enum private_lane_use use, private_lane_fn *on_stale,
                                       void *context)
{
    unsigned shard = snapshot_entry(router->snapshot, slot)->authority;
    const struct topology_shard *target = &router->snapshot->topology->shards[shard];
    struct private_lane *lane = mem_zalloc(sizeof(*lane));
    struct backend_events events = {
        .on_ready = on_ready, .on_down = on_down, .on_given_up = on_given_up, .context = lane};
    lane->router = router;
    lane->slot = slot;
    lane->protocol = protocol;
    lane->process = target->identity;
    lane->opened_at_us = router_now_us(router);
    lane->on_stale = on_stale;
    lane->context = context;
    lane->next = router->private_lanes;
    if (lane->next != NULL) {
        lane->next->previous = lane;
    }
    router->private_lanes = lane;
    lane->backend = backend_new(&router->settings.backend, &events);
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
        backend_send(lane->backend, request, bytes);
    } else {
        router_keep_bytes(request, bytes);
        lane->waiting = request;
    }
}

/* --- adoption ----------------------------------------------------------------------------------
 */

void private_lanes_mark(struct router *router, const struct snapshot *newer)
{
    for (struct private_lane *lane = router->private_lanes; lane != NULL; lane = lane->next) {
        if (slot_entry_changed(router->snapshot, newer, lane->slot)) {
            lane->drain_mark = backend_sent(lane->backend);
        }
    }
}

void private_lanes_adopt(struct router *router, const struct snapshot *older)
{
    struct private_lane *lane = router->private_lanes;
    while (lane != NULL) {
        struct private_lane *next = lane->next;
        if (!lane->is_stale && slot_entry_changed(older, router->snapshot, lane->slot)) {
            lane->is_stale = true;
            if (lane->on_stale != NULL) {
                lane->on_stale(lane->context); /* may close this lane, and no other */
            }
        }
        lane = next;
    }
}

bool private_lanes_have_ended(const struct router *router, const char *shard)
{
    for (const struct private_lane *lane = router->private_lanes; lane != NULL; lane = lane->next) {
        if (strcmp(backend_name(lane->backend), shard) == 0 &&
            !backend_has_ended(lane->backend, lane->drain_mark)) {
            return false;
        }
    }
    return true;
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
    for (struct private_lane *lane = router->private_lanes, *next; lane != NULL; lane = next) {
        next = lane->next;
        if (lane->waiting != NULL && !has_time(lane)) {
            fail_waiting(lane);
        } else if (!lane->is_broken) {
            backend_tick(lane->backend, now);
        }
    }
}

void private_lanes_expel(struct router *router, const char *shard)
{
    for (struct private_lane *lane = router->private_lanes, *next; lane != NULL; lane = next) {
        next = lane->next;
        if (!lane->is_broken && strcmp(backend_name(lane->backend), shard) == 0) {
            backend_expel(lane->backend);
        }
    }
}
