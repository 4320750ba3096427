#include "ctl/command/planning.h"

#include <string.h>

#include "lib/base/number.h"
#include "lib/store/store.h"

#define SHARE_DEFAULT 0.5

static bool find_shard(const struct topology *topology, const char *name, unsigned *shard,
                       struct error *err)
{
    int index = topology_find_shard(topology, slice_of(name));
    if (index < 0) {
        return error_set(err,
                         "there is no shard \"%s\"; see sluicectl shard list, or add it with "
                         "sluicectl shard add %s=HOST:PORT",
                         name, name);
    }
    *shard = (unsigned)index;
    return true;
}

bool planning_parse_share(const char *text, double *share, struct error *err)
{
    bool is_share = number_parse_double(slice_of(text), share) && *share > 0 && *share <= 1;
    return is_share ||
           error_set(err, "--share must be above 0 and not above 1, like 0.5, not \"%s\"", text);
}

/* What can be said of the words without looking at the store. */
static bool check_words(const struct command_run *run, struct error *err)
{
    const struct settings *settings = run->settings;
    struct migration_options options;
    double share;
    bool needs_target = strstr(run->command->arguments, "--to") != NULL;
    if (needs_target && settings->to == NULL) {
        return error_set(err, "\"%s\" needs --to SHARD, the shard that gets the slots",
                         run->command->name);
    }
    return (settings->share == NULL || planning_parse_share(settings->share, &share, err)) &&
           planning_options(settings, &options, err);
}

enum command_result planning_split(const struct command_run *run, const struct topology *topology,
                                   struct plan *plan, struct error *err)
{
    double share = SHARE_DEFAULT;
    unsigned source = 0;
    unsigned target = 0;
    if (run->settings->share != NULL && !planning_parse_share(run->settings->share, &share, err)) {
        return COMMAND_USAGE;
    }
    return command_result_of(find_shard(topology, run->arguments[0], &source, err) &&
                             find_shard(topology, run->settings->to, &target, err) &&
                             plan_split(topology, source, target, share, plan, err));
}

enum command_result planning_move(const struct command_run *run, const struct topology *topology,
                                  struct plan *plan, struct error *err)
{
    unsigned target = 0;
    struct slot_set slots;
    slot_set_init(&slots, topology->nslots);
    enum command_result result = COMMAND_USAGE;
    if (slot_set_parse(&slots, slice_of(run->arguments[0]), err)) {
        result = command_result_of(find_shard(topology, run->settings->to, &target, err) &&
                                   plan_move(topology, &slots, target, plan, err));
    }
    slot_set_fini(&slots);
    return result;
}

enum command_result planning_rebalance(const struct command_run *run,
                                       const struct topology *topology, struct plan *plan,
                                       struct error *err)
{
    (void)run; /* it has no words of its own */
    return command_result_of(plan_rebalance(topology, plan, err));
}

enum command_result planning_drain(const struct command_run *run, const struct topology *topology,
                                   struct plan *plan, struct error *err)
{
    unsigned source = 0;
    return command_result_of(find_shard(topology, run->arguments[0], &source, err) &&
                             plan_drain(topology, source, plan, err));
}

static bool parse_finalize_after(const char *text, uint64_t *ms, struct error *err)
{
    if (strcmp(text, "never") == 0) {
        *ms = FINALIZE_NEVER;
        return true;
    }
    return number_parse_duration_ms(slice_of(text), ms) ||
           error_set(err, "--finalize-after must be a duration like 10m, 0 or never, not \"%s\"",
                     text);
}

bool planning_options(const struct settings *settings, struct migration_options *options,
                      struct error *err)
{
    migration_options_default(options);

    const struct {
        uint64_t given;
        uint64_t *option;
    } numbers[] = {
        {settings->keys_per_second, &options->keys_per_second},
        {settings->bytes_per_second, &options->bytes_per_second},
        {settings->hold_max_ms, &options->hold_max_ms},
        {settings->cutover_keys, &options->cutover_keys},
        {settings->max_skew_ms, &options->max_skew_ms},
        {settings->large_key_bytes, &options->large_key_bytes},
    };

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].given > 0) {
            *numbers[i].option = numbers[i].given;
        }
    }
    options->manual_switch = settings->is_manual_switch;
    /* A barrier that outlasts the hold would have every cutover undone. */
    if (options->barrier_timeout_ms >= options->hold_max_ms) {
        options->barrier_timeout_ms = options->hold_max_ms / 2;
    }
    return settings->finalize_after == NULL ||
           parse_finalize_after(settings->finalize_after, &options->finalize_after_ms, err);
}

enum command_result planning_run(struct command_run *run, planning_fn *planning, plan_use_fn *use,
                                 struct error *err)
{
    if (!check_words(run, err)) {
        return COMMAND_USAGE;
    }
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    struct plan plan = {0};
    enum command_result result = planning(run, topology, &plan, err);
    if (result == COMMAND_DONE) {
        result = use(run, topology, &plan, err);
        plan_fini(&plan);
    }
    topology_free(topology);
    return result;
}
