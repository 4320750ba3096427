/* sluicectl store copy|backup|restore|repair. */
#include "ctl/command/all.h"
#include "ctl/command/place.h"
#include "lib/base/memory.h"
#include "lib/cluster/backup.h"
#include "lib/cluster/repair.h"

static enum command_result tell_extent(const struct command_run *run, const char *done,
                                       const struct backup_extent *extent)
{
    set_text(run->result, "done", done);
    set_number(run->result, "epoch", extent->epoch);
    set_number(run->result, "records", extent->records);
    say(run, "%s: the topology of epoch %llu, %llu journal records\n", done,
        (unsigned long long)extent->epoch, (unsigned long long)extent->records);
    return COMMAND_DONE;
}

/* What is written into `from` after this is not in `to`. */
static bool check_still(struct store *from, bool is_forced, struct error *err)
{
    struct topology *topology = store_read(from, NULL, err);
    if (topology == NULL) {
        return false;
    }
    unsigned open = topology->nmigrations;
    topology_free(topology);
    return open == 0 || is_forced ||
           error_set(err,
                     "%u migrations are open in %s: finalize or abort them first, or stop every "
                     "migrator and give --force",
                     open, store_url(from));
}

static enum command_result store_copy_run(struct command_run *run, struct error *err)
{
    struct backup_extent extent = {0, 0};
    struct store *from = store_open(run->arguments[0], err);
    struct store *to = from != NULL ? store_open(run->arguments[1], err) : NULL;
    bool ok = to != NULL && check_still(from, run->settings->is_forced, err) &&
              backup_copy(from, to, &extent, err);
    store_close(from);
    store_close(to);
    if (!ok) {
        return COMMAND_FAILED;
    }
    note(run, "restart every program with --store %s; until then change nothing",
         run->arguments[1]);
    return tell_extent(run, "copied", &extent);
}

static const struct option_spec copy_options[] = {
    OPTION_FORCE("copy although migrations are open"),
};

const struct command command_store_copy = {
    .name = "store copy",
    .arguments = "FROM TO",
    .text = "carry topology and journal to another store",
    .about = "Copies the topology and the journal from one store (a URL, as for --store) to "
             "another, which must be empty.\nThen restart every program with the new URL; the old "
             "store is not changed, and must not be from then on.",
    COMMAND_OPTIONS(copy_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .has_own_stores = true,
    .run = store_copy_run,
};

static enum command_result store_backup_run(struct command_run *run, struct error *err)
{
    struct backup_extent extent = {0, 0};
    if (!backup_write(run->store, run->arguments[0], &extent, err)) {
        return COMMAND_FAILED;
    }
    return tell_extent(run, "written", &extent);
}

const struct command command_store_backup = {
    .name = "store backup",
    .arguments = "FILE",
    .text = "write topology and journal into a file",
    .about = "Writes the newest topology and the journal into a file that store restore reads.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = store_backup_run,
};

static enum command_result store_restore_run(struct command_run *run, struct error *err)
{
    struct backup_extent extent = {0, 0};
    if (!backup_restore(run->arguments[0], run->store, &extent, err)) {
        return COMMAND_FAILED;
    }
    note(run, "the shards may have seen later epochs: run sluicectl store repair");
    return tell_extent(run, "restored", &extent);
}

const struct command command_store_restore = {
    .name = "store restore",
    .arguments = "FILE",
    .text = "fill an empty store from a backup",
    .about = "Writes what store backup has saved into the store, which must be empty. Then run "
             "store repair, for the\nshards may have seen later epochs.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = store_restore_run,
};

static void tell_repair(struct command_run *run, const struct repair *repair)
{
    set_number(run->result, "from", repair->from);
    set_number(run->result, "to", repair->to);
    if (repair->from == repair->to) {
        say(run, "nothing to repair: no fence is above epoch %llu\n",
            (unsigned long long)repair->from);
    } else {
        say(run, "raised from epoch %llu to %llu\n", (unsigned long long)repair->from,
            (unsigned long long)repair->to);
    }
}

static bool read_places(const struct command_run *run, struct topology_shard *places,
                        struct error *err)
{
    for (unsigned i = 0; i < run->narguments; i++) {
        if (!place_parse(run->arguments[i], &places[i], err)) {
            return false;
        }
        if (places[i].sentinels[0] != '\0') {
            return error_set(err, "\"%s\": name the server itself, NAME=HOST:PORT",
                             run->arguments[i]);
        }
    }
    return true;
}

static enum command_result store_repair_run(struct command_run *run, struct error *err)
{
    struct repair repair = {0, 0};
    struct topology_shard *places = mem_zalloc((run->narguments + 1) * sizeof(*places));
    enum command_result result = COMMAND_USAGE;
    if (read_places(run, places, err)) {
        const struct repair_places given = {places, run->narguments};
        result = command_result_of(cluster_repair(run->store, &given, &repair, err));
    }
    mem_free(places);
    if (result == COMMAND_DONE) {
        tell_repair(run, &repair);
    }
    return result;
}

const struct command command_store_repair = {
    .name = "store repair",
    .arguments = "[NAME=HOST:PORT...]",
    .text = "catch up with the shards after a restore",
    .about = "Raises the store's epoch above the fences of all shards, which must all answer; "
             "for one that is lost, name its\nreplica. Refused when a shard has seen a migration "
             "that the store does not know: slots may have another owner\nthen.",
    .max_arguments = ARGUMENTS_ANY,
    .run = store_repair_run,
};
