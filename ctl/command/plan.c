/* sluicectl plan split|move|rebalance|drain: what it would do and cost. Changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "ctl/command/all.h"
#include "ctl/command/health.h"
#include "ctl/command/measure.h"
#include "ctl/command/planning.h"
#include "ctl/command/rate.h"
#include "ctl/output/human.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

static bool info_number(struct shard_link *link, const char *field, uint64_t *number,
                        struct error *err)
{
    char text[64];
    return shard_info(link, "memory", field, text, sizeof(text), err) &&
           number_parse_u64(slice_of(text), number);
}

/* Walks the sources, each once for all of its moves. */
static bool measure_source(const struct topology *topology, const struct plan *plan,
                           unsigned source, const struct migration_options *options,
                           struct measure *measures, struct error *err)
{
    struct health health;
    struct shard_link *link;
    health_look(topology, source, &health, &link);
    if (link == NULL) {
        return error_set(err, "cannot count the keys of %s: %s", topology->shards[source].name,
                         health.why.text);
    }
    struct measure *own = mem_zalloc(plan->nmoves * sizeof(*own));
    unsigned count = 0;
    for (unsigned i = 0; i < plan->nmoves; i++) {
        if (plan->moves[i].source == source) {
            own[count++].slots = &plan->moves[i].slots;
        }
    }
    bool ok = measure_shard(link, health.keys, options->large_key_bytes, own, count, err);
    count = 0;
    for (unsigned i = 0; i < plan->nmoves; i++) {
        if (plan->moves[i].source == source) {
            measures[i] = own[count++];
        }
    }
    mem_free(own);
    shard_close(link);
    return ok;
}

static bool is_first_of_source(const struct plan *plan, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (plan->moves[i].source == plan->moves[index].source) {
            return false;
        }
    }
    return true;
}

static bool measure_plan(const struct topology *topology, const struct plan *plan,
                         const struct migration_options *options, struct measure *measures,
                         struct error *err)
{
    for (unsigned i = 0; i < plan->nmoves; i++) {
        if (is_first_of_source(plan, i) &&
            !measure_source(topology, plan, plan->moves[i].source, options, measures, err)) {
            return false;
        }
    }
    return true;
}

/* Room on the target: {maxmemory, used_memory, headroom}, headroom null without a maxmemory. */
static bool add_headroom(json_t *view, const struct topology *topology, unsigned target,
                         struct error *err)
{
    struct health health;
    struct shard_link *link;
    health_look(topology, target, &health, &link);
    const char *name = topology->shards[target].name;
    if (link == NULL) {
        return error_set(err, "cannot ask %s for its memory: %s", name, health.why.text);
    }
    uint64_t most = 0;
    uint64_t used = 0;
    bool ok =
        info_number(link, "maxmemory", &most, err) && info_number(link, "used_memory", &used, err);
    shard_close(link);
    if (!ok) {
        return error_prefix(err, "cannot ask %s for its memory", name);
    }
    set_number(view, "target_maxmemory", most);
    set_number(view, "target_used_memory", used);
    if (most == 0) {
        set_member(view, "target_headroom", json_null());
    } else {
        set_number(view, "target_headroom", most > used ? most - used : 0);
    }
    return true;
}

static json_t *large_keys_view(const struct measure *measure)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < measure->nlarge && i < MEASURE_LARGE_MAX; i++) {
        json_t *key = json_object();
        set_text(key, "key", measure->large[i].name);
        set_number(key, "bytes", measure->large[i].bytes);
        (void)json_array_append_new(list, key);
    }
    return list;
}

static json_t *move_view(const struct topology *topology, const struct planned_move *move,
                         const struct measure *measure)
{
    struct buffer slots;
    buffer_init(&slots, SIZE_MAX);
    slot_set_format(&move->slots, &slots);
    json_t *view = json_object();
    set_text(view, "source", topology->shards[move->source].name);
    set_text(view, "target", topology->shards[move->target].name);
    set_slice(view, "slots", buffer_slice(&slots));
    set_number(view, "slot_count", slot_set_count(&move->slots));
    set_number(view, "keys", measure->keys);
    set_flag(view, "keys_exact", measure->is_exact);
    set_number(view, "bytes", measure->bytes);
    set_number(view, "bytes_sampled_keys", measure->sized);
    set_number(view, "large_keys_found", measure->nlarge);
    set_member(view, "large_keys", large_keys_view(measure));
    buffer_fini(&slots);
    return view;
}

static void add_time(json_t *view, const struct rate *rate, const struct migration_options *options)
{
    set_number(
        view, "estimated_ms",
        rate_estimate_ms(rate, view_number(view, "keys"), view_number(view, "bytes"), options));
    set_number(view, "copied_per_second", rate->copied);
    set_number(view, "verified_per_second", rate->verified);
    set_text(view, "rate_of", rate->migration);
}

static void print_large_keys(const struct command_run *run, const json_t *move)
{
    uint64_t found = view_number(move, "large_keys_found");
    const json_t *keys = view_member(move, "large_keys");
    size_t i;
    json_t *key;
    if (found == 0) {
        say(run, "  large keys  none in the sample of %llu\n",
            (unsigned long long)view_number(move, "bytes_sampled_keys"));
        return;
    }
    say(run, "  large keys  %llu in the sample of %llu\n", (unsigned long long)found,
        (unsigned long long)view_number(move, "bytes_sampled_keys"));
    json_array_foreach(keys, i, key)
    {
        char bytes[HUMAN_TEXT_MAX];
        say(run, "    %s  %s\n", human_bytes(view_number(key, "bytes"), bytes),
            view_text(key, "key"));
    }
}

