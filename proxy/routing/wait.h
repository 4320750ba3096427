/* WAIT: how many replicas of each shard have what was written so far; the fewest of any shard. The
 * shards are asked for their offsets again and again, since a shard's own WAIT would hold up
 * everybody on the connection. Replicas tell their offsets once a second: so late may the answer
 * be. One thread. */
#ifndef PROXY_ROUTING_WAIT_H
#define PROXY_ROUTING_WAIT_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

void wait_dispatch(struct router *router, struct request *request, const struct command *command);

#endif
