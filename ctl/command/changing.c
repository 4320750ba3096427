#include "ctl/command/changing.h"

#include "ctl/command/members.h"
#include "ctl/command/record.h"
#include "lib/cluster/change.h"

/* A change of one migration, as cluster_change calls it back. */
struct change_context {
    const struct changing_verb *verb;
    const struct settings *settings;
    uint64_t id;
    bool is_closed; /* by this change: planned, and nothing was begun */
};

bool changing_check_phase(const struct migration *migration, const char *const *advice,
                          struct error *err)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(migration->id, id);
    const char *words = advice[migration->phase];
    return words == NULL ||
           error_set(err, "%s is in %s: %s", id, phase_name(migration->phase), words);
}

static struct migration *find_by_id(const struct topology *topology, const char *text,
                                    enum command_result *result, struct error *err)
{
    uint64_t id;
    if (!migration_id_parse(slice_of(text), &id)) {
        (void)error_set(err, "\"%s\" is no migration id; they look like m42", text);
        *result = COMMAND_USAGE;
        return NULL;
    }
    struct migration *migration = topology_find_migration(topology, id);
    if (migration == NULL) {
        (void)error_set(err,
                        "%s is not open; see sluicectl status for those that are, sluicectl "
                        "report %s for how it ended",
                        text, text);
        *result = COMMAND_FAILED;
    }
    return migration;
}

struct migration *changing_find(const struct command_run *run, const struct topology *topology,
                                enum command_result *result, struct error *err)
{
    enum command_result ignored;
    result = result != NULL ? result : &ignored;
    *result = COMMAND_DONE;
    if (run->narguments > 0) {
        return find_by_id(topology, run->arguments[0], result, err);
    }
    if (topology->nmigrations == 1) {
        return &topology->migrations[0];
    }
    *result = topology->nmigrations == 0 ? COMMAND_FAILED : COMMAND_USAGE;
    if (topology->nmigrations == 0) {
        (void)error_set(err, "no migration is open; sluicectl split or move opens one");
    } else {
        (void)error_set(err, "%u migrations are open: name one (sluicectl status lists them)",
                        topology->nmigrations);
    }
    return NULL;
}

static enum change_verdict change_migration(struct topology *next, void *context, struct error *err)
{
    struct change_context *change = context;
    struct migration *migration = topology_find_migration(next, change->id);
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(change->id, id);
    if (migration == NULL) {
        (void)error_set(err, "%s was closed meanwhile; see sluicectl report %s", id, id);
        return CHANGE_REFUSED;
    }
    if (!change->verb->change(next, migration, change->settings, err)) {
        return CHANGE_REFUSED;
    }
    change->is_closed = topology_find_migration(next, change->id) == NULL;
    return CHANGE_WRITE;
}

static bool apply(struct command_run *run, const struct changing_verb *verb, uint64_t id,
                  struct error *err)
{
    struct change_context change = {.verb = verb, .settings = run->settings, .id = id};
    uint64_t epoch = 0;
    if (!cluster_change(run->store, change_migration, &change, &epoch, err)) {
        return false;
    }
    json_t *record = record_new(id, "request");
    set_text(record, "request", verb->request);
    set_number(record, "epoch", epoch);
    record_append(run, record);
    if (change.is_closed) {
        json_t *closed = record_new(id, "closed");
        set_text(closed, "outcome", "aborted");
        set_number(closed, "epoch", epoch);
        record_append(run, closed);
    }

    char text[MIGRATION_ID_TEXT_MAX];
    migration_id_format(id, text);
    set_text(run->result, "id", text);
    set_text(run->result, "request", verb->request);
    set_number(run->result, "epoch", epoch);
    say(run, "%s %s: done at epoch %llu\n", text, verb->request, (unsigned long long)epoch);
    (void)fflush(run->out);
    return true;
}

static enum command_result apply_and_wait(struct command_run *run, const struct changing_verb *verb,
                                          const struct topology *topology,
                                          const struct migration *migration, struct error *err)
{
    struct waiting *waiting = waiting_new(verb->goal);
    waiting_add(waiting, migration->id, topology->shards[migration->source].name,
                topology->shards[migration->target].name, &migration->slots);
    bool is_waiting = verb->can_wait && run->settings->is_waiting;
    bool ok = apply(run, verb, migration->id, err);
    if (ok && verb->needs_migrator && !is_waiting) { /* who waits is told then */
        members_note_no_migrator(run);
    }
    ok = ok && (!is_waiting || waiting_run(waiting, run, err));
    waiting_free(waiting);
    return command_result_of(ok);
}

enum command_result changing_run(struct command_run *run, const struct changing_verb *verb,
                                 struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    enum command_result result;
    struct migration *migration = changing_find(run, topology, &result, err);
    if (migration != NULL) {
        result = apply_and_wait(run, verb, topology, migration, err);
    }
    topology_free(topology);
    return result;
}
