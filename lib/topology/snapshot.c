#include "lib/topology/snapshot.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

static struct slot_entry entry_of_migration(const struct migration *migration)
{
    bool is_dual = phase_is_dual(migration->phase);
    return (struct slot_entry){
        .authority = (uint16_t)migration_authority(migration),
        .copy = is_dual ? (uint16_t)migration_copy(migration) : NO_SHARD,
        .is_held = phase_is_hold(migration->phase),
        .is_dual = is_dual,
        .migration = migration,
    };
}

static void fill_entries(struct snapshot *snapshot)
{
    const struct topology *topology = snapshot->topology;
    for (unsigned i = 0; i < topology->nshards; i++) {
        snapshot->entries[i] = (struct slot_entry){.authority = (uint16_t)i, .copy = NO_SHARD};
    }
    memcpy(snapshot->slot_entry, topology->owner, topology->nslots * sizeof(*snapshot->slot_entry));
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        unsigned index = topology->nshards + i;
        snapshot->entries[index] = entry_of_migration(migration);
        for (unsigned slot = slot_set_next(&migration->slots, 0); slot < topology->nslots;
             slot = slot_set_next(&migration->slots, slot + 1)) {
            snapshot->slot_entry[slot] = (uint16_t)index;
        }
    }
}

struct snapshot *snapshot_new(struct topology *topology)
{
    ASSERT(topology->nshards > 0);
    struct snapshot *snapshot = mem_zalloc(sizeof(*snapshot));
    snapshot->topology = topology;
    snapshot->nentries = topology->nshards + topology->nmigrations;
    ASSERT(snapshot->nentries <= UINT16_MAX);
    snapshot->entries = mem_alloc(snapshot->nentries * sizeof(*snapshot->entries));
    snapshot->slot_entry = mem_alloc(topology->nslots * sizeof(*snapshot->slot_entry));
    snapshot->slot_mask = topology->nslots - 1;
    snapshot->references = 1;
    fill_entries(snapshot);
    return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    int references = __atomic_add_fetch(&snapshot->references, 1, __ATOMIC_RELAXED);
    ASSERT(references > 1);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    int references = __atomic_sub_fetch(&snapshot->references, 1, __ATOMIC_ACQ_REL);
    ASSERT(references >= 0);
    if (references > 0) {
        return;
    }

    /* The snapshot owns it; const only keeps everybody else from changing it. */
    union {
        const struct topology *seen;
        struct topology *owned;
    } topology = {.seen = snapshot->topology};

    topology_free(topology.owned);
    mem_free(snapshot->entries);
    mem_free(snapshot->slot_entry);
    mem_free(snapshot);
}

static bool is_same_process(const struct topology *older, unsigned a, const struct topology *newer,
                            unsigned b)
{
    if (a == NO_SHARD || b == NO_SHARD) {
        return a == b;
    }
    return strcmp(older->shards[a].name, newer->shards[b].name) == 0 &&
           shard_identity_equal(&older->shards[a].identity, &newer->shards[b].identity);
}

static bool is_same_migration(const struct migration *a, const struct migration *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    /* The phase says the direction. */
    return a->id == b->id && a->phase == b->phase && a->base == b->base &&
           a->generation == b->generation;
}

static bool entry_changed(const struct snapshot *older, const struct slot_entry *a,
                          const struct snapshot *newer, const struct slot_entry *b)
{
    return !is_same_migration(a->migration, b->migration) ||
           !is_same_process(older->topology, a->authority, newer->topology, b->authority) ||
           !is_same_process(older->topology, a->copy, newer->topology, b->copy);
}

bool slot_entry_changed(const struct snapshot *older, const struct snapshot *newer, unsigned slot)
{
    ASSERT(slot <= older->slot_mask);
    if (older->slot_mask != newer->slot_mask) {
        return true; /* another cluster: every key may be elsewhere */
    }
    return entry_changed(older, snapshot_entry(older, slot), newer, snapshot_entry(newer, slot));
}

void snapshot_shards_concerned(const struct snapshot *older, const struct snapshot *newer,
                               bool *concerned)
{
    for (unsigned slot = 0; slot <= older->slot_mask; slot++) {
        const struct slot_entry *entry = snapshot_entry(older, slot);
        bool is_known =
            concerned[entry->authority] && (entry->copy == NO_SHARD || concerned[entry->copy]);
        if (is_known || !slot_entry_changed(older, newer, slot)) {
            continue;
        }
        concerned[entry->authority] = true;
        if (entry->copy != NO_SHARD) {
            concerned[entry->copy] = true;
        }
    }
}
