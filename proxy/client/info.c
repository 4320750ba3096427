/* INFO: the sections and fields that client libraries and dashboards read. Numbers of connections
 * and commands are this proxy's, over all of its threads; numbers of memory and keys are the
 * shards', added up (fleet_facts.h). */
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

/* --- sums over the threads -------------------------------------------------------------------- */

#define TOTAL(host, field) total((host), offsetof(struct counters, field))

static uint64_t total(const struct client_host *host, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < host->nworkers; i++) {
        const char *counters = (const char *)&host->all_counters[i];
        sum += counter_read((const struct counter *)(const void *)(counters + offset));
    }
    return sum;
}

uint64_t clients_open(const struct client_host *host)
{
    return TOTAL(host, clients);
}

static uint64_t commands_processed(const struct client_host *host)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < host->nworkers; i++) {
        count += histogram_count(&host->all_counters[i].latency);
    }
    return count;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void field_number(struct buffer *text, const char *name, uint64_t value)
{
    buffer_printf(text, "%s:%llu\r\n", name, (unsigned long long)value);
}

static void field_text(struct buffer *text, const char *name, const char *value)
{
    buffer_printf(text, "%s:%s\r\n", name, value);
}

/* As Redis writes it: "1.50M". */
static void field_size(struct buffer *text, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1024 && unit + 2 < sizeof(units)) {
        value /= 1024;
        unit++;
    }
    field_number(text, name, bytes);
    buffer_printf(text, unit == 0 ? "%s_human:%.0f%c\r\n" : "%s_human:%.2f%c\r\n", name, value,
                  units[unit]);
}

/* --- sections --------------------------------------------------------------------------------- */

static void write_server(const struct client_host *host, struct buffer *text)
{
    uint64_t uptime = (loop_now_us(host->loop) - host->started_us) / 1000000;
    field_text(text, "redis_version", host->server_version);
    buffer_add_text(text, "redis_mode:standalone\r\nos:Linux\r\narch_bits:64\r\n"
                          "multiplexing_api:epoll\r\n");
    field_number(text, "process_id", (uint64_t)getpid());
    field_number(text, "tcp_port", host->port);
    field_number(text, "uptime_in_seconds", uptime);
    field_number(text, "uptime_in_days", uptime / 86400);
    field_text(text, "sluice_version", VERSION);
}

static void write_clients(const struct client_host *host, struct buffer *text)
{
    field_number(text, "connected_clients", clients_open(host));
    field_number(text, "maxclients", host->limits->clients_max);
    field_number(text, "blocked_clients", TOTAL(host, blocked));
    field_number(text, "tracking_clients", 0);
}

static void write_memory(const struct client_host *host, struct buffer *text)
{
    const struct fleet_facts *facts = &host->facts;
    field_size(text, "used_memory", facts->used_memory);
    field_size(text, "used_memory_rss", facts->used_memory_rss);
    field_size(text, "used_memory_peak", facts->used_memory_peak);
    field_size(text, "maxmemory", facts->memory_max);
    field_text(text, "maxmemory_policy", facts->memory_policy);
}

static void write_persistence(const struct client_host *host, struct buffer *text)
{
    buffer_add_text(text, "loading:0\r\nasync_loading:0\r\nrdb_bgsave_in_progress:0\r\n");
    field_number(text, "aof_enabled", host->facts.has_aof ? 1 : 0);
    buffer_add_text(text, "aof_rewrite_in_progress:0\r\n");
}

static void write_stats(const struct client_host *host, struct buffer *text)
{
    const struct fleet_facts *facts = &host->facts;
    field_number(text, "total_connections_received", TOTAL(host, accepted));
    field_number(text, "total_commands_processed", commands_processed(host));
    field_number(text, "instantaneous_ops_per_sec", facts->commands_per_second);
    field_number(text, "total_net_input_bytes", TOTAL(host, bytes_in));
    field_number(text, "total_net_output_bytes", TOTAL(host, bytes_out));
    field_number(text, "rejected_connections", TOTAL(host, rejected));
    field_number(text, "expired_keys", facts->expired_keys);
    field_number(text, "evicted_keys", facts->evicted_keys);
    field_number(text, "keyspace_hits", facts->keyspace_hits);
    field_number(text, "keyspace_misses", facts->keyspace_misses);
}

static void write_replication(const struct client_host *host, struct buffer *text)
{
    (void)host;
    buffer_add_text(text, "role:master\r\nconnected_slaves:0\r\n"
                          "master_failover_state:no-failover\r\n");
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void write_cpu(const struct client_host *host, struct buffer *text)
{
    struct rusage usage;
    (void)host;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        buffer_printf(text, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n",
                      seconds_of(usage.ru_stime), seconds_of(usage.ru_utime));
    }
}

