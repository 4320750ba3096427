/* sluicectl abort: undo a migration that has not switched. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"
#include "lib/topology/migration_state.h"

static const char *const advice[CHANGING_PHASES] = {
    [PHASE_SWITCHED] = "the target owns the slots, so it cannot be aborted any more; sluicectl "
                       "rollback undoes it without losing a write",
    [PHASE_HOLD_BACK] = "it is being rolled back already",
    [PHASE_FINALIZING] = "it is final, and the old copies are being purged; move the slots back "
                         "with sluicectl move",
    [PHASE_ABORTING] = "it is being undone already",
};

static bool change_to_aborting(struct topology *next, struct migration *migration,
                               const struct settings *settings, struct error *err)
{
    (void)settings;
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    if (migration->phase == PHASE_PLANNED) {
        migration_close(next, migration, -1); /* nothing was begun on any shard */
        return true;
    }
    migration->is_paused = false;
    migration_enter(next, migration, PHASE_ABORTING);
    return true;
}

static enum command_result abort_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {
        .request = "abort", .change = change_to_aborting, .can_wait = true, .goal = WAITING_UNDONE};
    return changing_run(run, &verb, err);
}

static const struct option_spec options[] = {OPTIONS_WAIT};

const struct command command_abort = {
    .name = "abort",
    .arguments = "[ID]",
    .text = "undo a migration that has not switched",
    .about = "The source keeps the slots, and the copies on the target are purged. It succeeds at "
             "once; --wait also\nwaits for the purge.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = abort_run,
};
