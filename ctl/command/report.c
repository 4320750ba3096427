/* sluicectl report: what was moved, and the proof that both sides were equal. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"
#include "ctl/command/history.h"
#include "ctl/command/proof.h"
#include "lib/base/clock.h"

/* Where none is open, whoever asks has just seen one end. */
static enum command_result find_newest(struct store *store, uint64_t *newest, struct error *err)
{
    const char *name;
    json_t *entry, *history = history_read(store, 0, err);
    *newest = 0;
    json_object_foreach(history, name, entry)
    {
        uint64_t id = 0;
        bool is_id = migration_id_parse(slice_of(name), &id);
        *newest = is_id && id > *newest ? id : *newest;
    }
    bool is_found = history != NULL &&
                    (*newest > 0 || error_set(err, "there has been no migration in this cluster"));
    json_decref(history);
    return command_result_of(is_found);
}

/* The id that is named, of the only open migration, or of the newest one that there was. */
static enum command_result find_id(const struct command_run *run, const struct topology *topology,
                                   uint64_t *id, struct error *err)
{
    if (run->narguments > 0) {
        if (!migration_id_parse(slice_of(run->arguments[0]), id)) {
            (void)error_set(err, "\"%s\" is no migration id; they look like m42",
                            run->arguments[0]);
            return COMMAND_USAGE;
        }
        return COMMAND_DONE;
    }
    if (topology->nmigrations == 0) {
        return find_newest(run->store, id, err);
    }
    enum command_result result;
    const struct migration *migration = changing_find(run, topology, &result, err);
    if (migration == NULL) {
        return result;
    }
    *id = migration->id;
    return COMMAND_DONE;
}

static enum command_result tell(struct command_run *run, const struct topology *topology,
                                uint64_t id, struct error *err)
{
    json_t *history = history_read(run->store, id, err);
    if (history == NULL) {
        return COMMAND_FAILED;
    }
    const json_t *known = history_of(history, id);
    const struct migration *migration = topology_find_migration(topology, id);
    bool is_known = known != NULL || migration != NULL;
    if (is_known) {
        json_t *proof = proof_view(id, topology, migration, known, clock_wall_ms());
        if (!run->settings->is_json) {
            proof_print(proof, run->settings->has_per_slot, run->out);
        }
        (void)json_object_update(run->result, proof);
        json_decref(proof);
    } else {
        (void)error_set(err, "there never was a migration m%llu; sluicectl journal lists them",
                        (unsigned long long)id);
    }
    json_decref(history);
    return command_result_of(is_known);
}

static enum command_result report_run(struct command_run *run, struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    uint64_t id = 0;
    enum command_result result = find_id(run, topology, &id, err);
    if (result == COMMAND_DONE) {
        result = tell(run, topology, id, err);
    }
    topology_free(topology);
    return result;
}

static const struct option_spec options[] = {
    CTL_OPTION("slots", OPTION_FLAG, has_per_slot, NULL, "also the table of all slots"),
};

const struct command command_report = {
    .name = "report",
    .arguments = "[ID]",
    .text = "what a migration moved, and the proof",
    .about =
        "Works for open and closed migrations; without ID for the one that is open, or where none is for the newest: phases and their times, keys and bytes, verify "
        "passes, findings,\nrepairs, holds, barriers, and both sides' key counts and digests. "
        "With --json everything, the table of\nslots included.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = report_run,
};
