/* EVAL, EVALSHA, FCALL and their _RO forms. They go by their keys like other commands; beside that,
 *
 *   - a shard that lacks a script which its client loaded, through any proxy, gets it first;
 *   - NOSCRIPT is the proof that nothing ran: the shard gets the script and the command once more,
 *     unless the client has sent others behind it, which it must not overtake;
 *   - without keys they go to any shard in their _RO form: a write of a key that nobody named could
 *     be on the wrong shard, and is refused by Redis in its own words;
 *   - SCRIPT LOAD in a transaction: all shards get the script before, and the transaction's own
 *     answers. That is true whatever becomes of the transaction: a name means one script for ever.
 *
 * One thread. */
#ifndef PROXY_ROUTING_SCRIPT_CALL_H
#define PROXY_ROUTING_SCRIPT_CALL_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* The request has its slot, or SLOT_NONE and a shard. */
void script_dispatch(struct router *router, struct request *request, const struct command *command);
/* An EXEC, with or without scripts in it: as router_dispatch of the request's own bytes. */
void script_dispatch_unit(struct router *router, struct request *request);
/* The command as it goes to a shard. */
void script_write(struct buffer *out, const struct command_info *info,
                  const struct command *command, bool has_keys);

#endif
