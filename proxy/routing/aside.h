/* The same commands to every shard on connections of their own, for what must not stand behind
 * others, nor others behind it: SCRIPT KILL, and WAIT. The connections last for one request and are
 * not fenced in: nothing that writes may be sent on them. A shard that is busy with a script
 * answers them all the same. One thread. */
#ifndef PROXY_ROUTING_ASIDE_H
#define PROXY_ROUTING_ASIDE_H

#include "proxy/routing/router.h"

struct aside;

/* All shards have answered, or will not: writes the answer with request_answer(request), and no
 * more. Not called when the client has gone. */
typedef void aside_fn(const struct aside *aside, struct request *request);

/* `bytes` are whole commands (copied), and `nreplies` of them. Who has not answered by
 * `deadline_us` (0: never) is done without. Answers the request. */
void aside_send(struct router *router, struct request *request, struct slice bytes,
                unsigned nreplies, uint64_t deadline_us, aside_fn *done);

unsigned aside_shards(const struct aside *aside);
/* All replies of a shard; they count when its outcome is OUTCOME_REPLY. */
const struct request *aside_exchange(const struct aside *aside, unsigned shard);

#endif
