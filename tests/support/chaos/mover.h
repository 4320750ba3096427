/* An operator who never rests: moves slots back and forth through sluicectl, rolls back, aborts,
 * finalizes. Whatever fails is tried again later, as an operator would. A thread of its own; the
 * functions are for the main thread. */
#ifndef TESTS_SUPPORT_CHAOS_MOVER_H
#define TESTS_SUPPORT_CHAOS_MOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

struct mover;

struct mover *mover_start(struct cluster *cluster, unsigned shards, uint64_t seed)
    __attribute__((warn_unused_result));

struct mover_result {
    unsigned opened, finalized, rolled_back, aborted;
    bool is_settled; /* no migration and no debt is open any more */
};

/* Opens no more migrations, ends those that are open, and waits until debts are paid. Frees it. */
struct mover_result mover_end(struct mover *mover, uint64_t timeout_ms);

#endif
