/* What a phase acts on: one migration as one document of the topology said it, copied out of it.
 * Between batches a phase asks whether it still holds. */
#ifndef MIGRATOR_ENGINE_VIEW_H
#define MIGRATOR_ENGINE_VIEW_H

#include "lib/topology/migration_state.h"

/* The two shards of a migration, whoever owns the slots at the time. */
enum side {
    SIDE_SOURCE,
    SIDE_TARGET,
    SIDE_COUNT
};

struct view {
    uint64_t epoch;             /* of the document */
    struct migration migration; /* its own copy, slots included */
    struct topology_shard shards[SIDE_COUNT];
    char cluster[33];
    bool is_set; /* false: there is nothing to free */
};

/* False when the topology has no such migration. */
bool view_set(struct view *view, const struct topology *topology, uint64_t id);
void view_fini(struct view *view);

/* A newer document says nothing else of this migration and its shards: go on under its epoch.
 * The pause and the operator's request count only for those who look at them. */
bool view_holds(const struct view *view, const struct topology *newer);
/* Phase, entry epoch, generation and base are those of the view: what a compare-and-swap may be
 * retried on. Without it a hold, undone and begun again, would pass for the first one, and the
 * first one's barrier would serve the second. */
bool view_permits(const struct view *view, const struct migration *now);

static inline enum side view_authority(const struct view *view)
{
    return phase_direction(view->migration.phase) == DIRECTION_FORWARD ? SIDE_SOURCE : SIDE_TARGET;
}

static inline enum side side_other(enum side side)
{
    return side == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;
}

#endif
