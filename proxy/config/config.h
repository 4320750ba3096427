/* The options of sluice-proxy, from one table (lib/base/options.h). */
#ifndef PROXY_CONFIG_CONFIG_H
#define PROXY_CONFIG_CONFIG_H

#include "lib/base/options.h"
#include "lib/net/admin_access.h"
#include "lib/shard/credentials.h"
#include "proxy/config/limits.h"
#include "proxy/config/read_policy.h"

struct proxy_config {
    char *store, *listen, *admin, *id, *log_level, *dual_write_ack, *output_limits;
    char *read_from;
    char *password, *acl_file; /* null: none */
    struct login shard_login, sentinel_login;
    bool trusts_scripts, is_protected;
    char *tls_listen, *tls_cert_file, *tls_key_file, *tls_ca_cert_file;
    char *tls_ciphers, *tls_ciphersuites, *tls_auth_clients;
    struct tls_files shard_tls;
    struct admin_files admin_files;
    uint64_t threads, clients_max;
    uint64_t shard_timeout_ms, connect_timeout_ms, wait_max_ms, mirror_timeout_ms;
    uint64_t store_timeout_ms, drain_timeout_ms;
    uint64_t replica_lag_max_ms;
    uint64_t idle_timeout_ms, keepalive_ms;
    uint64_t bulk_max_bytes, request_max_bytes;
    uint64_t shard_queue_max;
    /* Filled in by proxy_config_check. */
    enum tls_auth auth_clients;
    enum read_policy read_policy;
    struct client_limits limits;
    /* The command line, to be read again by proxy_config_reload. */
    int argc;
    char **argv;
};

extern const struct option_table proxy_options;

/* `listen` may be this word, for clients by TLS only. */
#define LISTEN_NONE "none"

/* What the table cannot say; fills in what has no fixed default. */
bool proxy_config_check(struct proxy_config *config, struct error *err)
    __attribute__((warn_unused_result));

/* Reads the file and the command line again and takes what is reloadable; what else has changed is
 * logged. After a failure everything is as it was. */
bool proxy_config_reload(struct proxy_config *config, struct error *err)
    __attribute__((warn_unused_result));

#endif
