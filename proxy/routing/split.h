/* Commands that span shards: MGET, MSET, and those that add up integers (DEL UNLINK EXISTS TOUCH).
 * The keys are cut into parts, one a shard (one a slot where a migration is going on), each a
 * request of its own; the parts' answers are put together. A part that fails fails the whole; what
 * other parts did stays done, as documented (docs/protocol.md). One thread. */
#ifndef PROXY_ROUTING_SPLIT_H
#define PROXY_ROUTING_SPLIT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* request->command has one of the three split handlers. request->done is called once. */
void split_dispatch(struct router *router, struct request *request, const struct command *command);
/* For router.c: a request whose keys had one shard (request->cut_epoch) was not sent before the
 * topology changed. It is cut anew: sent whole by one of its slots, a key would go to a shard that
 * has lost it, or be written without its mark. */
void split_again(struct router *router, struct request *request);

#endif
