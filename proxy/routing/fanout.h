/* Commands without keys that concern all shards: DBSIZE, KEYS, and SCAN, whose cursor carries the
 * shard and the epoch. One thread. */
#ifndef PROXY_ROUTING_FANOUT_H
#define PROXY_ROUTING_FANOUT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* To one shard that can be used now, as it is. */
void fanout_any_shard(struct router *router, struct request *request, struct slice bytes);
/* To every shard: integers added, less Sluice's own keys (DBSIZE). */
void fanout_sum(struct router *router, struct request *request, struct slice bytes);
/* To every shard: arrays joined, without Sluice's own keys and without copies (KEYS). */
void fanout_keys(struct router *router, struct request *request, struct slice bytes);
/* One step of a SCAN over all shards. */
void fanout_scan(struct router *router, struct request *request, const struct command *command);

#endif
