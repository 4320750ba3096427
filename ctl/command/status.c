/* sluicectl status: the cluster at one glance, or one migration. */
#include <string.h>

#include "ctl/command/all.h"
#include "ctl/command/changing.h"
#include "ctl/command/history.h"
#include "ctl/command/members.h"
#include "ctl/command/migration_view.h"
#include "ctl/command/shards.h"
#include "ctl/output/human.h"

#define WATCH_EVERY_MS 1000

static json_t *debts_view(const struct topology *topology)
{
    json_t *debts = json_array();
    for (unsigned i = 0; i < topology->ndebts; i++) {
        const struct purge_debt *debt = &topology->debts[i];
        char id[MIGRATION_ID_TEXT_MAX];
        migration_id_format(debt->migration, id);
        json_t *view = json_object();
        set_text(view, "migration", id);
        set_text(view, "shard", topology->shards[debt->shard].name);
        set_number(view, "slot_count", slot_set_count(&debt->slots));
        (void)json_array_append_new(debts, view);
    }
    return debts;
}

static json_t *migrations_view(const struct topology *topology, const json_t *history)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        json_t *view = migration_view(topology, migration, history_of(history, migration->id));
        (void)json_array_append_new(list, view);
    }
    return list;
}

static void print_progress(const json_t *migration, FILE *out)
{
    const json_t *progress = view_member(migration, "progress");
    char bytes[HUMAN_TEXT_MAX];
    char left[HUMAN_TEXT_MAX];
    if (progress == NULL) {
        return;
    }
    /* The estimate ends when all is verified. */
    bool has_eta = json_object_get(progress, "eta_ms") != NULL &&
                   strcmp(view_text(migration, "phase"), phase_name(PHASE_DUAL_WRITE)) == 0;
    (void)fprintf(out, "    keys %llu, copied %llu, verified %llu, dirty %llu; %s copied%s%s%s\n",
                  (unsigned long long)view_number(progress, "keys_total"),
                  (unsigned long long)view_number(progress, "keys_copied"),
                  (unsigned long long)view_number(progress, "keys_verified"),
                  (unsigned long long)view_number(progress, "dirty"),
                  human_bytes(view_number(progress, "bytes_copied"), bytes), has_eta ? "; " : "",
                  has_eta ? human_duration(view_number(progress, "eta_ms"), left) : "",
                  has_eta ? " left" : "");
}

static void print_migration(const json_t *migration, FILE *out)
{
    const char *request = view_text(migration, "request");
    bool has_request = request[0] != '\0' && strcmp(request, "none") != 0;
    (void)fprintf(out, "%s  %s  %s -> %s  %llu slots%s%s%s\n", view_text(migration, "id"),
                  view_text(migration, "phase"), view_text(migration, "source"),
                  view_text(migration, "target"),
                  (unsigned long long)view_number(migration, "slot_count"),
                  has_request ? "  requested: " : "", has_request ? request : "",
                  view_flag(migration, "paused") ? "  (paused)" : "");
    (void)fprintf(out, "    %s\n", view_text(migration, "advice"));
    if (view_text(migration, "waits")[0] != '\0') {
        (void)fprintf(out, "    %s\n", view_text(migration, "waits"));
    }
    (void)fprintf(out, "    owner %s, copy %s, way back %s\n", view_text(migration, "authority"),
                  view_text(migration, "copy"),
                  view_flag(migration, "way_back") ? "open" : "closed");
    print_progress(migration, out);
    const json_t *error = view_member(migration, "last_error");
    if (error != NULL) {
        char when[HUMAN_TEXT_MAX];
        (void)fprintf(out, "    last error, %s: %s\n", human_time(view_number(error, "time"), when),
                      view_text(error, "text"));
    }
}

static void print_debts(const json_t *debts, FILE *out)
{
    size_t i;
    json_t *debt;
    json_array_foreach(debts, i, debt)
    {
        (void)fprintf(out,
                      "debt: %s still holds %llu slots' leftovers of %s; purged when it is back\n",
                      view_text(debt, "shard"), (unsigned long long)view_number(debt, "slot_count"),
                      view_text(debt, "migration"));
    }
}

static void print_cluster(const json_t *result, FILE *out)
{
    const json_t *migrations = view_member(result, "migrations");
    (void)fprintf(out, "cluster %s  epoch %llu  %llu slots  %llu proxies  migrator %s\n\n",
                  view_text(result, "cluster"), (unsigned long long)view_number(result, "epoch"),
                  (unsigned long long)view_number(result, "nslots"),
                  (unsigned long long)view_number(result, "proxies"),
                  view_flag(result, "migrator") ? "running" : "not running");
    shards_print(view_member(result, "shards"), out);
    (void)fprintf(out, "\n");
    if (json_array_size(migrations) == 0) {
        (void)fprintf(out, "no open migrations\n");
    }
    size_t i;
    json_t *migration;
    json_array_foreach(migrations, i, migration)
    {
        print_migration(migration, out);
    }
    print_debts(view_member(result, "debts"), out);
}

