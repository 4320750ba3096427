/* sluicectl pause, sluicectl resume. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"

static const char *const pause_advice[CHANGING_PHASES] = {
    [PHASE_HOLD] = "clients are waiting, and a hold ends by itself; try again in a second",
    [PHASE_HOLD_BACK] = "clients are waiting, and a hold ends by itself; try again in a second",
};

static bool change_to_paused(struct topology *next, struct migration *migration,
                             const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    if (!changing_check_phase(migration, pause_advice, err)) {
        return false;
    }
    if (migration->is_paused) {
        return error_set(err, "m%llu is paused already; sluicectl resume lets it go on",
                         (unsigned long long)migration->id);
    }
    migration->is_paused = true;
    return true;
}

static bool change_to_resumed(struct topology *next, struct migration *migration,
                              const struct settings *settings, struct error *err)
{
    (void)next;
    (void)settings;
    if (!migration->is_paused) {
        return error_set(err, "m%llu is not paused; sluicectl status shows what it does",
                         (unsigned long long)migration->id);
    }
    migration->is_paused = false;
    return true;
}

static enum command_result pause_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {.request = "pause", .change = change_to_paused};
    return changing_run(run, &verb, err);
}

static enum command_result resume_run(struct command_run *run, struct error *err)
{
    static const struct changing_verb verb = {
        .request = "resume", .change = change_to_resumed, .needs_migrator = true};
    return changing_run(run, &verb, err);
}

/* Every verb of a migration takes it, and scripts may say it to all. */
static const struct option_spec options[] = {
    CTL_OPTION("wait", OPTION_FLAG, is_waiting, NULL,
               "there is nothing to wait for: it holds at once"),
};

const struct command command_pause = {
    .name = "pause",
    .arguments = "[ID]",
    .text = "stop a migration's copying for a while",
    .about = "The migrator stops copying and verifying and changes no phase until sluicectl "
             "resume. Proxies keep\nwriting to both shards, so nothing is lost by a pause.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = pause_run,
};

const struct command command_resume = {
    .name = "resume",
    .arguments = "[ID]",
    .text = "let a paused migration go on",
    .about = "Ends a pause.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = resume_run,
};