static void write_modules(const struct client_host *host, struct buffer *text)
{
    (void)host; /* Redis writes none either where none is loaded */
    (void)text;
}

/* Times are the shards' affair: SLOWLOG and their own INFO. */
static void write_commandstats(const struct client_host *host, struct buffer *text)
{
    unsigned count = command_table_count(host->table);
    for (unsigned id = 0; id < count && id < COUNTED_COMMANDS; id++) {
        uint64_t calls =
            total(host, offsetof(struct counters, commands) + id * sizeof(struct counter));
        if (calls > 0) {
            buffer_printf(text,
                          "cmdstat_%s:calls=%llu,usec=0,usec_per_call=0.00,"
                          "rejected_calls=0,failed_calls=0\r\n",
                          command_table_at(host->table, id)->name, (unsigned long long)calls);
        }
    }
}

static void write_errorstat(struct buffer *text, const char *prefix, uint64_t count)
{
    if (count > 0) {
        buffer_printf(text, "errorstat_%s:count=%llu\r\n", prefix, (unsigned long long)count);
    }
}

static void write_errorstats(const struct client_host *host, struct buffer *text)
{
    write_errorstat(text, "ERR", TOTAL(host, errors_refused) + TOTAL(host, errors_shard));
    write_errorstat(text, "UNAVAILABLE", TOTAL(host, errors_unavailable));
    write_errorstat(text, "UNKNOWN", TOTAL(host, errors_unknown));
}

static void write_cluster(const struct client_host *host, struct buffer *text)
{
    (void)host;
    buffer_add_text(text, "cluster_enabled:0\r\n");
}

static void write_keyspace(const struct client_host *host, struct buffer *text)
{
    if (host->facts.keys > 0) {
        buffer_printf(text, "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n",
                      (unsigned long long)host->facts.keys,
                      (unsigned long long)host->facts.expires);
    }
}

static void write_sluice(const struct client_host *host, struct buffer *text)
{
    const struct topology *topology = router_snapshot(host->router)->topology;
    field_text(text, "sluice_cluster", topology->cluster);
    field_number(text, "sluice_epoch", topology->epoch);
    field_number(text, "sluice_shards", topology->nshards);
    field_number(text, "sluice_shard_replicas", host->facts.replicas);
    field_number(text, "sluice_open_migrations", topology->nmigrations);
}

/* --- which ones ------------------------------------------------------------------------------- */

/* As in Redis: without a section, or with "default", those that are default; "all" and "everything"
 * add the others. */
struct section {
    const char *name, *title;
    bool is_default;
    void (*write)(const struct client_host *host, struct buffer *text);
};

static const struct section sections[] = {
    {"server", "Server", true, write_server},
    {"clients", "Clients", true, write_clients},
    {"memory", "Memory", true, write_memory},
    {"persistence", "Persistence", true, write_persistence},
    {"stats", "Stats", true, write_stats},
    {"replication", "Replication", true, write_replication},
    {"cpu", "CPU", true, write_cpu},
    {"modules", "Modules", true, write_modules},
    {"commandstats", "Commandstats", false, write_commandstats},
    {"errorstats", "Errorstats", true, write_errorstats},
    {"cluster", "Cluster", true, write_cluster},
    {"keyspace", "Keyspace", true, write_keyspace},
    {"sluice", "Sluice", true, write_sluice},
};

static bool is_wanted(const struct section *section, const struct command *command)
{
    bool is_wanted = command->argc == 1 && section->is_default;
    for (unsigned i = 1; i < command->argc && !is_wanted; i++) {
        struct slice asked = command->argv[i];
        is_wanted = slice_equal_nocase(asked, slice_of(section->name)) ||
                    slice_equal_nocase(asked, SLICE("all")) ||
                    slice_equal_nocase(asked, SLICE("everything")) ||
                    (section->is_default && slice_equal_nocase(asked, SLICE("default")));
    }
    return is_wanted;
}

void local_info(struct client *client, struct buffer *out, const struct command *command)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (is_wanted(&sections[i], command)) {
            buffer_printf(&text, "%s# %s\r\n", buffer_length(&text) > 0 ? "\r\n" : "",
                          sections[i].title);
            sections[i].write(client->host, &text);
        }
    }
    write_verbatim(out, client->protocol, buffer_slice(&text));
    buffer_fini(&text);
}
