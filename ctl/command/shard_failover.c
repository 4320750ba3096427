/* sluicectl shard failover, and sluicectl plan failover: its dry run. */
#include <string.h>

#include "ctl/command/all.h"
#include "ctl/command/place.h"
#include "lib/cluster/failover.h"

/* --- what is said ----------------------------------------------------------------------------- */

static const char *server_words(const struct failover_view *view)
{
    bool is_replica = view->role == FAILOVER_TO_REPLICA;
    if (view->role == FAILOVER_DONE) {
        return "is the shard's already";
    }
    if (!view->is_fenced) {
        return "NOT PROVEN: it has no fence of this shard; it is empty, or was never its replica";
    }
    if (!view->is_proven) {
        return is_replica ? "NOT PROVEN: a replica, but not of the process that the topology names"
                          : "NOT PROVEN: it was no replica of the process that the topology names "
                            "when it was promoted";
    }
    return is_replica ? "a replica of the process that the topology names"
                      : "was a replica of the process that the topology names when it was promoted";
}

static const char *former_words(const struct failover_view *view)
{
    switch (view->former) {
    case FORMER_ANSWERS:
        return "answers";
    case FORMER_IS_ANOTHER:
        return "another process answers there; if it is the old one, restarted, let the proxies "
               "take it back instead";
    case FORMER_SILENT:
        break;
    }
    return "does not answer";
}

static void say_loss(const struct command_run *run, const struct failover_view *view, bool is_done)
{
    if (!view->is_proven) {
        say(run, "  lost      what only the process of the topology had, and perhaps more\n");
    } else if (view->former != FORMER_ANSWERS) {
        say(run,
            "  lost      writes that were acknowledged and not replicated when the primary was "
            "lost; nobody can count them\n");
    } else if (view->has_all) {
        say(run, "  lost      nothing: writes were held until the server had everything\n");
    } else if (is_done || view->role == FAILOVER_TO_PRIMARY) {
        say(run,
            "  lost      what the former primary wrote after the server had stopped following "
            "it: %llu bytes of replication%s\n",
            (unsigned long long)view->missing, is_done ? ", or more" : " so far");
    } else {
        say(run,
            "  lost      nothing, if it catches up (%llu bytes behind): writes are held for "
            "that\n",
            (unsigned long long)view->missing);
    }
}

static bool concerns(const struct topology *topology, const struct migration *migration,
                     const char *shard)
{
    return strcmp(topology->shards[migration->source].name, shard) == 0 ||
           strcmp(topology->shards[migration->target].name, shard) == 0;
}

/* Those that begin anew. */
static void tell_migrations(const struct command_run *run, const struct topology *topology,
                            const char *shard)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        char id[MIGRATION_ID_TEXT_MAX];
        if (!concerns(topology, migration, shard)) {
            continue;
        }
        migration_id_format(migration->id, id);
        (void)json_array_append_new(list, json_string(id));
        say(run,
            "  %-8s  %s: goes on by itself, with every key compared again (sluicectl status)\n", id,
            phase_name(migration->phase));
    }
    set_member(run->result, "migrations", list);
}

static void tell_former(const struct command_run *run, const struct topology *topology,
                        const char *shard)
{
    bool is_open = false;
    for (unsigned i = 0; i < topology->nformers; i++) {
        is_open |= strcmp(topology->formers[i].name, shard) == 0;
    }
    set_flag(run->result, "former_closed", !is_open);
    say(run, is_open
                 ? "  closed    NOT YET: a former primary could not be reached; the migrator "
                   "closes it when it answers.\n            Until then keep clients and proxies "
                   "away from it\n"
                 : "  closed    no former primary is open to proxies\n");
}

static void set_findings(json_t *result, const struct failover_view *view)
{
    static const char *const answers[] = {"silent", "another", "answers"};
    set_flag(result, "proven", view->is_proven);
    set_text(result, "former", answers[view->former]);
    set_number(result, "missing", view->missing);
    set_flag(result, "has_all", view->has_all);
    set_flag(result, "leaves_sentinels", view->leaves_sentinels);
}