static uint64_t count_alive(struct store *store)
{
    uint64_t count = 0;
    json_t *proxies = members_view(store, "proxy", NULL);
    size_t i;
    json_t *proxy;
    json_array_foreach(proxies, i, proxy)
    {
        count += view_flag(proxy, "alive") ? 1 : 0;
    }
    json_decref(proxies);
    return count;
}

static void fill_cluster(struct command_run *run, const struct topology *topology,
                         const json_t *history)
{
    json_t *result = run->result;
    set_text(result, "cluster", topology->cluster);
    set_number(result, "epoch", topology->epoch);
    set_number(result, "nslots", topology->nslots);
    set_number(result, "proxies", count_alive(run->store));
    set_flag(result, "migrator", members_has_migrator(run->store));
    set_member(result, "shards", shards_view(topology));
    set_member(result, "migrations", migrations_view(topology, history));
    set_member(result, "debts", debts_view(topology));
}

/* A migration that was named and is open fills the result; one that is closed says how it ended. */
static enum command_result fill_migration(struct command_run *run, const struct topology *topology,
                                          const json_t *history, struct error *err)
{
    enum command_result found;
    const struct migration *migration = changing_find(run, topology, &found, err);
    if (migration == NULL) {
        uint64_t id = 0;
        bool is_id = migration_id_parse(slice_of(run->arguments[0]), &id);
        const json_t *closed = view_member(is_id ? history_of(history, id) : NULL, "closed");
        if (closed == NULL) {
            return found;
        }
        set_text(run->result, "id", run->arguments[0]);
        set_text(run->result, "phase", "closed");
        set_text(run->result, "outcome", view_text(closed, "outcome"));
        return COMMAND_DONE;
    }
    json_t *view = migration_view(topology, migration, history_of(history, migration->id));
    (void)json_object_update(run->result, view);
    json_decref(view);
    return COMMAND_DONE;
}

static void print_result(const struct command_run *run, FILE *out)
{
    if (run->narguments == 0) {
        print_cluster(run->result, out);
    } else if (strcmp(view_text(run->result, "phase"), "closed") == 0) {
        (void)fprintf(out, "%s  closed: %s; see sluicectl report %s\n",
                      view_text(run->result, "id"), view_text(run->result, "outcome"),
                      view_text(run->result, "id"));
    } else {
        print_migration(run->result, out);
    }
}

/* One look; *epoch is what was seen. */
static enum command_result look(struct command_run *run, struct history_feed *feed, uint64_t *epoch,
                                struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    enum command_result result = COMMAND_FAILED;
    if (topology != NULL && history_read_on(feed, run->store, err)) {
        (void)json_object_clear(run->result);
        *epoch = topology->epoch;
        result = COMMAND_DONE;
        if (run->narguments > 0) {
            result = fill_migration(run, topology, feed->history, err);
        } else {
            fill_cluster(run, topology, feed->history);
        }
    }
    topology_free(topology);
    return result;
}

static enum command_result status_run(struct command_run *run, struct error *err)
{
    if (run->settings->is_watching && run->settings->is_json) {
        (void)error_set(err, "--watch never ends, and --json is one document: ask again instead");
        return COMMAND_USAGE;
    }
    uint64_t epoch = 0;
    struct history_feed feed = {0};
    enum command_result result = look(run, &feed, &epoch, err);
    while (result == COMMAND_DONE && !run->settings->is_json) {
        if (run->settings->is_watching) {
            (void)fputs("\033[H\033[2J", run->out);
        }
        print_result(run, run->out);
        (void)fflush(run->out);
        if (!run->settings->is_watching || ferror(run->out)) {
            break;
        }
        (void)store_wait(run->store, epoch, WATCH_EVERY_MS);
        result = look(run, &feed, &epoch, err);
    }
    json_decref(feed.history);
    return result;
}

static const struct option_spec options[] = {
    CTL_OPTION("watch", OPTION_FLAG, is_watching, NULL, "show it again at every change"),
};

const struct command command_status = {
    .name = "status",
    .arguments = "[ID]",
    .text = "the cluster, or one migration, now",
    .about = "Shows the epoch, every shard (slots, keys, whether it answers), every open migration "
             "(phase, progress,\nwhether the way back is open, the last error) and purges that are "
             "still owed. With ID, that migration.",
    COMMAND_OPTIONS(options),
    .max_arguments = 1,
    .run = status_run,
};
