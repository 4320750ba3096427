/* hold: the proxies queue everything for these slots; the last marks are drained and the target
 * becomes the owner. Clients wait, so whatever goes wrong undoes the hold at once. */
#include "migrator/phase/phase_internal.h"

bool phase_make_reverse(struct engine *engine, enum step_result *result)
{
    uint64_t base = engine->view.migration.base;
    struct metadata_names names;
    struct error err;
    if (engine->reverse_made == base) {
        return true;
    }
    engine_names(engine, DIRECTION_REVERSE, &names);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct guard_claim claim = engine_claim(engine, side);
        enum fence_outcome outcome =
            fence_make(engine->links[side], &claim, GUARD_OPEN, &names, side == SIDE_TARGET, &err);
        if (outcome != FENCE_OK) {
            *result = engine_failed(engine, side, outcome, &err);
            return false;
        }
    }
    engine->reverse_made = base;
    PASS(STEP_REVERSE_AFTER_MADE);
    return true;
}

static bool cut_over(struct engine *engine, enum step_result *result)
{
    bool was_done = false;
    PASS(STEP_HOLD_BEFORE_BARRIER);
    if (!engine_connect_both(engine, result) || !phase_silence(engine, result) ||
        !phase_copy_becomes_owner(engine, result) || !phase_make_reverse(engine, result)) {
        return false;
    }
    PASS(STEP_HOLD_BEFORE_SWITCH);
    *result = engine_enter(engine, PHASE_SWITCHED, &was_done);
    PASS(STEP_HOLD_AFTER_SWITCH);
    return was_done;
}

enum step_result phase_hold(struct engine *engine)
{
    enum step_result result = STEP_ADVANCED;
    phase_hold_began(engine);
    if (cut_over(engine, &result)) {
        phase_hold_ended(engine, false);
        ENGINE_NOTE(engine, "cutover", "{s:s, s:s}", "from", engine->view.shards[SIDE_SOURCE].name,
                    "to", engine->view.shards[SIDE_TARGET].name);
        return STEP_ADVANCED;
    }
    PASS(STEP_HOLD_BEFORE_UNDO);
    /* Does nothing if the hold is over already: by us, by a proxy, by a new base. */
    bool was_undone = false;
    enum step_result undone = engine_enter(engine, PHASE_DUAL_WRITE, &was_undone);
    PASS(STEP_HOLD_AFTER_UNDO);
    phase_hold_ended(engine, true);
    return undone == STEP_RETRY ? undone : result;
}
