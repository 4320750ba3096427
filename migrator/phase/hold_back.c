/* hold-back: as hold, the other way round: the source becomes the owner again, and what follows is
 * the removal of the target's copies. */
#include "migrator/phase/phase_internal.h"

static bool cut_back(struct engine *engine, enum step_result *result)
{
    bool was_done = false;
    PASS(STEP_HOLD_BACK_BEFORE_BARRIER);
    if (!engine_connect_both(engine, result) || !phase_silence(engine, result) ||
        !phase_copy_becomes_owner(engine, result)) {
        return false;
    }
    PASS(STEP_HOLD_BACK_BEFORE_ABORTING);
    *result = engine_enter(engine, PHASE_ABORTING, &was_done);
    PASS(STEP_HOLD_BACK_AFTER_ABORTING);
    return was_done;
}

enum step_result phase_hold_back(struct engine *engine)
{
    enum step_result result = STEP_ADVANCED;
    phase_hold_began(engine);
    if (cut_back(engine, &result)) {
        phase_hold_ended(engine, false);
        ENGINE_NOTE(engine, "cutover", "{s:s, s:s}", "from", engine->view.shards[SIDE_TARGET].name,
                    "to", engine->view.shards[SIDE_SOURCE].name);
        return STEP_ADVANCED;
    }
    PASS(STEP_HOLD_BACK_BEFORE_UNDO);
    bool was_undone = false;
    enum step_result undone = engine_enter(engine, PHASE_SWITCHED, &was_undone);
    PASS(STEP_HOLD_BACK_AFTER_UNDO);
    phase_hold_ended(engine, true);
    return undone == STEP_RETRY ? undone : result;
}
