/* Disks that are full or hang, for the store and for shards. Main thread only.
 *
 * Full: no process may make a file larger, writes fail and may be cut short (EFBIG stands in for
 * ENOSPC; both are one errno to the code). Hangs: whoever reads the topology does not come back:
 * a pipe without a writer stands where the next epoch will be. */
#ifndef TESTS_SUPPORT_CHAOS_DISKS_H
#define TESTS_SUPPORT_CHAOS_DISKS_H

#include "tests/support/cluster.h"

/* For all proxies and the migrator. */
void disks_fill_store(struct cluster *cluster);
void disks_free_store(struct cluster *cluster);

/* The path of what hangs: for disks_wake_store, which frees it. */
char *disks_hang_store(struct cluster *cluster) __attribute__((warn_unused_result));
void disks_wake_store(char *hanging);

/* The shard answers writes with -MISCONF. With appendfsync always Redis would end itself, so all
 * shards sync every second meanwhile. */
void disks_fill_shard(struct cluster *cluster, unsigned shards, unsigned shard);
void disks_free_shard(struct cluster *cluster, unsigned shards, unsigned shard);

#endif
