/* One client's connections for publish/subscribe: one to every shard of the adopted topology.
 *
 * A message is published on one shard, whichever it is; who listens on all of them gets it once.
 * Each shard knows each subscriber, so PUBLISH counts those who get it and PUBSUB tells the truth
 * whichever shard is asked. A shard that joins the topology, or comes back, is told at once
 * everything that is subscribed to. The connections speak RESP2. One thread.
 * docs/internals/pubsub.md. */
#ifndef PROXY_ROUTING_SUBSCRIBER_H
#define PROXY_ROUTING_SUBSCRIBER_H

#include "proxy/routing/router.h"

struct subscriber;

/* None of these may close the subscriber. */
struct subscriber_events {
    /* A new connection is ready: append the commands that subscribe to everything. Returns how many
     * confirmations they will get. */
    unsigned (*on_ready)(void *context, struct buffer *out);
    /* A message from the shard with this index: a whole array, "message" or its kin first. */
    void (*on_message)(void *context, unsigned shard, struct slice value);
    /* Once after subscriber_settle: every shard that can be used has confirmed. */
    void (*on_settled)(void *context);
    /* A shard refuses what was said (its ACL, say), in its words: a whole RESP error. */
    void (*on_refused)(void *context, struct slice error);
    void *context;
};

/* Connects to every shard. A message of more than `message_max` bytes ends a connection. */
struct subscriber *subscriber_open(struct router *router, const struct subscriber_events *events,
                                   size_t message_max);
void subscriber_close(struct subscriber *subscriber);

/* Tells every shard that is connected; those that are not yet get what on_ready appends then. The
 * shard answers with that many confirmations. */
void subscriber_say(struct subscriber *subscriber, struct slice bytes, unsigned confirmations);
/* True: every shard that can be used has confirmed what was said. Else on_settled will be called. A
 * shard that is down, or hangs, is not waited for without end: it is told when it comes back. */
bool subscriber_settle(struct subscriber *subscriber);

#endif
