/* Commands that wait for an element: BLPOP and its kin, XREAD and XREADGROUP with BLOCK.
 *
 * - Where the slot has no copy, the command waits on the shard, on a connection of its own.
 *
 * - Where it has one, the proxy looks now and then what the keys hold, which raises no mark; once
 *   there is something the command goes as a unit, in which it does not wait. Of those who wait for
 *   one key, the first to come looks and takes.
 *
 * - In a hold it waits here.
 *
 * When the slot's entry changes while it waits on a shard, CLIENT UNBLOCK wakes it and it goes
 * where the new entry says: after the fence fell, nothing that waits there pops. DESIGN.md sections
 * 4, 6. One thread. */
#ifndef PROXY_ROUTING_BLOCKING_H
#define PROXY_ROUTING_BLOCKING_H

#include "lib/resp/command_parser.h"
#include "proxy/routing/router.h"

/* request->slot is set. request->done is called once; request->cancel is set meanwhile. */
void blocking_dispatch(struct router *router, struct request *request,
                       const struct command *command);

/* CLIENT UNBLOCK of it: answered as when its time is up, or with Redis' error, unless an element
 * came first. `told` is called once, with whether it was, perhaps at once; never when false is
 * returned: somebody else is unblocking it already. */
struct unblocking {
    void (*told)(void *context, bool was_waiting);
    void *context;
    bool with_error;
};

bool blocking_unblock(struct request *request, const struct unblocking *unblocking)
    __attribute__((warn_unused_result));

#endif
