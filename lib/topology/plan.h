/* Which slots go where: plans made from the ring and the topology. Pure; what they would cost in
 * keys and bytes is measured by whoever asks. Each fills `plan`, to be freed with plan_fini; it is
 * empty after a failure. Success with no moves: everything is where it should be. */
#ifndef LIB_TOPOLOGY_PLAN_H
#define LIB_TOPOLOGY_PLAN_H

#include "lib/topology/topology.h"

struct planned_move {
    unsigned source;
    unsigned target;
    struct slot_set slots;
};

struct plan {
    struct planned_move *moves;
    unsigned nmoves;
};

void plan_fini(struct plan *plan);

/* `share` (0 < share <= 1) of the source's slots, those that the ring would give the target first.
 * Slots that are in an open migration are left out. */
bool plan_split(const struct topology *topology, unsigned source, unsigned target, double share,
                struct plan *plan, struct error *err) __attribute__((warn_unused_result));
/* Exactly these slots, to the target, one move for each present owner. */
bool plan_move(const struct topology *topology, const struct slot_set *slots, unsigned target,
               struct plan *plan, struct error *err) __attribute__((warn_unused_result));
/* The fewest moves that bring every shard within its bounds by weight: (1 + epsilon) of its fair
 * share, and at least 4/5 of it, so that a new shard gets slots. Open migrations count as ended. */
bool plan_rebalance(const struct topology *topology, struct plan *plan, struct error *err)
    __attribute__((warn_unused_result));
/* Everything off one shard, by the ring of the others; what leaves it in an open migration is left
 * out. Refused while a migration brings it slots. */
bool plan_drain(const struct topology *topology, unsigned source, struct plan *plan,
                struct error *err) __attribute__((warn_unused_result));

#endif
