#include "lib/cluster/repair.h"

#include <string.h>

#include "lib/cluster/change.h"
#include "lib/cluster/probe.h"
#include "lib/shard/fence.h"

#define RAISE_MAX 1000000u /* epochs; more is no backup of this cluster */

static bool look_at(const struct topology *topology, const struct topology_shard *shard,
                    uint64_t *highest, struct error *err)
{
    struct fence_state fence;
    uint64_t generation = 0;
    struct shard_link *link = probe_open(shard, err);
    bool ok =
        link != NULL && fence_read(link, &fence, err) && fence_newest_guard(link, &generation, err);
    if (ok && fence.exists && strcmp(fence.cluster, topology->cluster) != 0) {
        ok = error_set(err, "its fence is of cluster %s, and the store's is %s", fence.cluster,
                       topology->cluster);
    }
    if (ok && generation > topology->epoch) {
        ok = error_set(err,
                       "a migration of generation %llu has touched it, and the store knows nothing "
                       "after epoch %llu: its slots may have another owner than the backup says. "
                       "Restore a newer backup, or compare the shards' keys and init anew with "
                       "--adopt",
                       (unsigned long long)generation, (unsigned long long)topology->epoch);
    }
    if (ok && fence.exists && fence.epoch > *highest) {
        *highest = fence.epoch;
    }
    shard_close(link);
    return ok || error_prefix(err, "shard \"%s\"", shard->name);
}

static bool highest_fence(const struct topology *topology, uint64_t *highest, struct error *err)
{
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (!look_at(topology, &topology->shards[i], highest, err)) {
            return false;
        }
    }
    return *highest - topology->epoch <= RAISE_MAX ||
           error_set(err,
                     "the fences are at epoch %llu, the store at %llu: that is no backup of it",
                     (unsigned long long)*highest, (unsigned long long)topology->epoch);
}

/* One epoch more, as long as it is not enough. */
static enum change_verdict raise_epoch(struct topology *next, void *context, struct error *err)
{
    const uint64_t *wanted = context;
    (void)err;
    return next->epoch <= *wanted ? CHANGE_WRITE : CHANGE_NOTHING;
}

bool cluster_repair(struct store *store, struct repair *repair, struct error *err)
{
    struct topology *topology = store_read(store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    uint64_t highest = topology->epoch, wanted = 0;
    bool ok = highest_fence(topology, &highest, err);
    *repair = (struct repair){topology->epoch, topology->epoch};
    wanted = highest > topology->epoch ? highest + 1 : topology->epoch;
    while (ok && repair->to < wanted) {
        ok = cluster_change(store, raise_epoch, &wanted, &repair->to, err);
    }
    topology_free(topology);
    return ok;
}
