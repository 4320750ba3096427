/* sluicectl finalize: close the rollback window and purge the old copies. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"
#include "lib/topology/migration_state.h"

static const char *const advice[CHANGING_PHASES] = {
    [PHASE_PLANNED] = "it has not switched yet; wait for that, or sluicectl abort",
    [PHASE_DUAL_WRITE] = "it has not switched yet; wait for that, or sluicectl switch, or abort",
    [PHASE_HOLD] = "it is switching this moment; try again in a second",
    [PHASE_HOLD_BACK] = "it is being rolled back; wait for that",
    [PHASE_FINALIZING] = "it is being finalized already",
    [PHASE_ABORTING] = "it is being undone; there is nothing to finalize",
};

static bool change_to_finalizing(struct topology *next, struct migration *migration,
                                 const struct settings *settings, struct error *err)
{
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    if (migration->verified != migration->base && !settings->is_forced) {
        return error_set(err,
                         "m%llu is not verified since a shard changed (base %llu, verified %llu): "
                         "wait until sluicectl status shows the way back open, or give --force",
                         (unsigned long long)migration->id, (unsigned long long)migration->base,
                         (unsigned long long)migration->verified);
    }
    migration->is_paused = false;
    migration_enter(next, migration, PHASE_FINALIZING);
    return true;
}

static enum command_result finalize_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "finalize",
                                              .change = change_to_finalizing,
                                              .can_wait = true,
                                              .goal = WAITING_FINALIZED,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static const struct option_spec options[] = {
    OPTION_FORCE("although the old copy has not been verified since a shard changed"),
    OPTIONS_WAIT,
};

const struct command command_finalize = {
    .name = "finalize",
    .arguments = "[ID]",
    .text = "make a switched migration final",
    .about = "Closes the rollback window of a migration that has switched, and has the copies on "
             "the source purged.\nAfter this there is no way back but another move.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = finalize_run,
};
