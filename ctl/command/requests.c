/* sluicectl switch, sluicectl rollback: what a migration is asked to do next. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"

static const char *const switch_advice[CHANGING_PHASES] = {
    [PHASE_PLANNED] = "nothing is copied yet; wait for dual-write (sluicectl status)",
    [PHASE_HOLD] = "it is switching already; wait a second",
    [PHASE_SWITCHED] = "it has switched already; finalize makes that final, rollback undoes it",
    [PHASE_HOLD_BACK] = "it is being rolled back; open a new migration when that is done",
    [PHASE_FINALIZING] = "it has switched already, and the old copies are being purged",
    [PHASE_ABORTING] = "it is being undone; open a new migration when that is done",
};

static const char *const rollback_advice[CHANGING_PHASES] = {
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

static bool ask(struct migration *migration, enum migration_request request,
                const char *const *advice, struct error *err)
{
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    migration->request = request;
    migration->is_paused = false;
    return true;
}

static bool ask_to_switch(struct topology *next, struct migration *migration,
                          const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    return ask(migration, REQUEST_SWITCH, switch_advice, err);
}

static bool ask_to_roll_back(struct topology *next, struct migration *migration,
                             const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    return ask(migration, REQUEST_ROLLBACK, rollback_advice, err);
}

static enum command_result switch_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "switch",
                                              .change = ask_to_switch,
                                              .can_wait = true,
                                              .goal = WAITING_SWITCHED,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static enum command_result rollback_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "rollback",
                                              .change = ask_to_roll_back,
                                              .can_wait = true,
                                              .goal = WAITING_UNDONE,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static const struct option_spec options[] = {OPTIONS_WAIT};

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