static void print_headroom(const struct command_run *run, const json_t *move)
{
    char room[HUMAN_TEXT_MAX];
    char used[HUMAN_TEXT_MAX];
    uint64_t headroom = view_number(move, "target_headroom");
    (void)human_bytes(view_number(move, "target_used_memory"), used);
    if (json_is_null(json_object_get(move, "target_headroom"))) {
        say(run, "  headroom    %s has no maxmemory (uses %s)\n", view_text(move, "target"), used);
        return;
    }
    say(run, "  headroom    %s on %s (uses %s)%s\n", human_bytes(headroom, room),
        view_text(move, "target"), used,
        headroom < view_number(move, "bytes") ? ": NOT ENOUGH for these bytes" : "");
}

static void print_move(const struct command_run *run, const json_t *move)
{
    char bytes[HUMAN_TEXT_MAX];
    char time[HUMAN_TEXT_MAX];
    char slots[HUMAN_LIST_MAX + 5];
    say(run, "%s -> %s\n", view_text(move, "source"), view_text(move, "target"));
    say(run, "  slots       %llu: %s\n", (unsigned long long)view_number(move, "slot_count"),
        human_list(view_text(move, "slots"), slots));
    say(run, "  keys        %llu (%s)\n", (unsigned long long)view_number(move, "keys"),
        view_flag(move, "keys_exact") ? "counted" : "estimated from a sample");
    say(run, "  bytes       about %s (memory of %llu sampled keys)\n",
        human_bytes(view_number(move, "bytes"), bytes),
        (unsigned long long)view_number(move, "bytes_sampled_keys"));
    print_headroom(run, move);
    print_large_keys(run, move);
    say(run, "  time        about %s to copy and verify\n",
        human_duration(view_number(move, "estimated_ms"), time));
    say(run, "              at %llu and %llu keys a second at most, %s%s\n",
        (unsigned long long)view_number(move, "copied_per_second"),
        (unsigned long long)view_number(move, "verified_per_second"),
        view_text(move, "rate_of")[0] != '\0'
            ? "as the last migration did: "
            : "a guess, as no migration has shown here what the shards do",
        view_text(move, "rate_of"));
}

static enum command_result view_plan(struct command_run *run, const struct topology *topology,
                                     const struct plan *plan, struct error *err)
{
    struct migration_options options;
    if (!planning_options(run->settings, &options, err)) {
        return COMMAND_USAGE;
    }
    struct measure *measures = mem_zalloc((plan->nmoves + 1) * sizeof(*measures));
    struct rate rate;
    bool ok =
        measure_plan(topology, plan, &options, measures, err) && rate_read(run->store, &rate, err);
    json_t *moves = json_array();
    set_member(run->result, "moves", moves);
    for (unsigned i = 0; ok && i < plan->nmoves; i++) {
        json_t *view = move_view(topology, &plan->moves[i], &measures[i]);
        (void)json_array_append_new(moves, view);
        add_time(view, &rate, &options);
        ok = add_headroom(view, topology, plan->moves[i].target, err);
        if (ok) {
            print_move(run, view);
        }
    }
    mem_free(measures);
    set_number(run->result, "epoch", topology->epoch);
    if (ok) {
        say(run, plan->nmoves > 0 ? "nothing was changed\n"
                                  : "nothing to move: every shard is where it should be\n");
    }
    return command_result_of(ok);
}

static enum command_result dry_run(struct command_run *run, planning_fn *planning,
                                   struct error *err)
{
    return planning_run(run, planning, view_plan, err);
}

static enum command_result plan_split_run(struct command_run *run, struct error *err)
{
    return dry_run(run, planning_split, err);
}

static enum command_result plan_move_run(struct command_run *run, struct error *err)
{
    return dry_run(run, planning_move, err);
}

static enum command_result plan_rebalance_run(struct command_run *run, struct error *err)
{
    return dry_run(run, planning_rebalance, err);
}

static enum command_result plan_drain_run(struct command_run *run, struct error *err)
{
    return dry_run(run, planning_drain, err);
}

static const struct option_spec split_options[] = {OPTION_TO, OPTION_SHARE, OPTIONS_PACE};
static const struct option_spec move_options[] = {OPTION_TO, OPTIONS_PACE};
static const struct option_spec pace_options[] = {OPTIONS_PACE};

#define PLAN_ABOUT                                                                                \
    "Prints what the command of that name would move: slots, keys (counted, or estimated from "   \
    "a sample above\na million), bytes, room on the target, large keys in the sample, and the "   \
    "time it would take at\nthe rate that the last migration without a throttle showed, or at a " \
    "guess.\nChanges nothing."

const struct command command_plan_split = {
    .name = "plan split",
    .arguments = "SHARD --to SHARD",
    .text = "dry run of split: keys, bytes, room, time",
    .about = PLAN_ABOUT,
    COMMAND_OPTIONS(split_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = plan_split_run,
};

const struct command command_plan_move = {
    .name = "plan move",
    .arguments = "SLOTS --to SHARD",
    .text = "dry run of move",
    .about = PLAN_ABOUT,
    COMMAND_OPTIONS(move_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = plan_move_run,
};

const struct command command_plan_rebalance = {
    .name = "plan rebalance",
    .arguments = "",
    .text = "dry run of rebalance",
    .about = PLAN_ABOUT,
    COMMAND_OPTIONS(pace_options),
    .run = plan_rebalance_run,
};

const struct command command_plan_drain = {
    .name = "plan drain",
    .arguments = "SHARD",
    .text = "dry run of drain",
    .about = PLAN_ABOUT,
    COMMAND_OPTIONS(pace_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = plan_drain_run,
};
