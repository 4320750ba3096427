/* planned: nothing has been touched but scratch keys; the preflight decides whether it may begin.
 */
#include "migrator/phase/phase_internal.h"

#define PAUSED_MS UINT64_C(1000)

enum step_result phase_planned(struct engine *engine)
{
    bool passed = false;
    enum step_result result;
    if (engine->view.migration.is_paused) {
        return engine_wait(engine, PAUSED_MS);
    }
    if (!engine_connect_both(engine, &result)) {
        return result;
    }
    engine_watch_latency(engine);
    PASS(STEP_PLANNED_BEFORE_PREFLIGHT);
    if (!phase_preflight(engine, &passed, &result)) {
        return result;
    }
    if (!passed) {
        return engine_retry(engine, &engine->why);
    }
    /* Before the first dual write, and so before there are numbers that a late FLUSHALL of one who
     * does not know of this migration could set back. */
    if (!phase_raise_fence(engine, SIDE_SOURCE, &result) ||
        !phase_raise_fence(engine, SIDE_TARGET, &result) || !phase_prune_guards(engine, &result)) {
        return result;
    }
    PASS(STEP_PLANNED_BEFORE_DUAL_WRITE);
    result = engine_enter(engine, PHASE_DUAL_WRITE, NULL);
    PASS(STEP_PLANNED_AFTER_DUAL_WRITE);
    return result;
}