static void tell_view(const struct command_run *run, const char *shard,
                      const struct failover_view *view, bool is_done)
{
    set_text(run->result, "shard", shard);
    set_text(run->result, "from", view->from);
    set_text(run->result, "to", view->to);
    say(run, "%s: %s -> %s\n  server    %s\n", shard, view->from, view->to, server_words(view));
    if (view->role == FAILOVER_DONE) {
        return;
    }
    set_findings(run->result, view);
    say(run, "  former    %s\n", former_words(view));
    say_loss(run, view, is_done);
    if (view->leaves_sentinels) {
        say(run,
            "  sentinels too few answer: the shard has a fixed address from then on. See that they "
            "never make\n            a replica of %s (SENTINEL REMOVE)\n",
            view->to);
    }
}

/* --- the commands ----------------------------------------------------------------------------- */

static bool read_place(const struct command_run *run, struct topology_shard *to, struct error *err)
{
    memset(to, 0, sizeof(*to));
    if (run->settings->to == NULL) {
        return error_set(err, "\"%s\" needs --to HOST:PORT, the server that takes the shard over",
                         run->command->name);
    }
    return place_parse_server(run->settings->to, to, err);
}

static enum command_result plan_failover_run(struct command_run *run, struct error *err)
{
    struct topology_shard to;
    struct failover_view view;
    const char *shard = run->arguments[0];
    if (!read_place(run, &to, err)) {
        return COMMAND_USAGE;
    }
    struct topology *topology = store_read(run->store, NULL, err);
    bool ok = topology != NULL && failover_look(run->store, shard, &to, &view, err);
    if (ok) {
        tell_view(run, shard, &view, false);
        tell_migrations(run, topology, shard);
        say(run, "nothing was changed\n");
    }
    topology_free(topology);
    return command_result_of(ok);
}

static enum command_result shard_failover_run(struct command_run *run, struct error *err)
{
    struct topology_shard to;
    struct failover_view view;
    const char *shard = run->arguments[0];
    if (!read_place(run, &to, err)) {
        return COMMAND_USAGE;
    }
    if (!failover_run(run->store, shard, &to, run->settings->accepts_loss, &view, err)) {
        return COMMAND_FAILED;
    }
    tell_view(run, shard, &view, true);
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    tell_former(run, topology, shard);
    tell_migrations(run, topology, shard);
    set_number(run->result, "epoch", topology->epoch);
    say(run, "done at epoch %llu\n", (unsigned long long)topology->epoch);
    topology_free(topology);
    return COMMAND_DONE;
}

#define OPTION_TO_SERVER                       \
    CTL_OPTION("to", OPTION_TEXT, to, "PLACE", \
               "the server that takes it over, HOST:PORT or tls:HOST:PORT")

static const struct option_spec plan_options[] = {OPTION_TO_SERVER};
static const struct option_spec failover_options[] = {
    OPTION_TO_SERVER,
    CTL_OPTION("accept-loss", OPTION_FLAG, accepts_loss, NULL,
               "although writes are lost, or nothing proves what the server has"),
};

const struct command command_plan_failover = {
    .name = "plan failover",
    .arguments = "SHARD --to HOST:PORT",
    .text = "dry run of shard failover: what is proven, and what may be lost",
    .about = "Looks at the server, at the process that the topology names, and at the shard's "
             "Sentinels, and says what\nshard failover would do. Changes nothing.",
    COMMAND_OPTIONS(plan_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = plan_failover_run,
};

const struct command command_shard_failover = {
    .name = "shard failover",
    .arguments = "NAME --to HOST:PORT",
    .text = "move a shard to its replica elsewhere, fenced",
    .about =
        "For a shard whose primary, or whole site, is lost. The server must carry the shard's "
        "fence and be a replica\nof the process that the topology names, or have been that "
        "when it was promoted; else --accept-loss is needed.\nIt is promoted and named in the "
        "topology; the former primary is closed to all proxies, at once or, by the\nmigrator, "
        "when it answers again. Where the former primary still answers, writes are held until "
        "the server has\neverything. Interrupted, it is finished by the same command. Migrations "
        "of the shard go on by themselves.",
    COMMAND_OPTIONS(failover_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = shard_failover_run,
};
