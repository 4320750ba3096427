/* The names of everything Sluice keeps on a shard. All begin with "__sluice:", which clients may
 * neither name nor see. docs/internals/on-shard.md is the whole contract. Pure. */
#ifndef LIB_SHARD_METADATA_H
#define LIB_SHARD_METADATA_H

#include "lib/base/slice.h"
#include "lib/topology/topology.h"

#define METADATA_PREFIX "__sluice:"
#define METADATA_FENCE  "__sluice:fence"
/* Hash, SHA-1 -> body: what clients have loaded, for shards that lack it. Only where they did. */
#define METADATA_SCRIPTS  "__sluice:scripts"
#define METADATA_LASTING  2                   /* the two that stay when no migration is open */
#define METADATA_SENTINEL "__sluice:sentinel" /* field of seq and ver, member of dirty */

/* Metadata of one (migration, base, direction): "__sluice:m42:43:f:seq". */
#define METADATA_NAME_MAX 96

struct metadata_names {
    char seq[METADATA_NAME_MAX]; /* authority: hash, key -> number of writes since the base began */
    char dirty[METADATA_NAME_MAX]; /* authority: set of keys to verify again */
    char ver[METADATA_NAME_MAX];   /* copy: hash, key -> number last applied; sparse */
};

void metadata_names_of(uint64_t migration, uint64_t base, enum direction direction,
                       struct metadata_names *names);

/* States of a guard, in their order. */
enum guard_state {
    GUARD_OPEN = 1,
    GUARD_OWNER = 2,
    GUARD_PURGE = 3,
    GUARD_CLOSED = 4
};

static inline bool metadata_is_name(struct slice key)
{
    return key.len >= sizeof(METADATA_PREFIX) - 1 && key.data[0] == '_' &&
           memcmp(key.data, METADATA_PREFIX, sizeof(METADATA_PREFIX) - 1) == 0;
}

#endif
