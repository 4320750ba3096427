/* Every change of a migration, as pure functions on the next topology (topology_next).
 *
 *   planned -> dual-write -> hold -> switched -> finalizing -> (closed: removed)
 *      |          |  ^        | |       |  ^
 *      |          |  +--------+ |       v  |            (undone: generation raised)
 *      v          v             |   hold-back
 *   (closed)   aborting <-------+------+                (a rollback ends in aborting)
 *                 |
 *                 v
 *              (closed)
 *
 * Each sets entry_epoch to the new epoch. Which ones raise the generation is written at each.
 * The caller has read the topology linearizably, calls topology_next, one of these, and store_cas:
 * the compare-and-swap is what decides. DESIGN.md section 6. */
#ifndef LIB_TOPOLOGY_MIGRATION_STATE_H
#define LIB_TOPOLOGY_MIGRATION_STATE_H

#include "lib/topology/topology.h"

/* Opens a migration in `planned`. Its id is next->epoch, its generation and base too (base and
 * generation count from dual-write). Refused: slots not all owned by the source, slots in an open
 * migration, source equal to target, no slots. `slots` is copied. */
struct migration *migration_open(struct topology *next, unsigned source, unsigned target,
                                 const struct slot_set *slots,
                                 const struct migration_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* The edge from the present phase to `to`, which must exist (asserted):
 *   planned -> dual-write     generation = base = next epoch
 *   dual-write -> hold        needs verified == base (asserted)
 *   hold -> dual-write        the hold undone: generation = next epoch; base, made, verified stay
 *   hold -> switched          generation = next epoch; the slots' owner becomes the target,
 *                             owner_epoch = next epoch
 *   switched -> hold-back     needs verified == base (asserted)
 *   hold-back -> switched     undone: generation = next epoch
 *   hold-back -> aborting     generation = next epoch; the owner becomes the source again,
 *                             owner_epoch = next epoch
 *   switched -> finalizing    generation = next epoch
 *   dual-write|hold -> aborting  generation = next epoch
 * Clears `request` unless the edge is an undone hold. */
void migration_enter(struct topology *next, struct migration *migration, enum phase to);

/* Removes the migration: the purge is done (finalizing, aborting), or nothing was begun (planned).
 * With `debt_shard` >= 0 the purge of that shard stays as a debt. */
void migration_close(struct topology *next, struct migration *migration, int debt_shard);

/* The shard is another process, or lost its fence: names the new identity and, for every open
 * migration on that shard, in this same change: generation = base = next epoch, hold -> dual-write,
 * hold-back -> switched. (A migration in planned, finalizing or aborting keeps its phase; its
 * generation and base rise too, except planned, which has none.) The generation of purge debts of
 * the shard rises too. */
void topology_replace_process(struct topology *next, unsigned shard,
                              const struct shard_identity *identity);

/* The guards on the shard that are closed at a smaller generation are of no use any more: no open
 * migration or debt has one below this, nor will any, for generations only rise, and what begins
 * later begins at a later epoch. */
uint64_t topology_guard_horizon(const struct topology *topology, unsigned shard);

#endif
