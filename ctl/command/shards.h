/* The shards as status and `shard list` show them. */
#ifndef CTL_COMMAND_SHARDS_H
#define CTL_COMMAND_SHARDS_H

#include "ctl/command/command.h"

/* Asks every shard: [{name, address, weight, slots, state, keys, why}]. Owned by the caller. */
json_t *shards_view(const struct topology *topology);
void shards_print(const json_t *shards, FILE *out);

/* Former primaries that may live and are not closed yet: [{shard, address}]. Owned by the caller.
 */
json_t *formers_view(const struct topology *topology);
void formers_print(const json_t *formers, FILE *out);

#endif
