/* What routes a request: an immutable, reference-counted view of one epoch. Any thread. */
#ifndef LIB_TOPOLOGY_SNAPSHOT_H
#define LIB_TOPOLOGY_SNAPSHOT_H

#include "lib/topology/topology.h"

#define NO_SHARD UINT16_MAX

/* Where a slot's requests go. Any difference between two epochs is a change of the slot. */
struct slot_entry {
    uint16_t authority; /* shard index */
    uint16_t copy;      /* shard index while dual writes are on, else NO_SHARD */
    bool is_held;       /* queue everything, reads too */
    bool is_dual;       /* writes are marked on the authority and mirrored to the copy */
    const struct migration *migration; /* null: the slot is in none; points into the snapshot */
};

struct snapshot {
    const struct topology *topology; /* owned */
    struct slot_entry *entries;      /* [0, nentries): plain ones by shard, then one a migration */
    unsigned nentries;
    uint16_t *slot_entry; /* [nslots]: index into entries */
    unsigned slot_mask;   /* nslots - 1 */
    int references;       /* atomic */
};

/* Consumes the topology, which has been validated. The caller holds one reference. */
struct snapshot *snapshot_new(struct topology *topology);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* null is allowed */

static inline const struct slot_entry *snapshot_entry(const struct snapshot *snapshot,
                                                      unsigned slot)
{
    return &snapshot->entries[snapshot->slot_entry[slot]];
}

/* The entry of one slot differs between two epochs: authority or copy (by shard name and
 * identity), migration, base, direction, generation or phase. */
bool slot_entry_changed(const struct snapshot *older, const struct snapshot *newer, unsigned slot);

/* Sets concerned[i] for each shard index i of `older` that was authority or copy of a slot whose
 * entry changed. The array has older->topology->nshards places, cleared by the caller. */
void snapshot_shards_concerned(const struct snapshot *older, const struct snapshot *newer,
                               bool *concerned);

#endif
