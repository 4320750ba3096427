/* Shared by the phases only. */
#ifndef MIGRATOR_PHASE_PHASE_INTERNAL_H
#define MIGRATOR_PHASE_PHASE_INTERNAL_H

#include "migrator/copy/drainer.h"
#include "migrator/engine/steps.h"
#include "migrator/engine/transition.h"
#include "migrator/phase/phase.h"

enum step_result phase_planned(struct engine *engine);
enum step_result phase_dual_write(struct engine *engine);
enum step_result phase_hold(struct engine *engine);
enum step_result phase_switched(struct engine *engine);
enum step_result phase_finalizing(struct engine *engine);
enum step_result phase_aborting(struct engine *engine);

/* Helpers answer true to go on; false: *result is what the phase is to return. */

/* --- crossing.c: from one owner to the other by a hold, there and back --- */
enum crossing_step {
    CROSSING_BEFORE_OPEN,
    CROSSING_AFTER_OPEN,
    CROSSING_BEFORE_HOLD,
    CROSSING_AFTER_HOLD,
    CROSSING_BEFORE_BARRIER,
    CROSSING_AFTER_BARRIER,
    CROSSING_AFTER_DRAIN,
    CROSSING_AFTER_CHECK, /* of the authority */
    CROSSING_BEFORE_OWNER,
    CROSSING_AFTER_OWNER,
    CROSSING_BEFORE_END,
    CROSSING_AFTER_END,
    CROSSING_BEFORE_UNDO,
    CROSSING_AFTER_UNDO,
    CROSSING_STEPS
};

struct crossing {
    enum migration_request request; /* by which the operator asks for it */
    enum phase kept_in; /* the copy is kept up in it, and an undone hold returns to it */
    enum phase hold;
    enum phase leads_to;
    enum fail_step steps[CROSSING_STEPS];
};

/* The one that the present phase prepares or is in. */
const struct crossing *phase_crossing(const struct engine *engine);
void phase_pass(const struct crossing *crossing, enum crossing_step step);

/* --- guards.c --- */
/* To the epoch in which the present phase was entered: closes the shard to proxies that do not know
 * of the migration, and to a FLUSHALL of theirs, which would wipe one side alone. */
bool phase_raise_fence(struct engine *engine, enum side side, enum step_result *result)
    __attribute__((warn_unused_result));
/* Forgets the guards of migrations that are over. */
bool phase_prune_guards(struct engine *engine, enum step_result *result)
    __attribute__((warn_unused_result));
/* Moves a side's guard to (generation, state); with `ver` and evicted as in fence_guard. */
bool phase_guard(struct engine *engine, enum side side, enum guard_state state, const char *ver,
                 int64_t evicted, enum step_result *result) __attribute__((warn_unused_result));

/* --- clocks.c --- */
#define CLOCKS_NOW_AND_THEN_US UINT64_C(100000) /* between two passes of the drain */

struct clock_skew {
    int64_t target_ahead_ms;
    enum side failed; /* that did not answer; SIDE_COUNT: both did */
};

/* False when a shard does not answer, or when they differ by more than max_skew; err says. */
bool phase_measure_clocks(struct engine *engine, struct clock_skew *skew, struct error *err)
    __attribute__((warn_unused_result));
/* Measures them unless they were found to agree not longer ago than that; both links are there. */
bool phase_clocks_agree(struct engine *engine, uint64_t age_max_us, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- settle.c --- */
/* Whether the keeper of the slots, if it took them over, can no longer lose that by a crash. */
bool phase_is_settled(struct engine *engine, enum side keeper, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- former_base.c --- */
/* Drops the metadata of the base before the view's, on both shards; behind the barrier on the
 * authority, for dual writes under the old names would make them anew. A shard that makes a new
 * base necessary again and again would fill up with them otherwise. */
bool phase_forget_former_base(struct engine *engine, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- catch_up.c: from a new base to a verified copy, in either direction --- */
/* Makes the metadata of the view's base on both shards, then the CAS made = base. */
enum step_result phase_make_base(struct engine *engine);
/* Barrier, backfill, verify, drain, then the CAS verified = base. */
enum step_result phase_catch_up(struct engine *engine);
/* The operator's `verify`: walks once more, then clears the request. */
enum step_result phase_verify_again(struct engine *engine);
/* One pass over the marks; keeps the progress numbers. */
bool phase_drain(struct engine *engine, struct drain *drain, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- keep_copy.c --- */
/* Makes, fills, compares and keeps up the copy; enters the hold when that is wanted and the marks
 * have become few. */
enum step_result phase_keep_copy(struct engine *engine, bool is_hold_wanted);

/* --- hold.c --- */
/* From the CAS into a hold, and to its end. */
void phase_hold_began(struct engine *engine);
void phase_hold_ended(struct engine *engine, bool was_undone);
/* The way back is made before the switch: T counts and marks from its first write on. Done before
 * the hold, while no client waits: its names are its own, making resets nothing, and what stands
 * of it when a hold is undone stands for the next one. The guards stay as they are: `switched`
 * opens that of S. Model: REVFIRST, MAKERESETS, NOOWNER, LATEOPEN. */
bool phase_way_back_is_made(struct engine *engine, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- purge.c: what finalizing and aborting have in common --- */
enum step_result phase_purge(struct engine *engine, enum side victim);

/* --- preflight.c --- */
/* All checks, journalled. False in *passed: the first failing one is in engine->why. */
bool phase_preflight(struct engine *engine, bool *passed, enum step_result *result)
    __attribute__((warn_unused_result));

#endif
