/* A connection of one client's own to the shard of one slot, for what must not share a connection:
 * WATCH until EXEC, commands that block, and requests that come in pieces. It counts for draining
 * like the shared lanes: what is sent on it is in flight. One request at a time. One thread. */
#ifndef PROXY_ROUTING_PRIVATE_LANE_H
#define PROXY_ROUTING_PRIVATE_LANE_H

#include "proxy/routing/router.h"

struct private_lane;

/* What is sent on it may wait for hours; or is answered at once, as on the shared lanes; or is one
 * request whose end is still to come: more of it is sent by backend_send_more. */
enum private_lane_use {
    PRIVATE_LANE_BLOCKS,
    PRIVATE_LANE_WATCHES,
    PRIVATE_LANE_UPLOADS,
};

typedef void private_lane_fn(void *context);

struct private_lane_events {
    /* The slot's entry has changed since the lane was opened, or its shard is another process;
     * nothing new is sent on it. Called once, from an adoption. May be null. */
    private_lane_fn *on_stale;
    /* For PRIVATE_LANE_UPLOADS: there is room for more of the request. */
    private_lane_fn *on_room;
    void *context;
};

/* To the present authority of the slot; `protocol`, 2 or 3, is that of the replies. `events` is
 * copied. */
struct private_lane *private_lane_open(struct router *router, unsigned slot, unsigned char protocol,
                                       enum private_lane_use use,
                                       const struct private_lane_events *events);
/* A request on it is told OUTCOME_UNKNOWN or OUTCOME_NOT_SENT first. */
void private_lane_close(struct private_lane *lane);

/* Still fit for a request to this slot, whose client wants this protocol: same entry as when it was
 * opened, and not broken. */
bool private_lane_is_usable(const struct private_lane *lane, unsigned slot, unsigned char protocol);
/* The slot's entry has changed since. */
bool private_lane_is_stale(const struct private_lane *lane);
bool private_lane_is_ready(const struct private_lane *lane);
struct backend *private_lane_backend(struct private_lane *lane);
/* request->on_reply is called with an outcome; it may have to wait for the connection first. */
void private_lane_send(struct private_lane *lane, struct request *request, struct slice bytes);

#endif
