/* The only way by which the migrator changes the topology: a compare-and-swap that is made on a
 * freshly read document and only while this migration's phase, entry epoch, generation and base are
 * still those of the view. */
#ifndef MIGRATOR_ENGINE_TRANSITION_H
#define MIGRATOR_ENGINE_TRANSITION_H

#include "migrator/engine/engine.h"

/* Changes `next`. False: on this document it must not be done (any more); nothing is written. */
typedef bool transition_fn(struct engine *engine, struct topology *next,
                           struct migration *migration, uint64_t argument);

/* STEP_ADVANCED: done, or overtaken; read again either way, *was_done (may be null) tells which.
 * STEP_RETRY: the store failed. An unknown outcome is settled by reading before this returns. */
enum step_result engine_change(struct engine *engine, transition_fn *change, uint64_t argument,
                               bool *was_done);
/* migration_enter(to). */
enum step_result engine_enter(struct engine *engine, enum phase to, bool *was_done);
/* Just before a hold, whose clients wait for the change that ends it: prepares that one. */
void engine_stage(struct engine *engine, enum phase hold, enum phase to);
/* The same process is named again for a side: a new base and generation. */
enum step_result engine_new_base(struct engine *engine, enum side side, const char *reason);

#endif
