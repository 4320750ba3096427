#include "migrator/engine/view.h"

#include <string.h>

bool view_set(struct view *view, const struct topology *topology, uint64_t id)
{
    view_fini(view);
    const struct migration *migration = topology_find_migration(topology, id);
    if (migration == NULL) {
        return false;
    }
    view->epoch = topology->epoch;
    view->migration = *migration;
    slot_set_copy(&view->migration.slots, &migration->slots);
    view->shards[SIDE_SOURCE] = topology->shards[migration->source];
    view->shards[SIDE_TARGET] = topology->shards[migration->target];
    memcpy(view->cluster, topology->cluster, sizeof(view->cluster));
    view->is_set = true;
    return true;
}

void view_fini(struct view *view)
{
    if (view->is_set) {
        slot_set_fini(&view->migration.slots);
    }
    *view = (struct view){.is_set = false};
}

/* Model: CASPHASE. */
bool view_permits(const struct view *view, const struct migration *now)
{
    const struct migration *then = &view->migration;
    return now->phase == then->phase && now->entry_epoch == then->entry_epoch &&
           now->generation == then->generation && now->base == then->base;
}

static bool shard_holds(const struct topology_shard *then, const struct topology_shard *now)
{
    return shard_identity_equal(&then->identity, &now->identity) && topology_same_place(then, now);
}

bool view_holds(const struct view *view, const struct topology *newer)
{
    const struct migration *then = &view->migration;
    const struct migration *now = topology_find_migration(newer, then->id);
    if (now == NULL || !view_permits(view, now)) {
        return false;
    }
    return now->made == then->made && now->verified == then->verified &&
           now->is_paused == then->is_paused && now->request == then->request &&
           shard_holds(&view->shards[SIDE_SOURCE], &newer->shards[now->source]) &&
           shard_holds(&view->shards[SIDE_TARGET], &newer->shards[now->target]);
}
