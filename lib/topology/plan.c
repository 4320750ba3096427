#include "lib/topology/plan.h"

#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/topology/ring.h"

/* A shard far below its share gets slots too, though the ring has no bound below: a shard that was
 * just added to many would stay empty otherwise. Wider than RING_EPSILON, so that what the ring
 * itself placed is left alone. */
#define LOWEST_SHARE (1 - 4 * RING_EPSILON)

void plan_fini(struct plan *plan)
{
    for (unsigned i = 0; i < plan->nmoves; i++) {
        slot_set_fini(&plan->moves[i].slots);
    }
    mem_free(plan->moves);
    *plan = (struct plan){NULL, 0};
}

static struct planned_move *move_between(struct plan *plan, const struct topology *topology,
                                         unsigned source, unsigned target)
{
    for (unsigned i = plan->nmoves; i > 0; i--) {
        if (plan->moves[i - 1].source == source && plan->moves[i - 1].target == target) {
            return &plan->moves[i - 1];
        }
    }
    plan->moves = mem_realloc(plan->moves, (plan->nmoves + 1) * sizeof(*plan->moves));
    struct planned_move *move = &plan->moves[plan->nmoves++];
    *move = (struct planned_move){.source = source, .target = target};
    slot_set_init(&move->slots, topology->nslots);
    return move;
}

static void add_to_plan(struct plan *plan, const struct topology *topology, unsigned slot,
                        unsigned target)
{
    struct planned_move *move = move_between(plan, topology, topology->owner[slot], target);
    slot_set_add(&move->slots, slot);
}

static bool is_free(const struct topology *topology, unsigned slot)
{
    return topology_migration_of_slot(topology, slot) == NULL;
}

/* The shard still has leftovers of this slot from another migration. */
static bool has_debt(const struct topology *topology, unsigned slot, unsigned shard)
{
    for (unsigned i = 0; i < topology->ndebts; i++) {
        const struct purge_debt *debt = &topology->debts[i];
        if (debt->shard == shard && slot_set_has(&debt->slots, slot)) {
            return true;
        }
    }
    return false;
}

/* --- split -------------------------------------------------------------------------------- */

struct candidate {
    uint64_t position;
    unsigned slot;
    bool is_preferred; /* the ring of both shards gives it to the target */
};

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->is_preferred != b->is_preferred) {
        return a->is_preferred ? -1 : 1;
    }
    if (a->position != b->position) {
        return a->position < b->position ? -1 : 1;
    }
    return (a->slot > b->slot) - (a->slot < b->slot);
}

/* The source's movable slots, best first; returns how many. */
static unsigned list_candidates(const struct topology *topology, unsigned source, unsigned target,
                                struct candidate *candidates)
{
    bool *is_of_both = mem_zalloc(topology->nshards * sizeof(*is_of_both));
    uint16_t *placed = mem_alloc(topology->nslots * sizeof(*placed));
    is_of_both[source] = is_of_both[target] = true;
    ring_place(topology, is_of_both, placed);
    unsigned count = 0;
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        if (topology->owner[slot] == source && is_free(topology, slot) &&
            !has_debt(topology, slot, target)) {
            candidates[count++] = (struct candidate){
                .position = ring_position(slot),
                .slot = slot,
                .is_preferred = placed[slot] == target,
            };
        }
    }
    qsort(candidates, count, sizeof(*candidates), compare_candidates);
    mem_free(placed);
    mem_free(is_of_both);
    return count;
}

bool plan_split(const struct topology *topology, unsigned source, unsigned target, double share,
                struct plan *plan, struct error *err)
{
    ASSERT(source < topology->nshards && target < topology->nshards);
    *plan = (struct plan){NULL, 0};
    if (source == target) {
        return error_set(err, "cannot split \"%s\" to itself", topology->shards[source].name);
    }
    if (!(share > 0 && share <= 1)) {
        return error_set(err, "the share must be above 0 and at most 1");
    }
    struct candidate *candidates = mem_alloc(topology->nslots * sizeof(*candidates));
    unsigned count = list_candidates(topology, source, target, candidates);
    unsigned wanted = (unsigned)(share * count);
    wanted = wanted == 0 && count > 0 ? 1 : wanted;
    for (unsigned i = 0; i < wanted; i++) {
        add_to_plan(plan, topology, candidates[i].slot, target);
    }
    mem_free(candidates);
    return wanted > 0 ||
           error_set(err, "\"%s\" owns no slots that can move now: see `sluicectl status`",
                     topology->shards[source].name);
}

/* --- move --------------------------------------------------------------------------------- */

