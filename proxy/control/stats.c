/* What /metrics and /stats say: the workers' counters added up, and what the control thread knows.
 */
#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/metrics/exposition.h"
#include "proxy/control/control_internal.h"

static uint64_t sum(const struct control *control, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < control->nworkers; i++) {
        const char *counters = (const char *)&control->worker_counters[i];
        total += counter_read((const struct counter *)(const void *)(counters + offset));
    }
    return total;
}

static void merge_histogram(const struct control *control, size_t offset, struct histogram *into)
{
    *into = (struct histogram){.buckets = {{0}}};
    for (unsigned i = 0; i < control->nworkers; i++) {
        const char *counters = (const char *)&control->worker_counters[i];
        histogram_merge(into, (const struct histogram *)(const void *)(counters + offset));
    }
}

static size_t shard_offset(unsigned shard, size_t field)
{
    return offsetof(struct counters, shards) +
           counters_place(shard) * sizeof(struct shard_counters) + field;
}

static size_t replicas_offset(unsigned shard, size_t field)
{
    return offsetof(struct counters, replicas) +
           counters_place(shard) * sizeof(struct replica_counters) + field;
}

/* --- Prometheus ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum metric_type type;
    size_t offset;
    const char *help;
} totals[] = {
    {"sluice_clients", METRIC_GAUGE, offsetof(struct counters, clients),
     "Open client connections."},
    {"sluice_clients_accepted_total", METRIC_COUNTER, offsetof(struct counters, accepted),
     "Client connections accepted."},
    {"sluice_clients_rejected_total", METRIC_COUNTER, offsetof(struct counters, rejected),
     "Connections refused because there were maxclients of them."},
    {"sluice_tls_handshakes_failed_total", METRIC_COUNTER,
     offsetof(struct counters, handshakes_failed),
     "Client connections closed before their TLS handshake was done."},
    {"sluice_clients_timed_out_total", METRIC_COUNTER, offsetof(struct counters, timed_out),
     "Clients closed because they were idle for the time-out."},
    {"sluice_denials_total", METRIC_COUNTER, offsetof(struct counters, denied),
     "Commands and log-ins denied by the rules about users."},
    {"sluice_client_read_bytes_total", METRIC_COUNTER, offsetof(struct counters, bytes_in),
     "Bytes read from clients."},
    {"sluice_client_written_bytes_total", METRIC_COUNTER, offsetof(struct counters, bytes_out),
     "Bytes written to clients."},
    {"sluice_slow_readers_total", METRIC_COUNTER, offsetof(struct counters, slow_readers),
     "Clients cut off because they did not read their replies."},
    {"sluice_subscribers", METRIC_GAUGE, offsetof(struct counters, subscribers),
     "Clients that are subscribed to something."},
    {"sluice_subscriptions", METRIC_GAUGE, offsetof(struct counters, subscriptions),
     "Channels and patterns that clients are subscribed to, counted for each client."},
    {"sluice_messages_total", METRIC_COUNTER, offsetof(struct counters, messages),
     "Messages handed to subscribers."},
    {"sluice_subscription_breaks_total", METRIC_COUNTER,
     offsetof(struct counters, subscription_breaks),
     "Connections to shards for subscriptions that were lost; they were made anew."},
    {"sluice_dual_writes_total", METRIC_COUNTER, offsetof(struct counters, dual_writes),
     "Writes to slots that have a copy."},
    {"sluice_mirrors_failed_total", METRIC_COUNTER, offsetof(struct counters, mirrors_failed),
     "Mirrors that did not reach the copy; the migrator repairs."},
    {"sluice_mirrors_late_total", METRIC_COUNTER, offsetof(struct counters, mirrors_late),
     "Dual writes answered before the copy had answered."},
    {"sluice_held_requests_total", METRIC_COUNTER, offsetof(struct counters, held),
     "Requests that waited in a hold."},
    {"sluice_held_requests", METRIC_GAUGE, offsetof(struct counters, held_now),
     "Requests that wait in a hold now."},
};

static const struct {
    const char *name;
    enum metric_type type;
    size_t field;
    const char *help;
} by_shard[] = {
    {"sluice_shard_requests_total", METRIC_COUNTER, offsetof(struct shard_counters, requests),
     "Requests sent to a shard."},
    {"sluice_shard_written_bytes_total", METRIC_COUNTER, offsetof(struct shard_counters, bytes_out),
     "Bytes written to a shard."},
    {"sluice_shard_read_bytes_total", METRIC_COUNTER, offsetof(struct shard_counters, bytes_in),
     "Bytes read from a shard."},
    {"sluice_shard_in_flight", METRIC_GAUGE, offsetof(struct shard_counters, in_flight),
     "Requests sent to a shard and not answered."},
    {"sluice_shard_waiting", METRIC_GAUGE, offsetof(struct shard_counters, waiting),
     "Requests that wait for a connection to the shard."},
    {"sluice_shard_connects_total", METRIC_COUNTER, offsetof(struct shard_counters, connects),
     "Connections made to a shard."},
    {"sluice_shard_failures_total", METRIC_COUNTER, offsetof(struct shard_counters, failures),
     "Connections to a shard lost or refused."},
    {"sluice_shard_overloaded_total", METRIC_COUNTER, offsetof(struct shard_counters, overloaded),
     "Requests refused with -UNAVAILABLE since too many were under way to the shard."},
};

/* Of all replicas of a shard. */
static const struct {
    const char *name;
    enum metric_type type;
    size_t field;
    const char *help;
} by_replicas[] = {
    {"sluice_replica_reads_total", METRIC_COUNTER, offsetof(struct replica_counters, answered),
     "Reads answered by replicas of a shard."},
    {"sluice_replica_resent_total", METRIC_COUNTER, offsetof(struct replica_counters, resent),
     "Reads that a replica was asked for and the primary had to answer."},
    {"sluice_replica_failures_total", METRIC_COUNTER,
     offsetof(struct replica_counters, connections) + offsetof(struct shard_counters, failures),
     "Connections to replicas of a shard lost or refused."},
};

