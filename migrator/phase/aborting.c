/* aborting: the source has, or has again, the slots; the target's copies are removed. */
#include "migrator/phase/phase_internal.h"

enum step_result phase_aborting(struct engine *engine)
{
    phase_hold_ended(engine, engine->view.migration.phase == PHASE_ABORTING &&
                                 !engine->memory.was_switched);
    return phase_purge(engine, SIDE_TARGET);
}
