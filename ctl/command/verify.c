/* sluicectl verify: compare every key once more. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"

static const char *const advice[CHANGING_PHASES] = {
    [PHASE_PLANNED] = "nothing is copied yet, and it verifies by itself; wait for dual-write",
    [PHASE_HOLD] = "it is switching, and only verified slots switch; try again once it has",
    [PHASE_HOLD_BACK] = "it is being rolled back, and only verified slots are",
    [PHASE_FINALIZING] = "the copies are being purged, so there is nothing to compare with",
    [PHASE_ABORTING] = "the copies are being purged, so there is nothing to compare with",
};

static bool ask_for_verify(struct topology *next, struct migration *migration,
                           const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    if (!changing_check_phase(migration, advice, err)) {
        return false;
    }
    if (migration->request != REQUEST_NONE && migration->request != REQUEST_VERIFY) {
        return error_set(err, "m%llu is asked for a %s, which verifies first; wait for it",
                         (unsigned long long)migration->id,
                         migration_request_name(migration->request));
    }
    migration->request = REQUEST_VERIFY;
    migration->is_paused = false;
    return true;
}

static enum command_result verify_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "verify",
                                              .change = ask_for_verify,
                                              .can_wait = true,
                                              .goal = WAITING_VERIFIED,
                                              .needs_migrator = true};
    return changing_run(run, &verb, err);
}

static const struct option_spec options[] = {OPTIONS_WAIT};

const struct command command_verify = {
    .name = "verify",
    .arguments = "[ID]",
    .text = "compare every key on both shards again",
    .about = "Asks the migrator for one more pass over every key of the migration, on both shards "
             "(in dual-write or\nswitched). sluicectl report shows what it found.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = verify_run,
};