static const struct {
    const char *kind;
    size_t offset;
} errors[] = {

#define X(field, label) {label, offsetof(struct counters, errors_##field)},
    COUNTED_ERRORS(X)
#undef X
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void write_totals(const struct control *control, struct exposition *out)
{
    for (size_t i = 0; i < COUNT_OF(totals); i++) {
        exposition_metric(out, totals[i].name, totals[i].type, totals[i].help);
        exposition_sample(out, NO_LABELS, (double)sum(control, totals[i].offset));
    }
    exposition_metric(out, "sluice_errors_total", METRIC_COUNTER, "Errors that clients got.");
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        exposition_sample(out, LABELS({"kind", errors[i].kind}),
                          (double)sum(control, errors[i].offset));
    }
}

static void write_commands(const struct control *control, struct exposition *out)
{
    exposition_metric(out, "sluice_commands_total", METRIC_COUNTER, "Commands by name.");
    unsigned count = command_table_count(control->table);
    for (unsigned id = 0; id < count && id < COUNTED_COMMANDS; id++) {
        uint64_t calls =
            sum(control, offsetof(struct counters, commands) + id * sizeof(struct counter));
        if (calls > 0) {
            exposition_sample(out, LABELS({"command", command_table_at(control->table, id)->name}),
                              (double)calls);
        }
    }
}

