/* A store that was restored from a backup is behind the shards: their fences are at larger epochs,
 * and every epoch that it hands out until it has caught up was handed out before. Blocking. */
#ifndef LIB_CLUSTER_REPAIR_H
#define LIB_CLUSTER_REPAIR_H

#include "lib/store/store.h"

struct repair {
    uint64_t from, to; /* epochs; equal: nothing was to be done */
};

/* Servers that stand in for shards of their names: replicas of lost ones. */
struct repair_places {
    const struct topology_shard *places;
    unsigned count;
};

/* Raises the store's epoch above every fence. Refused where a shard has seen a migration that the
 * store does not know as it was: then slots may have another owner than the backup says, and only
 * an operator can tell. All shards, or who stands in for them, must answer. */
bool cluster_repair(struct store *store, const struct repair_places *places, struct repair *repair,
                    struct error *err) __attribute__((warn_unused_result));

#endif
