#include "proxy/config/config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/net/address.h"
#include "lib/store/store.h"

#define FIELD(name)           offsetof(struct proxy_config, name)
#define DEFAULT_OUTPUT_LIMITS "normal 1gb 0 0 pubsub 32mb 8mb 60"

// clang-format off
static const struct option_spec specs[] = {
    {"store", OPTION_TEXT, FIELD(store), NULL, 0, 0, OPTION_AT_START,
     "where the topology is kept: file:DIR or etcd:HOST:PORT,...", "URL"},
    {"listen", OPTION_TEXT, FIELD(listen), "127.0.0.1:6380", 0, 0, OPTION_AT_START,
     "address for Redis clients; none: only tls-listen", "HOST:PORT"},
    {"tls-listen", OPTION_TEXT, FIELD(tls_listen), NULL, 0, 0, OPTION_AT_START,
     "address for Redis clients that speak TLS", "HOST:PORT"},
    {"tls-cert-file", OPTION_TEXT, FIELD(tls_cert_file), NULL, 0, 0, OPTION_AT_START,
     "certificate of this proxy, with those between it and its authority; read again on SIGHUP", "FILE"},
    {"tls-key-file", OPTION_TEXT, FIELD(tls_key_file), NULL, 0, 0, OPTION_AT_START,
     "its private key, not encrypted", "FILE"},
    {"tls-ca-cert-file", OPTION_TEXT, FIELD(tls_ca_cert_file), NULL, 0, 0, OPTION_AT_START,
     "whose client certificates are good", "FILE"},
    {"tls-auth-clients", OPTION_WORD, FIELD(tls_auth_clients), "yes", 0, 0, OPTION_AT_START,
     "whether clients must show a certificate", "yes|no|optional"},
    {"tls-ciphers", OPTION_TEXT, FIELD(tls_ciphers), NULL, 0, 0, OPTION_AT_START,
     "for TLS 1.2, in OpenSSL's words; default: OpenSSL's", "LIST"},
    {"tls-ciphersuites", OPTION_TEXT, FIELD(tls_ciphersuites), NULL, 0, 0, OPTION_AT_START,
     "likewise for TLS 1.3", "LIST"},
    SHARD_TLS_OPTIONS(OPTION_FILE, FIELD(shard_tls))
    {"admin", OPTION_TEXT, FIELD(admin), "127.0.0.1:9380", 0, 0, OPTION_AT_START,
     "address for /metrics, /stats, /topology, /healthz, /readyz", "HOST:PORT"},
    ADMIN_OPTIONS(OPTION_FILE, FIELD(admin_files))
    {"threads", OPTION_NUMBER, FIELD(threads), "1", 1, 256, OPTION_AT_START,
     "worker threads", NULL},
    {"id", OPTION_TEXT, FIELD(id), NULL, 0, 0, OPTION_AT_START,
     "name of this proxy; default: its listen address", "NAME"},
    {"maxclients", OPTION_NUMBER, FIELD(clients_max), "10000", 1, 1000000, OPTION_RELOADABLE,
     "open client connections, over all threads", NULL},
    {"requirepass", OPTION_SECRET, FIELD(password), NULL, 0, 0, OPTION_RELOADABLE,
     "password of the default user; in this file, or in SLUICE_REQUIREPASS", NULL},
    {"aclfile", OPTION_TEXT, FIELD(acl_file), NULL, 0, 0, OPTION_RELOADABLE,
     "users and what they may do, as in Redis' ACL files; read again by ACL LOAD", "FILE"},
    {"trust-scripts", OPTION_FLAG, FIELD(trusts_scripts), NULL, 0, 0, OPTION_RELOADABLE,
     "let users with limits run scripts, of which only the named keys are checked", NULL},
    {"protected-mode", OPTION_FLAG, FIELD(is_protected), "yes", 0, 0, OPTION_RELOADABLE,
     "refuse to listen beyond this machine without a password for clients, a token for admin", NULL},
    {"timeout", OPTION_DURATION, FIELD(idle_timeout_ms), "0s", 0, (uint64_t)365 * 86400 * 1000, OPTION_RELOADABLE,
     "close a client that is idle for so long; 0: never", NULL},
    {"tcp-keepalive", OPTION_DURATION, FIELD(keepalive_ms), "60s", 0, 86400000, OPTION_RELOADABLE,
     "probe the machine of a silent client after so long; 0: never", NULL},
    SHARD_LOGIN_OPTIONS(FIELD(shard_login))
    SENTINEL_LOGIN_OPTIONS(FIELD(sentinel_login))
    {"shard-timeout", OPTION_DURATION, FIELD(shard_timeout_ms), "5s", 10, 3600000, OPTION_RELOADABLE,
     "a shard that does not answer for so long: its requests get -UNKNOWN", NULL},
    {"connect-timeout", OPTION_DURATION, FIELD(connect_timeout_ms), "1s", 10, 60000, OPTION_RELOADABLE,
     "for connecting to a shard and being let in", NULL},
    {"wait-max", OPTION_DURATION, FIELD(wait_max_ms), "2s", 1, 60000, OPTION_RELOADABLE,
     "how long a request waits for a connection to its shard", NULL},
    {"shard-queue-max", OPTION_NUMBER, FIELD(shard_queue_max), "100000", 1, 100000000,
     OPTION_RELOADABLE,
     "a thread that has so many requests under way to a shard answers more with -UNAVAILABLE", NULL},
    {"mirror-timeout", OPTION_DURATION, FIELD(mirror_timeout_ms), "100ms", 1, 60000, OPTION_RELOADABLE,
     "a dual write is answered after that even if the copy has not answered", NULL},
    {"dual-write-ack", OPTION_WORD, FIELD(dual_write_ack), "both", 0, 0, OPTION_RELOADABLE,
     "answer a dual write when \"both\" shards have it, or as soon as the \"source\" has", "both|source"},
    {"read-from", OPTION_WORD, FIELD(read_from), "primary", 0, 0, OPTION_RELOADABLE,
     "who answers what only reads: the primary, its replicas, or the nearest of all", READ_POLICY_WORDS},
    {"replica-lag-max", OPTION_DURATION, FIELD(replica_lag_max_ms), "1s", 100, 60000, OPTION_RELOADABLE,
     "a replica's answer lacks nothing that was written longer ago than this", NULL},
    {"store-timeout", OPTION_DURATION, FIELD(store_timeout_ms), "2s", 10, 60000, OPTION_RELOADABLE,
     "how long past its limit a hold waits for the store before clients get -UNAVAILABLE", NULL},
    {"drain-timeout", OPTION_DURATION, FIELD(drain_timeout_ms), "5s", 0, 3600000, OPTION_RELOADABLE,
     "on SIGTERM: time for clients to get what they asked for", NULL},
    {"proto-max-bulk-len", OPTION_SIZE, FIELD(bulk_max_bytes), "512mb", 1024, (uint64_t)1 << 32,
     OPTION_RELOADABLE, "largest argument of a command", NULL},
    {"client-query-buffer-limit", OPTION_SIZE, FIELD(request_max_bytes), "1gb", 1 << 20,
     (uint64_t)1 << 34, OPTION_RELOADABLE, "a client whose command is larger is cut off", NULL},
    {"client-output-buffer-limit", OPTION_TEXT, FIELD(output_limits), DEFAULT_OUTPUT_LIMITS, 0, 0,
     OPTION_RELOADABLE, "for each class, unread reply bytes: HARD cuts off at once, SOFT after SECONDS; 0: none", "\"CLASS HARD SOFT SECONDS ...\""},
    {"log-level", OPTION_WORD, FIELD(log_level), "info", 0, 0, OPTION_RELOADABLE,
     "the least that is logged", LOG_LEVEL_WORDS},
};
// clang-format on

