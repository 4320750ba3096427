/* finalizing: the target keeps the slots; the source's copies are removed. */
#include "migrator/phase/phase_internal.h"

enum step_result phase_finalizing(struct engine *engine)
{
    return phase_purge(engine, SIDE_SOURCE);
}
