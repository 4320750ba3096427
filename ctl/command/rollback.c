/* sluicectl rollback: give the slots back, losing nothing that was written since. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"

static const char *const advice[CHANGING_PHASES] = {
    [PHASE_PLANNED] = "nothing has switched, so there is nothing to roll back; sluicectl abort "
                      "undoes it",
    [PHASE_DUAL_WRITE] = "nothing has switched, so there is nothing to roll back; sluicectl abort "
                         "undoes it",
    [PHASE_HOLD] = "it is switching this moment; wait a second, then roll back, or abort if it "
                   "has not switched",
    [PHASE_HOLD_BACK] = "it is being rolled back already",
    [PHASE_FINALIZING] = "it is final, and the old copies are being purged; move the slots back "
                         "with sluicectl move",
    [PHASE_ABORTING] = "it is being undone already",
};

static bool change(struct topology *next, struct migration *migration,
                   const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    migration->request = REQUEST_ROLLBACK;
    migration->is_paused = false;
    return true;
}

static enum command_result rollback_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "rollback",
                                              .change = change,
                                              .can_wait = true,
                                              .goal = WAITING_UNDONE,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static const struct command_option options[] = {OPTIONS_WAIT};

const struct command command_rollback = {
    .name = "rollback",
    .arguments = "[ID]",
    .text = "give switched slots back to the source",
    .about = "In its rollback window (switched) a migration can be undone without losing a write: "
             "the source has been\nkept a verified copy. While it is not (status says so), the "
             "rollback waits until it is again.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = rollback_run,
};