static void write_shards(const struct control *control, struct exposition *out)
{
    for (size_t i = 0; i < COUNT_OF(by_shard); i++) {
        exposition_metric(out, by_shard[i].name, by_shard[i].type, by_shard[i].help);
        for (unsigned shard = 0; shard < control->npublishers; shard++) {
            exposition_sample(out, LABELS({"shard", publisher_shard(control->publishers[shard])}),
                              (double)sum(control, shard_offset(shard, by_shard[i].field)));
        }
    }
    exposition_metric(out, "sluice_shard_usable", METRIC_GAUGE, "The shard lets this proxy in.");
    for (unsigned shard = 0; shard < control->npublishers; shard++) {
        exposition_sample(out, LABELS({"shard", publisher_shard(control->publishers[shard])}),
                          publisher_is_ready(control->publishers[shard]) ? 1 : 0);
    }
    exposition_metric(out, "sluice_shard_published_epoch", METRIC_GAUGE,
                      "The epoch this proxy has published on the shard.");
    for (unsigned shard = 0; shard < control->npublishers; shard++) {
        exposition_sample(out, LABELS({"shard", publisher_shard(control->publishers[shard])}),
                          (double)publisher_published(control->publishers[shard]));
    }
}

static void write_replica_gauge(const struct control *control, struct exposition *out,
                                double (*value)(const struct replica_report *report))
{
    struct replica_report report;
    for (unsigned shard = 0; shard < control->npublishers; shard++) {
        for (unsigned i = 0; replica_watch_report(control->replica_watch, shard, i, &report); i++) {
            exposition_sample(out,
                              LABELS({"shard", publisher_shard(control->publishers[shard])},
                                     {"replica", report.address}),
                              value(&report));
        }
    }
}

static double usable_of(const struct replica_report *report)
{
    return report->is_level ? 1 : 0;
}

static double lag_of(const struct replica_report *report)
{
    return report->lag_us != UINT64_MAX ? (double)report->lag_us / 1e6 : INFINITY;
}

static double latency_of(const struct replica_report *report)
{
    return (double)report->latency_us / 1e6;
}

static void write_replicas(const struct control *control, struct exposition *out)
{
    for (size_t i = 0; i < COUNT_OF(by_replicas); i++) {
        exposition_metric(out, by_replicas[i].name, by_replicas[i].type, by_replicas[i].help);
        for (unsigned shard = 0; shard < control->npublishers; shard++) {
            exposition_sample(out, LABELS({"shard", publisher_shard(control->publishers[shard])}),
                              (double)sum(control, replicas_offset(shard, by_replicas[i].field)));
        }
    }
    exposition_metric(out, "sluice_replica_usable", METRIC_GAUGE,
                      "The replica is within replica-lag-max.");
    write_replica_gauge(control, out, usable_of);
    exposition_metric(out, "sluice_replica_lag_seconds", METRIC_GAUGE,
                      "Since when the replica is not known to have had all that its primary had.");
    write_replica_gauge(control, out, lag_of);
    exposition_metric(out, "sluice_replica_latency_seconds", METRIC_GAUGE,
                      "Time the replica takes for a short answer, smoothed.");
    write_replica_gauge(control, out, latency_of);
}

static void write_latencies(const struct control *control, struct exposition *out)
{
    struct histogram merged;
    exposition_metric(out, "sluice_request_seconds", METRIC_HISTOGRAM,
                      "Time from a command's arrival to its answer.");
    merge_histogram(control, offsetof(struct counters, latency), &merged);
    exposition_histogram(out, NO_LABELS, &merged);
    exposition_metric(out, "sluice_hold_wait_seconds", METRIC_HISTOGRAM,
                      "Time that requests waited in holds.");
    merge_histogram(control, offsetof(struct counters, hold_wait), &merged);
    exposition_histogram(out, NO_LABELS, &merged);
    exposition_metric(out, "sluice_shard_seconds", METRIC_HISTOGRAM,
                      "Time from sending a request to a shard to its reply.");
    for (unsigned shard = 0; shard < control->npublishers; shard++) {
        merge_histogram(control, shard_offset(shard, offsetof(struct shard_counters, latency)),
                        &merged);
        exposition_histogram(out, LABELS({"shard", publisher_shard(control->publishers[shard])}),
                             &merged);
    }
}

