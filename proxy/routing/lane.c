/* The shared connections to one shard: one for clients of RESP2, and one for those of RESP3 from
 * the first request of such a client on. One client's requests all take the same one. */
#include "lib/base/memory.h"
#include "proxy/routing/router_internal.h"

/* --- events of the connection ---------------------------------------------------------------- */

static void on_ready(void *context, struct backend *backend)
{
    struct lane *lane = context;
    (void)backend;
    router_redispatch_all(lane->router, &lane->waiting);
}

static void on_down(void *context, struct backend *backend)
{
    struct lane *lane = context;
    router_reply_seen(lane->router);
    if (!backend_may_come(backend)) {
        router_redispatch_all(lane->router, &lane->waiting); /* each gets its error */
    }
}

static void on_given_up(void *context, struct backend *backend, uint64_t connection_id)
{
    const struct lane *lane = context;
    const struct router_events *events = &lane->router->events;
    events->on_given_up(events->context, backend_name(backend), &lane->process, connection_id);
}

/* --- life ------------------------------------------------------------------------------------ */

struct lane *lane_new(struct router *router, unsigned char protocol)
{
    struct lane *lane = mem_zalloc(sizeof(*lane));
    struct backend_events events = {
        .on_ready = on_ready, .on_down = on_down, .on_given_up = on_given_up, .context = lane};
    lane->router = router;
    lane->backend = backend_new(&router->settings.backend, &events);
    backend_set_protocol(lane->backend, protocol);
    return lane;
}

void lane_point(struct lane *lane, unsigned shard)
{
    const struct topology_shard *target = &lane->router->snapshot->topology->shards[shard];
    backend_set_target(lane->backend, shard, target->name, &lane->endpoint, &target->identity);
    lane->process = target->identity; /* what has just been given up was to the one before */
    backend_retry(lane->backend);
}

/* It counts for draining from now on: nothing was sent on it under an older epoch. */
static struct lane *lane_of_resp3(struct lane *lane, unsigned shard)
{
    if (lane->resp3 == NULL) {
        lane->resp3 = lane_new(lane->router, 3);
        lane->router->has_resp3 = true;
        lane->resp3->endpoint = lane->endpoint;
        lane_point(lane->resp3, shard);
    }
    return lane->resp3;
}

struct lane *lane_to(struct router *router, unsigned shard, unsigned char protocol)
{
    struct lane *lane = router->lanes[shard];
    return protocol < 3 ? lane : lane_of_resp3(lane, shard);
}

void lane_free_both(struct lane *lane, struct request_queue *orphaned)
{
    while (lane != NULL) {
        struct lane *resp3 = lane->resp3;
        request_queue_append(orphaned, &lane->waiting);
        backend_free(lane->backend);
        mem_free(lane);
        lane = resp3;
    }
}

struct lane *lane_find(const struct router *router, const char *shard)
{
    for (unsigned i = 0; i < router->nlanes; i++) {
        if (strcmp(backend_name(router->lanes[i]->backend), shard) == 0) {
            return router->lanes[i];
        }
    }
    return NULL;
}
