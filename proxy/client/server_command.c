/* What is asked of a server rather than of its keys: CONFIG, ROLE. A client sees one server without
 * replicas, whose configuration is this proxy's where it is about connections and the shards' where
 * it is about keys. */
#include <fnmatch.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define PATTERN_MAX 256

static void refuse(struct buffer *out, const char *text)
{
    bool is_written = command_error_text(out, text);
    ASSERT(is_written);
}

/* --- CONFIG GET ------------------------------------------------------------------------------- */

typedef void value_fn(const struct client_host *host, struct buffer *text);

static void value_clients_max(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%llu", (unsigned long long)host->limits->clients_max);
}

static void value_timeout(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%llu", (unsigned long long)(host->limits->idle_us / 1000000));
}

static void value_keepalive(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%u", host->limits->keepalive_s);
}

static void value_bulk_max(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%llu", (unsigned long long)host->limits->bulk_max);
}

static void value_request_max(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%llu", (unsigned long long)host->limits->request_max);
}

static void value_output_limits(const struct client_host *host, struct buffer *text)
{
    for (unsigned i = 0; i < OUTPUT_CLASSES; i++) {
        const struct output_limit *limit = &host->limits->output[i];
        buffer_printf(text, "%s%s %llu %llu %llu", i > 0 ? " " : "", output_class_names[i],
                      (unsigned long long)limit->hard_bytes, (unsigned long long)limit->soft_bytes,
                      (unsigned long long)(limit->soft_us / 1000000));
    }
}

static void value_port(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%u", host->port);
}

static void value_threads(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%u", host->nworkers);
}

static void value_memory_max(const struct client_host *host, struct buffer *text)
{
    buffer_printf(text, "%llu", (unsigned long long)host->facts.memory_max);
}

static void value_memory_policy(const struct client_host *host, struct buffer *text)
{
    buffer_add_text(text, host->facts.memory_policy);
}

static void value_events(const struct client_host *host, struct buffer *text)
{
    buffer_add_text(text, host->facts.notify_keyspace_events);
}

static void value_aof(const struct client_host *host, struct buffer *text)
{
    buffer_add_text(text, host->facts.has_aof ? "yes" : "no");
}

static void value_empty(const struct client_host *host, struct buffer *text)
{
    (void)host;
    (void)text;
}

static void value_no(const struct client_host *host, struct buffer *text)
{
    (void)host;
    buffer_add_text(text, "no");
}

static void value_one(const struct client_host *host, struct buffer *text)
{
    (void)host;
    buffer_add_text(text, "1");
}

static const struct parameter {
    const char *name;
    value_fn *write;
} parameters[] = {
    {"maxclients", value_clients_max},
    {"timeout", value_timeout},
    {"tcp-keepalive", value_keepalive},
    {"proto-max-bulk-len", value_bulk_max},
    {"client-query-buffer-limit", value_request_max},
    {"client-output-buffer-limit", value_output_limits},
    {"port", value_port},
    {"io-threads", value_threads},
    {"databases", value_one},
    {"cluster-enabled", value_no},
    {"maxmemory", value_memory_max},
    {"maxmemory-policy", value_memory_policy},
    {"notify-keyspace-events", value_events},
    {"appendonly", value_aof},
    {"save", value_empty},
    {"requirepass", value_empty},
};

#define PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static bool matches(struct slice asked, const char *name)
{
    char pattern[PATTERN_MAX];
    if (asked.len >= sizeof(pattern)) {
        return false;
    }
    memcpy(pattern, asked.data, asked.len);
    pattern[asked.len] = '\0';
    return fnmatch(pattern, name, FNM_CASEFOLD) == 0;
}

/* `name` is what to answer it with: as it was asked for, if it was named in full. */
static bool is_asked_for(const struct parameter *parameter, const struct command *command,
                         struct slice *name)
{
    for (unsigned i = 2; i < command->argc; i++) {
        *name = slice_of(parameter->name);
        if (slice_equal_nocase(command->argv[i], *name)) {
            *name = command->argv[i];
            return true;
        }
        if (matches(command->argv[i], parameter->name)) {
            return true;
        }
    }
    return false;
}

static void answer_get(struct client *client, struct buffer *out, const struct command *command)
{
    struct slice names[PARAMETERS];
    bool is_asked[PARAMETERS];
    uint64_t count = 0;
    for (size_t i = 0; i < PARAMETERS; i++) {
        is_asked[i] = is_asked_for(&parameters[i], command, &names[i]);
        count += is_asked[i] ? 1 : 0;
    }
    write_map_header(out, client->protocol, count);
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (is_asked[i]) {
            struct buffer text;
            buffer_init(&text, SIZE_MAX);
            parameters[i].write(client->host, &text);
            write_bulk(out, names[i]);
            write_bulk(out, buffer_slice(&text));
            buffer_fini(&text);
        }
    }
}

/* --- the rest of CONFIG ----------------------------------------------------------------------- */

static bool is_known(struct slice name)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (slice_equal_nocase(name, slice_of(parameters[i].name))) {
            return true;
        }
    }
    return false;
}

/* As Redis, where everything could only be set in the file. */
static void answer_set(struct client *client, struct buffer *out, const struct command *command)
{
    char text[PATTERN_MAX + 128];
    struct slice name = command->argv[2];
    int shown = (int)(name.len < PATTERN_MAX ? name.len : PATTERN_MAX);
    (void)client;
    if (command->argc % 2 != 0) {
        refuse(out, "syntax error");
        return;
    }
    for (unsigned i = 2; i < command->argc; i += 2) {
        if (!is_known(command->argv[i])) {
            name = command->argv[i];
            shown = (int)(name.len < PATTERN_MAX ? name.len : PATTERN_MAX);
            (void)snprintf(text, sizeof(text),
                           "Unknown option or number of arguments for CONFIG SET - '%.*s'", shown,
                           name.data);
            refuse(out, text);
            return;
        }
    }
    (void)snprintf(text, sizeof(text),
                   "CONFIG SET failed (possibly related to argument '%.*s') - can't set immutable "
                   "config",
                   shown, name.data);
    refuse(out, text);
}

static void answer_rewrite(struct client *client, struct buffer *out, const struct command *command)
{
    (void)client;
    (void)command;
    refuse(out, "The server is running without a config file");
}

void local_config(struct client *client, struct buffer *out, const struct command *command)
{
    static const struct subcommand subcommands[] = {
        {"get", answer_get}, {"set", answer_set}, {"rewrite", answer_rewrite}};
    local_answer_subcommand(subcommands, sizeof(subcommands) / sizeof(subcommands[0]), client, out,
                            command);
}

/* --- ROLE ------------------------------------------------------------------------------------- */

void local_role(struct client *client, struct buffer *out, const struct command *command)
{
    (void)client;
    (void)command;
    write_array(out, 3);
    write_bulk(out, SLICE("master"));
    write_integer(out, 0);
    write_array(out, 0);
}
