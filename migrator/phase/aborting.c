/* aborting: the source has, or has again, the slots; the target's copies are removed. */
#include "migrator/phase/phase_internal.h"

enum step_result phase_aborting(struct engine *engine)
{
    return phase_purge(engine, SIDE_TARGET);
}
