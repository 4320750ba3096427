#include "lib/topology/migration_state.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

/* What an edge does besides entering the phase. */
enum edge_effect {
    EDGE_RAISES_GENERATION = 1,
    EDGE_BEGINS_BASE = 2,
    EDGE_NEEDS_VERIFIED = 4,
    EDGE_CHANGES_OWNER = 8,
    EDGE_UNDOES_HOLD = 16,
};

struct edge {
    enum phase from;
    enum phase to;
    unsigned effects;
};

// clang-format off
static const struct edge edges[] = {
    {PHASE_PLANNED,    PHASE_DUAL_WRITE, EDGE_RAISES_GENERATION | EDGE_BEGINS_BASE},
    {PHASE_DUAL_WRITE, PHASE_HOLD,       EDGE_NEEDS_VERIFIED},
    {PHASE_HOLD,       PHASE_DUAL_WRITE, EDGE_RAISES_GENERATION | EDGE_UNDOES_HOLD},
    {PHASE_HOLD,       PHASE_SWITCHED,   EDGE_RAISES_GENERATION | EDGE_CHANGES_OWNER},
    {PHASE_SWITCHED,   PHASE_HOLD_BACK,  EDGE_NEEDS_VERIFIED},
    {PHASE_HOLD_BACK,  PHASE_SWITCHED,   EDGE_RAISES_GENERATION | EDGE_UNDOES_HOLD},
    {PHASE_HOLD_BACK,  PHASE_ABORTING,   EDGE_RAISES_GENERATION | EDGE_CHANGES_OWNER},
    {PHASE_SWITCHED,   PHASE_FINALIZING, EDGE_RAISES_GENERATION},
    {PHASE_DUAL_WRITE, PHASE_ABORTING,   EDGE_RAISES_GENERATION},
    {PHASE_HOLD,       PHASE_ABORTING,   EDGE_RAISES_GENERATION},
};

// clang-format on

static const struct edge *find_edge(enum phase from, enum phase to)
{
    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        if (edges[i].from == from && edges[i].to == to) {
            return &edges[i];
        }
    }
    return NULL;
}

static bool check_slots(const struct topology *next, unsigned source, const struct slot_set *slots,
                        struct error *err)
{
    if (slot_set_count(slots) == 0) {
        return error_set(err, "no slots to move");
    }
    for (unsigned slot = slot_set_next(slots, 0); slot < slots->nslots;
         slot = slot_set_next(slots, slot + 1)) {
        const struct migration *open = topology_migration_of_slot(next, slot);
        if (open != NULL) {
            return error_set(err, "slot %u is in migration m%llu: finalize or abort that first",
                             slot, (unsigned long long)open->id);
        }
        if (next->owner[slot] != source) {
            return error_set(err, "slot %u is owned by \"%s\", not by \"%s\"", slot,
                             next->shards[next->owner[slot]].name, next->shards[source].name);
        }
    }
    return true;
}

static bool check_debts(const struct topology *next, unsigned target, const struct slot_set *slots,
                        struct error *err)
{
    for (unsigned i = 0; i < next->ndebts; i++) {
        const struct purge_debt *debt = &next->debts[i];
        if (debt->shard == target && slot_set_intersects(&debt->slots, slots)) {
            return error_set(err,
                             "\"%s\" still has leftovers of m%llu in these slots: they are purged "
                             "when it is back",
                             next->shards[target].name, (unsigned long long)debt->migration);
        }
    }
    return true;
}

struct migration *migration_open(struct topology *next, unsigned source, unsigned target,
                                 const struct slot_set *slots,
                                 const struct migration_options *options, struct error *err)
{
    ASSERT(source < next->nshards && target < next->nshards);
    ASSERT(slots->nslots == next->nslots);
    /* The id is the epoch, so one change opens one migration. */
    ASSERT(topology_find_migration(next, next->epoch) == NULL);
    if (source == target) {
        (void)error_set(err, "source and target are both \"%s\"", next->shards[source].name);
        return NULL;
    }
    if (next->nmigrations == TOPOLOGY_MIGRATIONS_MAX) {
        (void)error_set(err, "%u migrations are open already", TOPOLOGY_MIGRATIONS_MAX);
        return NULL;
    }
    if (!check_slots(next, source, slots, err) || !check_debts(next, target, slots, err)) {
        return NULL;
    }
    unsigned index = next->nmigrations++;
    next->migrations = mem_realloc(next->migrations, next->nmigrations * sizeof(struct migration));
    struct migration *migration = &next->migrations[index];
    *migration = (struct migration){
        .id = next->epoch,
        .source = source,
        .target = target,
        .phase = PHASE_PLANNED,
        .entry_epoch = next->epoch,
        .generation = next->epoch,
        .base = next->epoch,
        .options = *options,
    };
    slot_set_copy(&migration->slots, slots);
    return migration;
}

