#include "ctl/command/opening.h"

#include "ctl/command/health.h"
#include "ctl/command/members.h"
#include "ctl/command/record.h"
#include "ctl/command/waiting.h"
#include "lib/base/memory.h"
#include "lib/cluster/change.h"
#include "lib/topology/migration_state.h"

/* One move, as the change needs it: the topology may have been rewritten since the plan was made,
 * so shards are found by name. */
struct opening {
    const char *source;
    const char *target;
    const struct slot_set *slots;
    struct migration_options options;
    uint64_t id; /* of the migration that was opened */
};

/* A compare-and-swap whose outcome was unknown may have opened it before. */
static bool is_open_already(const struct topology *next, const struct opening *opening,
                            unsigned source, unsigned target)
{
    const struct migration *migration =
        opening->id != 0 ? topology_find_migration(next, opening->id) : NULL;
    return migration != NULL && migration->source == source && migration->target == target &&
           slot_set_count(&migration->slots) == slot_set_count(opening->slots) &&
           slot_set_intersects(&migration->slots, opening->slots);
}

static enum change_verdict open_migration(struct topology *next, void *context, struct error *err)
{
    struct opening *opening = context;
    int source = topology_find_shard(next, slice_of(opening->source));
    int target = topology_find_shard(next, slice_of(opening->target));
    if (source < 0 || target < 0) {
        (void)error_set(err, "shard %s was removed meanwhile",
                        source < 0 ? opening->source : opening->target);
        return CHANGE_REFUSED;
    }
    if (is_open_already(next, opening, (unsigned)source, (unsigned)target)) {
        return CHANGE_NOTHING;
    }
    struct migration *migration = migration_open(next, (unsigned)source, (unsigned)target,
                                                 opening->slots, &opening->options, err);
    if (migration == NULL) {
        return CHANGE_REFUSED;
    }
    opening->id = migration->id;
    return CHANGE_WRITE;
}

static bool check_shard(const struct topology *topology, unsigned shard, const char *verb,
                        struct error *err)
{
    struct health health;
    health_look(topology, shard, &health, NULL);
    const struct topology_shard *place = &topology->shards[shard];
    char address[SHARD_ADDRESS_MAX];
    shard_address_format(place, address);
    return health.state == HEALTH_UP ||
           error_set(err, "refused to move slots %s %s (%s), which cannot be counted on: %s", verb,
                     place->name, address, health.why.text);
}

bool opening_check_shards(const struct topology *topology, const struct plan *plan,
                          struct error *err)
{
    bool *is_checked = mem_zalloc(topology->nshards * sizeof(*is_checked));
    bool ok = true;
    for (unsigned i = 0; ok && i < plan->nmoves; i++) {
        const struct planned_move *move = &plan->moves[i];
        if (!is_checked[move->source]) {
            ok = check_shard(topology, move->source, "from", err);
            is_checked[move->source] = true;
        }
        if (ok && !is_checked[move->target]) {
            ok = check_shard(topology, move->target, "to", err);
            is_checked[move->target] = true;
        }
    }
    mem_free(is_checked);
    return ok;
}

static void record_created(const struct command_run *run, const struct opening *opening)
{
    struct buffer slots;
    buffer_init(&slots, SIZE_MAX);
    slot_set_format(opening->slots, &slots);
    json_t *record = record_new(opening->id, "created");
    set_text(record, "source", opening->source);
    set_text(record, "target", opening->target);
    set_slice(record, "slots", buffer_slice(&slots));
    set_number(record, "slot_count", slot_set_count(opening->slots));
    buffer_fini(&slots);
    record_append(run, record);
}

/* The id alone on a line of stdout, at once: whoever reads it may begin to watch. */
static void tell_id(struct command_run *run, const struct opening *opening, json_t *ids)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(opening->id, id);
    if (json_array_size(ids) == 0) {
        set_text(run->result, "id", id);
    }
    (void)json_array_append_new(ids, json_string(id));
    say(run, "%s\n", id);
    (void)fflush(run->out);
    note(run, "%s: %u slots from %s to %s", id, slot_set_count(opening->slots), opening->source,
         opening->target);
}

static bool open_moves(struct command_run *run, const struct topology *topology,
                       const struct plan *plan, struct waiting *waiting, struct error *err)
{
    struct opening opening = {0};
    if (!planning_options(run->settings, &opening.options, err)) {
        return false;
    }
    json_t *ids = json_array();
    set_member(run->result, "ids", ids);
    for (unsigned i = 0; i < plan->nmoves; i++) {
        const struct planned_move *move = &plan->moves[i];
        opening.source = topology->shards[move->source].name;
        opening.target = topology->shards[move->target].name;
        opening.slots = &move->slots;
        opening.id = 0;
        uint64_t epoch;
        if (!cluster_change(run->store, open_migration, &opening, &epoch, err)) {
            return i == 0 ? false
                          : error_prefix(err, "%u of %u migrations opened", i, plan->nmoves);
        }
        record_created(run, &opening);
        tell_id(run, &opening, ids);
        waiting_add(waiting, opening.id, opening.source, opening.target, opening.slots);
    }
    return true;
}

static enum command_result open_plan(struct command_run *run, const struct topology *topology,
                                     const struct plan *plan, struct error *err)
{
    if (plan->nmoves == 0) {
        set_member(run->result, "ids", json_array());
        note(run, "nothing to move: every shard is where it should be");
        return COMMAND_DONE;
    }
    if (!opening_check_shards(topology, plan, err)) {
        return COMMAND_FAILED;
    }
    struct waiting *waiting = waiting_new(WAITING_SWITCHED);
    bool ok = open_moves(run, topology, plan, waiting, err);
    if (ok && !run->settings->is_waiting) { /* who waits is told then */
        members_note_no_migrator(run);
    }
    ok = ok && (!run->settings->is_waiting || waiting_run(waiting, run, err));
    waiting_free(waiting);
    return command_result_of(ok);
}

enum command_result opening_run(struct command_run *run, planning_fn *planning, struct error *err)
{
    return planning_run(run, planning, open_plan, err);
}
