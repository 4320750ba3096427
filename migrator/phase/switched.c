/* switched: the target owns the slots, the source is its verified copy: the rollback window. */
#include "lib/base/clock.h"
#include "migrator/phase/phase_internal.h"

#define PAUSED_MS UINT64_C(1000)

static bool is_time_to_finalize(const struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    uint64_t after_ms = migration->options.finalize_after_ms;
    uint64_t now_ms = clock_wall_ms();
    uint64_t since_ms = engine->memory.switched_at_ms;
    return after_ms != FINALIZE_NEVER && migration->verified == migration->base &&
           migration->request == REQUEST_NONE && engine->memory.requested != REQUEST_ROLLBACK &&
           !migration->is_paused && now_ms >= since_ms && now_ms - since_ms >= after_ms;
}

static enum step_result finalize(struct engine *engine)
{
    PASS(STEP_SWITCHED_BEFORE_FINALIZING);
    enum step_result result = engine_enter(engine, PHASE_FINALIZING, NULL);
    PASS(STEP_SWITCHED_AFTER_FINALIZING);
    return result;
}

static bool open_guards(struct engine *engine, enum step_result *result)
{
    PASS(STEP_SWITCHED_BEFORE_OPEN);
    if (!phase_guard(engine, SIDE_SOURCE, GUARD_OPEN, NULL, -1, result) ||
        !phase_guard(engine, SIDE_TARGET, GUARD_OWNER, NULL, -1, result)) {
        return false;
    }
    PASS(STEP_SWITCHED_AFTER_OPEN);
    return true;
}

static enum step_result keep_the_copy(struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    bool wants_back =
        migration->request == REQUEST_ROLLBACK || engine->memory.requested == REQUEST_ROLLBACK;
    bool is_quiet = false;
    bool was_done = false;
    enum step_result result;
    if (!phase_is_quiet(engine, &is_quiet, &result)) {
        return result;
    }
    if (!wants_back) {
        return engine_wait(engine, DRAIN_IDLE_MS);
    }
    if (!is_quiet) {
        return engine_wait(engine, DRAIN_SOON_MS);
    }
    if (!phase_prepare_hold(engine, REQUEST_ROLLBACK, PHASE_HOLD_BACK, PHASE_ABORTING, &result)) {
        return result;
    }
    PASS(STEP_SWITCHED_BEFORE_HOLD_BACK);
    result = engine_enter(engine, PHASE_HOLD_BACK, &was_done);
    if (was_done) {
        phase_hold_began(engine);
    }
    PASS(STEP_SWITCHED_AFTER_HOLD_BACK);
    return result;
}

enum step_result phase_switched(struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    enum step_result result;
    if (is_time_to_finalize(engine)) {
        return finalize(engine);
    }
    if (migration->is_paused) {
        return engine_wait(engine, PAUSED_MS);
    }
    if (!engine_connect_both(engine, &result)) {
        return result;
    }
    if (migration->made != migration->base) {
        return phase_make_base(engine);
    }
    if (!open_guards(engine, &result)) {
        return result;
    }
    if (!phase_clocks_agree(engine, CLOCKS_NOW_AND_THEN_US, &result)) {
        return result;
    }
    if (migration->verified != migration->base) {
        return phase_catch_up(engine);
    }
    if (migration->request == REQUEST_VERIFY) {
        return phase_verify_again(engine);
    }
    return keep_the_copy(engine);
}
