/* Commands that name no key and concern all shards, or any. One thread. */
#ifndef PROXY_ROUTING_FANOUT_H
#define PROXY_ROUTING_FANOUT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* To one shard that can be used now, as it is. */
void fanout_any_shard(struct router *router, struct request *request, struct slice bytes);
/* To every shard; the replies become one by the command's response policy. */
void fanout_all_shards(struct router *router, struct request *request, struct slice bytes);
/* LATENCY DOCTOR and the like, for people to read: each shard's text below its name. */
void fanout_texts(struct router *router, struct request *request, struct slice bytes);
/* KEYS: lists joined, without Sluice's own keys and without copies. */
void fanout_keys(struct router *router, struct request *request, struct slice bytes);
/* DBSIZE: numbers added, less what Sluice keeps there. */
void fanout_dbsize(struct router *router, struct request *request);
/* RANDOMKEY: of a shard that is drawn by its size. */
void fanout_randomkey(struct router *router, struct request *request, struct slice bytes);
/* FLUSHALL and FLUSHDB: everything but what Sluice keeps there, which no moment is without. */
void fanout_flush(struct router *router, struct request *request, const struct command *command);

#endif