static void write_migrations(const struct control *control, struct exposition *out)
{
    const struct topology *topology = control->snapshot->topology;
    exposition_metric(out, "sluice_epoch", METRIC_GAUGE, "The epoch this proxy has adopted.");
    exposition_sample(out, NO_LABELS, (double)topology->epoch);
    exposition_metric(out, "sluice_migration_phase", METRIC_GAUGE,
                      "1 for the phase an open migration is in.");
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        char id[MIGRATION_ID_TEXT_MAX];
        migration_id_format(topology->migrations[i].id, id);
        exposition_sample(
            out, LABELS({"migration", id}, {"phase", phase_name(topology->migrations[i].phase)}),
            1);
    }
    exposition_metric(out, "sluice_holds_total", METRIC_COUNTER, "Holds this proxy took part in.");
    exposition_sample(out, NO_LABELS, (double)control->holds_seen);
    exposition_metric(out, "sluice_hold_seconds", METRIC_HISTOGRAM, "How long holds lasted.");
    exposition_histogram(out, NO_LABELS, &control->hold_length);
    exposition_metric(out, "sluice_admin_connections", METRIC_GAUGE,
                      "Connections to this endpoint that are open.");
    exposition_sample(out, NO_LABELS, http_server_connections(control->http));
    exposition_metric(out, "sluice_admin_handshakes_failed_total", METRIC_COUNTER,
                      "Connections to this endpoint closed before their TLS handshake was done.");
    exposition_sample(out, NO_LABELS, (double)http_server_failed_handshakes(control->http));
    exposition_metric(out, "sluice_admin_denied_total", METRIC_COUNTER,
                      "Requests to this endpoint without a good token.");
    exposition_sample(out, NO_LABELS, (double)http_server_denials(control->http));
    exposition_metric(out, "sluice_log_suppressed_total", METRIC_COUNTER,
                      "Log lines left out because their message stormed.");
    exposition_sample(out, NO_LABELS, (double)log_suppressed());
    exposition_metric(out, "sluice_store_answers", METRIC_GAUGE, "The store can be read.");
    exposition_sample(out, NO_LABELS, control->store_failed ? 0 : 1);
}

static void write_build(const struct control *control, struct exposition *out)
{
    exposition_metric(out, "sluice_build_info", METRIC_GAUGE, "Always 1; the labels tell.");
    exposition_sample(out, LABELS({"version", VERSION}, {"proxy", control->member.id}), 1);
    exposition_metric(out, "sluice_uptime_seconds", METRIC_GAUGE, "Since the start.");
    exposition_sample(out, NO_LABELS,
                      (double)(loop_now_us(control->loop) - control->started_us) / 1e6);
}

void stats_write_metrics(const struct control *control, struct buffer *text)
{
    struct exposition out;
    exposition_init(&out, text);
    if (control->snapshot == NULL) {
        return;
    }
    write_build(control, &out);
    write_totals(control, &out);
    write_commands(control, &out);
    write_shards(control, &out);
    write_replicas(control, &out);
    write_latencies(control, &out);
    write_migrations(control, &out);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *latency_json(const struct histogram *histogram)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "count", number(histogram_count(histogram)), "p50_us",
                     number(histogram_quantile_us(histogram, 0.5)), "p99_us",
                     number(histogram_quantile_us(histogram, 0.99)), "p999_us",
                     number(histogram_quantile_us(histogram, 0.999)), "max_us",
                     number(histogram_max_us(histogram)));
}

static json_t *replicas_json(const struct control *control, unsigned shard)
{
    struct replica_report report;
    json_t *replicas = json_array();
    for (unsigned i = 0; replica_watch_report(control->replica_watch, shard, i, &report); i++) {
        (void)json_array_append_new(
            replicas, json_pack("{s:s,s:b,s:b,s:o,s:o}", "address", report.address, "usable",
                                report.is_level, "chosen", report.is_chosen, "lag_us",
                                report.lag_us != UINT64_MAX ? number(report.lag_us) : json_null(),
                                "latency_us", number(report.latency_us)));
    }
    return replicas;
}

