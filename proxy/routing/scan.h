/* SCAN over all shards, one after the other: the cursor carries the shard and the epoch. One
 * thread.
 */
#ifndef PROXY_ROUTING_SCAN_H
#define PROXY_ROUTING_SCAN_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* One step. */
void scan_dispatch(struct router *router, struct request *request, const struct command *command);

#endif
