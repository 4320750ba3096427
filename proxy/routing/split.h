/* Commands that span shards, as the server's tips say: MGET, MSET, DEL and their like, and those of
 * modules. The keys are cut into parts, one a shard (one a slot where a migration is going on),
 * each a request of its own; the parts' answers become one by the response policy. A part that
 * fails fails the whole; what other parts did stays done, as documented (docs/protocol.md). One
 * thread. */
#ifndef PROXY_ROUTING_SPLIT_H
#define PROXY_ROUTING_SPLIT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* How many keys, each with what belongs to it (MSET's values), stand in a command of HANDLER_SPLIT;
 * 0: the arguments do not fit. */
unsigned split_groups(const struct command_info *info, unsigned argc);
/* request->command has HANDLER_SPLIT, and the arguments fit. request->done is called once. */
void split_dispatch(struct router *router, struct request *request, const struct command *command);
/* For router.c: a request whose keys had one shard (request->cut_epoch) was not sent before the
 * topology changed. It is cut anew: sent whole by one of its slots, a key would go to a shard that
 * has lost it, or be written without its mark. */
void split_again(struct router *router, struct request *request);

#endif
