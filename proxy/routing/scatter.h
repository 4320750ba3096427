/* The same commands to every shard, and all their answers together. The commands may stand directly
 * behind each other on a shard's connection, but they are no transaction. One thread. */
#ifndef PROXY_ROUTING_SCATTER_H
#define PROXY_ROUTING_SCATTER_H

#include "proxy/routing/aggregate.h"
#include "proxy/routing/router.h"

struct scatter; /* the answers; freed when `done` returns */

/* All have answered, or their errors are there. Perhaps before scatter_send returns. */
typedef void scatter_fn(void *context, const struct scatter *scatter);

/* Sends `ncommands` whole commands (RESP; copied), one behind the other, to each shard of the
 * adopted topology, on behalf of `request`, which is only read now. */
void scatter_send(struct router *router, const struct request *request,
                  const struct slice *commands, unsigned ncommands, scatter_fn *done,
                  void *context);
/* The same to one shard, which is number 0 in the answers. */
void scatter_send_one(struct router *router, const struct request *request, unsigned shard,
                      const struct slice *commands, unsigned ncommands, scatter_fn *done,
                      void *context);

unsigned scatter_shards(const struct scatter *scatter);
/* Of one shard, to one of the commands. */
struct shard_answer scatter_answer(const struct scatter *scatter, unsigned shard, unsigned command);
/* Of all shards to one of the commands: scatter_shards many. The caller frees it with mem_free. */
struct shard_answer *scatter_answers(const struct scatter *scatter, unsigned command)
    __attribute__((warn_unused_result));
/* The owner of a slot, or the list of shards, has changed since it was sent: what one shard had
 * before and what another has now do not fit together. */
bool scatter_is_outdated(const struct scatter *scatter);

#endif