static void give_slots(struct topology *next, const struct migration *migration, unsigned owner)
{
    for (unsigned slot = slot_set_next(&migration->slots, 0); slot < next->nslots;
         slot = slot_set_next(&migration->slots, slot + 1)) {
        next->owner[slot] = (uint16_t)owner;
    }
    next->owner_epoch = next->epoch;
}

void migration_enter(struct topology *next, struct migration *migration, enum phase to)
{
    const struct edge *edge = find_edge(migration->phase, to);
    ASSERT(edge != NULL);
    if ((edge->effects & EDGE_NEEDS_VERIFIED) != 0) {
        ASSERT(migration->verified == migration->base);
    }
    migration->phase = to;
    migration->entry_epoch = next->epoch;
    if ((edge->effects & EDGE_CHANGES_OWNER) != 0) {
        migration->owner_generation = migration->generation;
    }
    /* Model: BACKSAMEGEN, NOGENCHECK; what survives an undone hold: VOIDMARKS, VERRESET. */
    if ((edge->effects & EDGE_RAISES_GENERATION) != 0) {
        migration->generation = next->epoch;
    }
    if ((edge->effects & EDGE_BEGINS_BASE) != 0) {
        migration->base = next->epoch;
    }
    if ((edge->effects & EDGE_CHANGES_OWNER) != 0) {
        give_slots(next, migration, migration_authority(migration));
    }
    if ((edge->effects & EDGE_UNDOES_HOLD) == 0) {
        migration->request = REQUEST_NONE;
    }
}

static void add_debt(struct topology *next, const struct migration *migration, unsigned shard)
{
    unsigned index = next->ndebts++;
    next->debts = mem_realloc(next->debts, next->ndebts * sizeof(*next->debts));
    next->debts[index] = (struct purge_debt){
        .migration = migration->id,
        .shard = shard,
        .generation = migration->generation,
    };
    slot_set_copy(&next->debts[index].slots, &migration->slots);
}

void migration_close(struct topology *next, struct migration *migration, int debt_shard)
{
    ASSERT(migration->phase == PHASE_PLANNED || migration->phase == PHASE_FINALIZING ||
           migration->phase == PHASE_ABORTING);
    if (debt_shard >= 0) {
        /* Nothing may ever purge the shard that owns the slots. */
        ASSERT(migration->phase != PHASE_PLANNED);
        ASSERT((unsigned)debt_shard == migration_copy(migration));
        add_debt(next, migration, (unsigned)debt_shard);
    }
    slot_set_fini(&migration->slots);
    size_t index = (size_t)(migration - next->migrations);
    ASSERT(index < next->nmigrations);
    next->nmigrations--;
    memmove(migration, migration + 1, (next->nmigrations - index) * sizeof(*migration));
}

/* In the same change as the new identity. Model: TLOSS_nobase, DEATHNOBASE, KEEPHOLD. */
static void begin_base(struct topology *next, struct migration *migration)
{
    if (migration->phase == PHASE_PLANNED) {
        return;
    }
    if (migration->phase == PHASE_HOLD) {
        migration_enter(next, migration, PHASE_DUAL_WRITE);
    } else if (migration->phase == PHASE_HOLD_BACK) {
        migration_enter(next, migration, PHASE_SWITCHED);
    }
    migration->generation = next->epoch;
    migration->base = next->epoch;
}

void topology_replace_process(struct topology *next, unsigned shard,
                              const struct shard_identity *identity)
{
    ASSERT(shard < next->nshards);
    next->shards[shard].identity = *identity;
    (void)topology_forget_former(next, identity); /* it may be the shard's again */
    next->owner_epoch = next->epoch; /* the old process' SCAN cursors mean nothing to this one */
    for (unsigned i = 0; i < next->nmigrations; i++) {
        struct migration *migration = &next->migrations[i];
        if (migration->source == shard || migration->target == shard) {
            begin_base(next, migration);
        }
    }
    /* A fence written anew refuses the guards of older generations, of debts too. */
    for (unsigned i = 0; i < next->ndebts; i++) {
        if (next->debts[i].shard == shard) {
            next->debts[i].generation = next->epoch;
        }
    }
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t topology_guard_horizon(const struct topology *topology, unsigned shard)
{
    uint64_t horizon = topology->epoch;
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (migration->source == shard || migration->target == shard) {
            horizon = lesser(horizon, migration->generation);
            /* The proof of what it took over stands at this generation or a later one. */
            if (migration->owner_generation > 0) {
                horizon = lesser(horizon, migration->owner_generation);
            }
        }
    }
    for (unsigned i = 0; i < topology->ndebts; i++) {
        if (topology->debts[i].shard == shard) {
            horizon = lesser(horizon, topology->debts[i].generation);
        }
    }
    return horizon;
}
