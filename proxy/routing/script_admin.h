/* SCRIPT LOAD, EXISTS and FLUSH: of all shards as of one. One thread. */
#ifndef PROXY_ROUTING_SCRIPT_ADMIN_H
#define PROXY_ROUTING_SCRIPT_ADMIN_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* Loaded and kept on every shard that can be reached; the others get it when it is called there. */
void script_load(struct router *router, struct request *request, const struct command *command);
/* What any shard keeps exists: where it is missing it is loaded when it is called. */
void script_exists(struct router *router, struct request *request, const struct command *command);
/* All shards, or an error. */
void script_flush(struct router *router, struct request *request, const struct command *command);

#endif
