/* A request that is too large to be kept goes to the shard of its slot as it comes, on a connection
 * of its own, which takes as much at a time as the shard does.
 *
 *   connecting --> sending --> whole --> answered        a loss or a change of the slot's entry
 *        |            |                                   before it is whole: it was not executed
 *        +------------+--> answered: -UNAVAILABLE         (begun.c), and nobody waits for it
 *
 * Its bytes are not kept, so it is never sent twice, and a drain never waits for a client's bytes.
 * From its last byte on it is in flight as any write is. One thread. */
#ifndef PROXY_ROUTING_UPLOAD_H
#define PROXY_ROUTING_UPLOAD_H

#include "proxy/routing/router.h"

/* Whether a write to this slot may go past the proxy now: neither held, nor to be mirrored, which
 * takes a whole request; and not too many at a time. */
bool upload_may_begin(const struct router *router, unsigned slot);

/* request->slot, command and protocol are set; `bytes` is what there is of it. request->done is
 * called once, perhaps at once, perhaps before all of it is there; request->progress whenever there
 * is room for more. request->cancel: the client is gone. */
void upload_begin(struct router *router, struct request *request, struct slice bytes);

/* While it is not done. */
bool upload_has_room(const struct request *request);
void upload_add(struct request *request, struct slice bytes, bool is_last);
/* The client will not send the rest: forgets it. request->done is not called. */
void upload_abandon(struct request *request);

#endif
