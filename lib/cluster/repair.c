#include "lib/cluster/repair.h"

#include <string.h>

#include "lib/base/memory.h"
#include "lib/cluster/change.h"
#include "lib/cluster/probe.h"
#include "lib/shard/fence.h"

#define RAISE_MAX 1000000u /* epochs; more is no backup of this cluster */

/* A shard knows of a change of owner that the document has not. */
static bool refuse(const char *what, uint64_t generation, const struct topology *topology,
                   struct error *err)
{
    return error_set(err,
                     "%s generation %llu, and the store knows nothing after epoch %llu: its slots "
                     "may have another owner than the backup says. Restore a newer backup, or "
                     "compare the shards' keys and init anew with --adopt",
                     what, (unsigned long long)generation, (unsigned long long)topology->epoch);
}

/* The guard of a copy becomes owner just before the topology says so; an undone hold has another
 * generation. In a document of a hold it may be either, and is refused as well. */
static bool has_become_owner(const struct topology *topology, unsigned shard,
                             const struct guard_record *guard)
{
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (migration->id == guard->migration && migration_copy(migration) == shard) {
            return guard->generation == migration->generation && guard->state >= GUARD_OWNER;
        }
    }
    return false;
}

/* An open migration of the document, which has ended on the shard meanwhile: its guard was pruned.
 * A planned one has no guard yet, and whatever begins of it has a later generation. */
static bool has_ended(const struct migration *migration, unsigned shard, uint64_t pruned,
                      const struct guard_record *guards, unsigned count)
{
    bool is_there = false;
    for (unsigned i = 0; i < count; i++) {
        is_there = is_there || guards[i].migration == migration->id;
    }
    return migration->phase != PHASE_PLANNED && migration_copy(migration) == shard && !is_there &&
           migration->generation <= pruned;
}

/* What a guard that was pruned would have said. */
static bool check_pruned(const struct topology *topology, unsigned shard, uint64_t pruned,
                         const struct guard_record *guards, unsigned count, struct error *err)
{
    if (pruned > topology->epoch) {
        return refuse("it was part of a migration of", pruned, topology, err);
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (has_ended(migration, shard, pruned, guards, count)) {
            return refuse("here a migration has ended that was of", migration->generation, topology,
                          err);
        }
    }
    return true;
}

static bool check_guards(struct shard_link *link, const struct topology *topology, unsigned shard,
                         uint64_t pruned, struct error *err)
{
    struct guard_record *guards = NULL;
    unsigned count = 0;
    bool ok = fence_guards(link, &guards, &count, err) &&
              check_pruned(topology, shard, pruned, guards, count, err);
    for (unsigned i = 0; i < count && ok; i++) {
        if (guards[i].generation > topology->epoch) {
            ok = refuse("it was part of a migration of", guards[i].generation, topology, err);
        } else if (has_become_owner(topology, shard, &guards[i])) {
            ok = refuse("it was given the slots of a migration of", guards[i].generation, topology,
                        err);
        }
    }
    mem_free(guards);
    return ok;
}

/* Who stands in for it; null: nobody. */
static const struct topology_shard *find_stand_in(const struct repair_places *places,
                                                  const char *shard)
{
    for (unsigned i = 0; i < places->count; i++) {
        if (strcmp(places->places[i].name, shard) == 0) {
            return &places->places[i];
        }
    }
    return NULL;
}

static bool check_names(const struct topology *topology, const struct repair_places *places,
                        struct error *err)
{
    for (unsigned i = 0; i < places->count; i++) {
        if (topology_find_shard(topology, slice_of(places->places[i].name)) < 0) {
            return error_set(err, "there is no shard \"%s\"", places->places[i].name);
        }
    }
    return true;
}

static bool check_fence(const struct topology *topology, const char *shard,
                        const struct fence_state *fence, bool is_stand_in, struct error *err)
{
    if (!fence->exists) {
        return !is_stand_in || error_set(err, "no fence is there: that is no replica of it");
    }
    return (strcmp(fence->cluster, topology->cluster) == 0 && strcmp(fence->shard, shard) == 0) ||
           error_set(err, "the fence there is of shard \"%s\" of cluster %s, not of cluster %s",
                     fence->shard, fence->cluster, topology->cluster);
}

static bool look_at(const struct topology *topology, unsigned shard,
                    const struct repair_places *places, uint64_t *highest, struct error *err)
{
    struct fence_state fence;
    const char *name = topology->shards[shard].name;
    const struct topology_shard *stand_in = find_stand_in(places, name);
    struct shard_link *link = stand_in != NULL ? probe_open_any(stand_in, err)
                                               : probe_open(&topology->shards[shard], err);
    bool ok = link != NULL && fence_read(link, &fence, err) &&
              check_fence(topology, name, &fence, stand_in != NULL, err) &&
              check_guards(link, topology, shard, fence.pruned, err);
    if (ok && fence.exists && fence.epoch > *highest) {
        *highest = fence.epoch;
    }
    shard_close(link);
    return ok || error_prefix(err, "shard \"%s\"", name);
}

static bool highest_fence(const struct topology *topology, const struct repair_places *places,
                          uint64_t *highest, struct error *err)
{
    if (!check_names(topology, places, err)) {
        return false;
    }
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (!look_at(topology, i, places, highest, err)) {
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

bool cluster_repair(struct store *store, const struct repair_places *places, struct repair *repair,
                    struct error *err)
{
    struct topology *topology = store_read(store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    uint64_t highest = topology->epoch, wanted = 0;
    bool ok = highest_fence(topology, places, &highest, err);
    *repair = (struct repair){topology->epoch, topology->epoch};
    wanted = highest > topology->epoch ? highest + 1 : topology->epoch;
    while (ok && repair->to < wanted) {
        ok = cluster_change(store, raise_epoch, &wanted, &repair->to, err);
    }
    topology_free(topology);
    return ok;
}
