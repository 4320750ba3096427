/* WAIT: how many replicas of each shard have what was written so far; the fewest of any shard. The
 * shards' own WAIT is sent aside, since it would hold up everybody on a shared connection; what the
 * client has sent before is answered by then. A shard that cannot be reached has none. One thread.
 */
#ifndef PROXY_ROUTING_WAIT_H
#define PROXY_ROUTING_WAIT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

void wait_dispatch(struct router *router, struct request *request, const struct command *command);

#endif