static bool check_movable(const struct topology *topology, unsigned slot, unsigned target,
                          struct error *err)
{
    const struct migration *open = topology_migration_of_slot(topology, slot);
    if (open != NULL) {
        return error_set(err, "slot %u is in migration m%llu: finalize or abort that first", slot,
                         (unsigned long long)open->id);
    }
    if (has_debt(topology, slot, target)) {
        return error_set(err,
                         "\"%s\" still has leftovers of slot %u: they are purged when it is "
                         "back",
                         topology->shards[target].name, slot);
    }
    return true;
}

bool plan_move(const struct topology *topology, const struct slot_set *slots, unsigned target,
               struct plan *plan, struct error *err)
{
    ASSERT(target < topology->nshards && slots->nslots == topology->nslots);
    *plan = (struct plan){NULL, 0};
    for (unsigned slot = slot_set_next(slots, 0); slot < slots->nslots;
         slot = slot_set_next(slots, slot + 1)) {
        if (topology->owner[slot] == target && is_free(topology, slot)) {
            continue;
        }
        if (!check_movable(topology, slot, target, err)) {
            plan_fini(plan);
            return false;
        }
        add_to_plan(plan, topology, slot, target);
    }
    return true;
}

/* --- rebalance ---------------------------------------------------------------------------- */

/* How many slots each shard has, may have, and is to give or take. All are [nshards). */
struct balance {
    const struct topology *topology;
    unsigned *load; /* with the open migrations at their ends */
    unsigned *low;
    unsigned *high;
    unsigned *give;
    unsigned *take;
};

/* Who has its slots when it has ended, as far as has been asked. */
static unsigned destination(const struct migration *open)
{
    bool goes_back = open->phase == PHASE_ABORTING || open->phase == PHASE_HOLD_BACK ||
                     open->request == REQUEST_ROLLBACK;
    return goes_back ? open->source : open->target;
}

static unsigned destination_of(const struct topology *topology, unsigned slot)
{
    const struct migration *open = topology_migration_of_slot(topology, slot);
    if (open == NULL) {
        return topology->owner[slot];
    }
    return destination(open);
}

static void balance_init(struct balance *balance, const struct topology *topology)
{
    size_t size = topology->nshards * sizeof(unsigned);
    *balance = (struct balance){
        .topology = topology,
        .load = mem_zalloc(size),
        .low = mem_zalloc(size),
        .high = mem_zalloc(size),
        .give = mem_zalloc(size),
        .take = mem_zalloc(size),
    };
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        balance->load[destination_of(topology, slot)]++;
    }
    double total = 0;
    for (unsigned i = 0; i < topology->nshards; i++) {
        total += topology->shards[i].weight;
    }
    for (unsigned i = 0; i < topology->nshards; i++) {
        double fair = topology->nslots * (double)topology->shards[i].weight / total;
        balance->low[i] = (unsigned)(fair * LOWEST_SHARE);
        balance->high[i] = ring_bound(topology, NULL, i);
    }
}

static void balance_fini(struct balance *balance)
{
    mem_free(balance->load);
    mem_free(balance->low);
    mem_free(balance->high);
    mem_free(balance->give);
    mem_free(balance->take);
}

static double fullness(const struct balance *balance, unsigned shard)
{
    double load = (double)balance->load[shard] + balance->take[shard] - balance->give[shard];
    return load / balance->topology->shards[shard].weight;
}

/* The fullest shard that may give one more slot; there is one, the lows add up to less than all. */
static unsigned pick_giver(const struct balance *balance)
{
    unsigned best = UINT16_MAX;
    for (unsigned i = 0; i < balance->topology->nshards; i++) {
        bool may_give = balance->load[i] > balance->low[i] + balance->give[i];
        if (may_give && (best == UINT16_MAX || fullness(balance, i) > fullness(balance, best))) {
            best = i;
        }
    }
    ASSERT(best != UINT16_MAX);
    return best;
}

/* The emptiest shard that may take one more; there is one, the highs add up to more than all. */
static unsigned pick_taker(const struct balance *balance)
{
    unsigned best = UINT16_MAX;
    for (unsigned i = 0; i < balance->topology->nshards; i++) {
        bool may_take = balance->load[i] + balance->take[i] < balance->high[i];
        if (may_take && (best == UINT16_MAX || fullness(balance, i) < fullness(balance, best))) {
            best = i;
        }
    }
    ASSERT(best != UINT16_MAX);
    return best;
}

/* What is above the bound must go, what is below must come; one of the two sums is the least number
 * of moves, and the other side is filled up to it. */
