/* dual-write: the proxies write to both; the copy is made, filled, compared and kept up until the
 * slots can be held. */
#include "migrator/phase/phase_internal.h"

#define PAUSED_MS UINT64_C(1000)

/* After a hold was undone the generation is another one: without this no repair and no mirror
 * would be let in any more. Model: BACKSAMEGEN. */
static bool open_guards(struct engine *engine, enum step_result *result)
{
    PASS(STEP_DUAL_WRITE_BEFORE_OPEN);
    if (!phase_guard(engine, SIDE_TARGET, GUARD_OPEN, NULL, -1, result) ||
        !phase_guard(engine, SIDE_SOURCE, GUARD_OWNER, NULL, -1, result)) {
        return false;
    }
    PASS(STEP_DUAL_WRITE_AFTER_OPEN);
    return true;
}

static bool may_switch(const struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    return !migration->options.manual_switch || migration->request == REQUEST_SWITCH ||
           engine->memory.requested == REQUEST_SWITCH;
}

static enum step_result towards_hold(struct engine *engine)
{
    bool is_quiet = false;
    bool was_done = false;
    enum step_result result;
    if (!phase_is_quiet(engine, &is_quiet, &result)) {
        return result;
    }
    if (!may_switch(engine)) {
        return engine_wait(engine, DRAIN_IDLE_MS);
    }
    if (!is_quiet) {
        return engine_wait(engine, DRAIN_SOON_MS);
    }
    if (!phase_make_reverse(engine, &result) ||
        !phase_prepare_hold(engine, REQUEST_SWITCH, PHASE_HOLD, PHASE_SWITCHED, &result)) {
        return result;
    }
    PASS(STEP_DUAL_WRITE_BEFORE_HOLD);
    result = engine_enter(engine, PHASE_HOLD, &was_done);
    if (was_done) {
        phase_hold_began(engine);
    }
    PASS(STEP_DUAL_WRITE_AFTER_HOLD);
    return result;
}

enum step_result phase_dual_write(struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    enum step_result result;
    if (migration->is_paused) {
        return engine_wait(engine, PAUSED_MS);
    }
    if (!engine_connect_both(engine, &result)) {
        return result;
    }
    if (migration->made != migration->base) {
        return phase_make_base(engine);
    }
    if (!open_guards(engine, &result) || !phase_raise_fence(engine, SIDE_TARGET, &result)) {
        return result;
    }
    PASS(STEP_DUAL_WRITE_AFTER_RAISE);
    if (!phase_clocks_agree(engine, CLOCKS_NOW_AND_THEN_US, &result)) {
        return result;
    }
    if (migration->verified != migration->base) {
        return phase_catch_up(engine);
    }
    if (migration->request == REQUEST_VERIFY) {
        return phase_verify_again(engine);
    }
    return towards_hold(engine);
}
