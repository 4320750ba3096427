/* sluicectl switch: the go-ahead for a migration that waits for it. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"

static const char *const advice[CHANGING_PHASES] = {
    [PHASE_PLANNED] = "nothing is copied yet; wait for dual-write (sluicectl status)",
    [PHASE_HOLD] = "it is switching already; wait a second",
    [PHASE_SWITCHED] = "it has switched already; finalize makes that final, rollback undoes it",
    [PHASE_HOLD_BACK] = "it is being rolled back; open a new migration when that is done",
    [PHASE_FINALIZING] = "it has switched already, and the old copies are being purged",
    [PHASE_ABORTING] = "it is being undone; open a new migration when that is done",
};

static bool change(struct topology *next, struct migration *migration,
                   const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    migration->request = REQUEST_SWITCH;
    migration->is_paused = false;
    return true;
}

static enum command_result switch_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "switch",
                                              .change = change,
                                              .can_wait = true,
                                              .goal = WAITING_SWITCHED,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static const struct command_option options[] = {OPTIONS_WAIT};

const struct command command_switch = {
    .name = "switch",
    .arguments = "[ID]",
    .text = "let a migration with --manual-switch switch",
    .about =
        "Lets a migration in dual-write give its slots to the target, as soon as every key has "
        "compared equal.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = switch_run,
};