static void set_quotas(struct balance *balance)
{
    unsigned gives = 0, takes = 0;
    for (unsigned i = 0; i < balance->topology->nshards; i++) {
        unsigned load = balance->load[i];
        balance->give[i] = load > balance->high[i] ? load - balance->high[i] : 0;
        balance->take[i] = load < balance->low[i] ? balance->low[i] - load : 0;
        gives += balance->give[i];
        takes += balance->take[i];
    }
    for (; gives < takes; gives++) {
        balance->give[pick_giver(balance)]++;
    }
    for (; takes < gives; takes++) {
        balance->take[pick_taker(balance)]++;
    }
}

/* UINT16_MAX: nobody has room for this slot. */
static unsigned pick_target(const struct balance *balance, unsigned slot, unsigned wanted)
{
    if (balance->take[wanted] > 0 && !has_debt(balance->topology, slot, wanted)) {
        return wanted;
    }
    unsigned best = UINT16_MAX;
    for (unsigned i = 0; i < balance->topology->nshards; i++) {
        if (balance->take[i] > 0 && !has_debt(balance->topology, slot, i) &&
            (best == UINT16_MAX || balance->take[i] > balance->take[best])) {
            best = i;
        }
    }
    return best;
}

static void plan_slot(struct balance *balance, unsigned slot, unsigned target, struct plan *plan)
{
    balance->give[balance->topology->owner[slot]]--;
    balance->take[target]--;
    add_to_plan(plan, balance->topology, slot, target);
}

static bool is_planned(const struct plan *plan, unsigned slot)
{
    for (unsigned i = 0; i < plan->nmoves; i++) {
        if (slot_set_has(&plan->moves[i].slots, slot)) {
            return true;
        }
    }
    return false;
}

/* First the slots that the ring would move, in the direction it would; then any. */
static void plan_quotas(struct balance *balance, struct plan *plan)
{
    const struct topology *topology = balance->topology;
    uint16_t *placed = mem_alloc(topology->nslots * sizeof(*placed));
    ring_place(topology, NULL, placed);
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        unsigned wanted = placed[slot];
        if (balance->give[topology->owner[slot]] > 0 && is_free(topology, slot) &&
            pick_target(balance, slot, wanted) == wanted) {
            plan_slot(balance, slot, wanted, plan);
        }
    }
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        if (balance->give[topology->owner[slot]] == 0 || !is_free(topology, slot) ||
            is_planned(plan, slot)) {
            continue;
        }
        unsigned target = pick_target(balance, slot, placed[slot]);
        if (target != UINT16_MAX) {
            plan_slot(balance, slot, target, plan);
        }
    }
    mem_free(placed);
}

bool plan_rebalance(const struct topology *topology, struct plan *plan, struct error *err)
{
    (void)err; /* nothing can go wrong; as the other plans */
    *plan = (struct plan){NULL, 0};
    struct balance balance;
    balance_init(&balance, topology);
    set_quotas(&balance);
    plan_quotas(&balance, plan);
    balance_fini(&balance);
    return true;
}

/* --- drain -------------------------------------------------------------------------------- */

static bool check_drainable(const struct topology *topology, unsigned source, struct error *err)
{
    const char *name = topology->shards[source].name;
    if (topology->nshards == 1) {
        return error_set(err, "cannot drain \"%s\": there is no other shard", name);
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *open = &topology->migrations[i];
        if (destination(open) == source) {
            return error_set(err,
                             "cannot drain \"%s\": migration m%llu brings it slots, finish or "
                             "abort that first",
                             name, (unsigned long long)open->id);
        }
    }
    return true;
}

static bool plan_away(const struct topology *topology, unsigned source, const uint16_t *placed,
                      struct plan *plan, struct error *err)
{
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        if (topology->owner[slot] != source || !is_free(topology, slot)) {
            continue;
        }
        if (!check_movable(topology, slot, placed[slot], err)) {
            return false;
        }
        add_to_plan(plan, topology, slot, placed[slot]);
    }
    return true;
}

bool plan_drain(const struct topology *topology, unsigned source, struct plan *plan,
                struct error *err)
{
    ASSERT(source < topology->nshards);
    *plan = (struct plan){NULL, 0};
    if (!check_drainable(topology, source, err)) {
        return false;
    }
    bool *is_other = mem_alloc(topology->nshards * sizeof(*is_other));
    for (unsigned i = 0; i < topology->nshards; i++) {
        is_other[i] = i != source;
    }
    uint16_t *placed = mem_alloc(topology->nslots * sizeof(*placed));
    ring_place(topology, is_other, placed);
    bool ok = plan_away(topology, source, placed, plan, err);
    mem_free(placed);
    mem_free(is_other);
    if (!ok) {
        plan_fini(plan);
    }
    return ok;
}
