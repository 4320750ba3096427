/* The whole state machine on one screen; lib/topology/migration_state.h has its drawing. */
#include "lib/base/assert.h"
#include "migrator/phase/phase_internal.h"

typedef enum step_result phase_fn(struct engine *engine);

// clang-format off
static phase_fn *const phases[] = {
    /*                                  goes to                       and, undone or asked, to     */
    [PHASE_PLANNED]    = phase_planned,    /* dual-write                (closed)                   */
    [PHASE_DUAL_WRITE] = phase_dual_write, /* hold                      aborting                   */
    [PHASE_HOLD]       = phase_hold,       /* switched                  dual-write, aborting       */
    [PHASE_SWITCHED]   = phase_switched,   /* finalizing                hold-back                  */
    [PHASE_HOLD_BACK]  = phase_hold,       /* aborting                  switched                   */
    [PHASE_FINALIZING] = phase_finalizing, /* (closed)                                             */
    [PHASE_ABORTING]   = phase_aborting,   /* (closed)                                             */
};

// clang-format on

enum step_result phase_run(struct engine *engine)
{
    enum phase phase = engine->view.migration.phase;
    ASSERT(phase < sizeof(phases) / sizeof(phases[0]));
    if (!phase_is_hold(phase)) {
        phase_hold_ended(engine, true); /* one that somebody undid before we were in it */
    }
    return phases[phase](engine);
}