const struct option_table proxy_options = {
    .program = "sluice-proxy",
    .usage = "--store URL [options]",
    .about = "Speaks the Redis protocol to clients and sends each key to the shard that owns it.",
    .specs = specs,
    .count = sizeof(specs) / sizeof(specs[0]),
};

/* A secret that the file does not have. */
static void take_from_environment(char **secret, const char *name)
{
    const char *value = getenv(name);
    if (*secret == NULL && value != NULL) {
        *secret = mem_strdup(value);
    }
}

static bool is_listening(const struct proxy_config *config)
{
    return strcmp(config->listen, LISTEN_NONE) != 0;
}

/* The forms alone: nobody is asked. */
static bool check_places(const struct proxy_config *config, struct error *err)
{
    return store_check_url(config->store, err) &&
           (!is_listening(config) || address_check("listen", config->listen, err)) &&
           (config->tls_listen == NULL || address_check("tls-listen", config->tls_listen, err)) &&
           address_check("admin", config->admin, err) &&
           (config->id == NULL || store_check_id(config->id, err));
}

bool proxy_config_check(struct proxy_config *config, struct error *err)
{
    if (config->store == NULL) {
        return error_set(err, "no store is given: use --store file:DIR, the folder that "
                              "`sluicectl init` was told");
    }
    if (!check_places(config, err)) {
        return false;
    }
    bool is_known = tls_auth_parse(config->tls_auth_clients, &config->auth_clients) &&
                    read_policy_parse(config->read_from, &config->read_policy);
    ASSERT(is_known); /* the table has the words */
    if (config->tls_listen == NULL && !is_listening(config)) {
        return error_set(err, "nobody could connect: \"listen\" is none and there is no "
                              "\"tls-listen\"");
    }
    if (!output_limits_parse(slice_of(config->output_limits), config->limits.output, err)) {
        return error_prefix(err, "\"client-output-buffer-limit\"");
    }
    take_from_environment(&config->password, "SLUICE_REQUIREPASS");
    if (config->password != NULL && config->acl_file != NULL) {
        return error_set(err, "give \"requirepass\" or \"aclfile\", not both: the file can set "
                              "the default user's password");
    }
    config->limits.has_acl_file = config->acl_file != NULL;
    config->limits.trusts_scripts = config->trusts_scripts;
    config->limits.clients_max = config->clients_max;
    config->limits.idle_us = config->idle_timeout_ms * 1000;
    config->limits.keepalive_s = (unsigned)(config->keepalive_ms / 1000);
    config->limits.bulk_max = config->bulk_max_bytes;
    config->limits.request_max = config->request_max_bytes;
    if (config->id == NULL) {
        config->id = mem_strdup(is_listening(config) ? config->listen : config->tls_listen);
    }
    return true;
}

bool proxy_config_reload(struct proxy_config *config, struct error *err)
{
    struct proxy_config fresh = {.argc = config->argc, .argv = config->argv};
    enum options_action action;
    struct error fixed;
    bool ok = options_load(&proxy_options, &fresh, config->argc, config->argv, &action, err) &&
              proxy_config_check(&fresh, err);
    if (ok) {
        config->limits = fresh.limits;
        config->read_policy = fresh.read_policy;
        if (!options_adopt(&proxy_options, config, &fresh, &fixed)) {
            log_warn("changed options need a restart options=\"%s\"", fixed.text);
        }
    }
    options_free(&proxy_options, &fresh);
    return ok;
}