static json_t *shards_json(const struct control *control)
{
    json_t *shards = json_array();
    for (unsigned i = 0; i < control->npublishers; i++) {
        struct histogram latency;
        merge_histogram(control, shard_offset(i, offsetof(struct shard_counters, latency)),
                        &latency);
        json_t *shard = json_pack(
            "{s:s,s:b,s:o,s:o}", "name", publisher_shard(control->publishers[i]), "usable",
            publisher_is_ready(control->publishers[i]), "published_epoch",
            number(publisher_published(control->publishers[i])), "latency", latency_json(&latency));
        for (size_t j = 0; j < COUNT_OF(by_shard); j++) {
            (void)json_object_set_new(shard, by_shard[j].name + sizeof("sluice_shard_") - 1,
                                      number(sum(control, shard_offset(i, by_shard[j].field))));
        }
        for (size_t j = 0; j < COUNT_OF(by_replicas); j++) {
            (void)json_object_set_new(
                shard, by_replicas[j].name + sizeof("sluice_") - 1,
                number(sum(control, replicas_offset(i, by_replicas[j].field))));
        }
        (void)json_object_set_new(shard, "replicas", replicas_json(control, i));
        (void)json_array_append_new(shards, shard);
    }
    return shards;
}

static json_t *commands_json(const struct control *control)
{
    json_t *commands = json_object();
    unsigned count = command_table_count(control->table);
    for (unsigned id = 0; id < count && id < COUNTED_COMMANDS; id++) {
        uint64_t calls =
            sum(control, offsetof(struct counters, commands) + id * sizeof(struct counter));
        if (calls > 0) {
            (void)json_object_set_new(commands, command_table_at(control->table, id)->name,
                                      number(calls));
        }
    }
    return commands;
}

static json_t *errors_json(const struct control *control)
{
    json_t *object = json_object();
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        (void)json_object_set_new(object, errors[i].kind, number(sum(control, errors[i].offset)));
    }
    return object;
}

static json_t *migrations_json(const struct control *control)
{
    const struct topology *topology = control->snapshot->topology;
    json_t *migrations = json_array();
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        char id[MIGRATION_ID_TEXT_MAX];
        const struct migration *migration = &topology->migrations[i];
        migration_id_format(migration->id, id);
        (void)json_array_append_new(migrations,
                                    json_pack("{s:s,s:s,s:s,s:s}", "id", id, "phase",
                                              phase_name(migration->phase), "source",
                                              topology->shards[migration->source].name, "target",
                                              topology->shards[migration->target].name));
    }
    return migrations;
}

void stats_write_json(const struct control *control, struct buffer *text)
{
    struct histogram latency;
    if (control->snapshot == NULL) {
        buffer_add_text(text, "{}\n");
        return;
    }
    merge_histogram(control, offsetof(struct counters, latency), &latency);
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", control->member.id,
        "incarnation", control->member.incarnation, "version", VERSION, "epoch",
        number(control->snapshot->topology->epoch), "store_answers", !control->store_failed,
        "latency", latency_json(&latency), "errors", errors_json(control), "commands",
        commands_json(control), "shards", shards_json(control), "migrations",
        migrations_json(control), "holds", number(control->holds_seen), "longest_hold_us",
        number(histogram_max_us(&control->hold_length)));
    for (size_t i = 0; i < COUNT_OF(totals); i++) {
        (void)json_object_set_new(root, totals[i].name + sizeof("sluice_") - 1,
                                  number(sum(control, totals[i].offset)));
    }
    char *dump = json_dumps(root, JSON_INDENT(2));
    buffer_add_text(text, dump);
    buffer_add_text(text, "\n");
    free(dump);
    json_decref(root);
}
