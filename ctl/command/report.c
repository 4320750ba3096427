/* sluicectl report: what was moved, and the proof that both sides were equal. */
#include "ctl/command/all.h"
#include "ctl/command/changing.h"
#include "ctl/command/history.h"
#include "ctl/command/proof.h"
#include "lib/base/clock.h"

/* The id that is named, or of the only open migration. */
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
    enum command_result result;
    const struct migration *migration = changing_find(run, topology, &result, err);
    if (migration == NULL) {
        (void)error_set(err, "name the migration that the report is about; sluicectl journal lists "
                             "all there ever were");
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
    .about = "Works for open and closed migrations: phases and their times, keys and bytes, verify "
             "passes, findings,\nrepairs, holds, barriers, and both sides' key counts and digests. "
             "With --json everything, the table of\nslots included.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = report_run,
};
