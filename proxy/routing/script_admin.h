/* SCRIPT LOAD, EXISTS and FLUSH: of all shards as of one. One thread. */
#ifndef PROXY_ROUTING_SCRIPT_ADMIN_H
#define PROXY_ROUTING_SCRIPT_ADMIN_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* LOAD: loaded and kept on every shard that can be reached; the others get it when it is called
 * there. EXISTS: what any shard keeps; where it is missing it is loaded when it is called. FLUSH:
 * all shards, or an error. */
void script_admin_dispatch(struct router *router, struct request *request,
                           const struct command *command);

#endif
