/* switched: the target owns the slots, the source is its verified copy: the rollback window. */
#include "lib/base/clock.h"
#include "migrator/phase/phase_internal.h"

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

enum step_result phase_switched(struct engine *engine)
{
    if (is_time_to_finalize(engine)) {
        return finalize(engine);
    }
    return phase_keep_copy(engine, engine->view.migration.request == REQUEST_ROLLBACK ||
                                       engine->memory.requested == REQUEST_ROLLBACK);
}
