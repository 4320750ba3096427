#include "proxy/config/config.h"

#include <string.h>

#include "lib/base/memory.h"

#define FIELD(name) offsetof(struct proxy_config, name)

// clang-format off
static const struct option_spec specs[] = {
    {"store", OPTION_TEXT, FIELD(store), NULL, 0, 0, false,
     "where the topology is kept: file:DIR"},
    {"listen", OPTION_TEXT, FIELD(listen), "127.0.0.1:6380", 0, 0, false,
     "address for Redis clients"},
    {"admin", OPTION_TEXT, FIELD(admin), "127.0.0.1:9380", 0, 0, false,
     "address for /metrics, /stats, /topology, /healthz, /readyz"},
    {"threads", OPTION_NUMBER, FIELD(threads), "1", 1, 256, false,
     "worker threads"},
    {"id", OPTION_TEXT, FIELD(id), NULL, 0, 0, false,
     "name of this proxy; default: its listen address"},
    {"max-clients", OPTION_NUMBER, FIELD(clients_max), "10000", 1, 1000000, false,
     "open client connections, over all threads"},
    {"shard-timeout", OPTION_DURATION, FIELD(shard_timeout_ms), "5s", 10, 3600000, false,
     "a shard that does not answer for so long: its requests get -UNKNOWN"},
    {"connect-timeout", OPTION_DURATION, FIELD(connect_timeout_ms), "1s", 10, 60000, false,
     "for connecting to a shard and being let in"},
    {"wait-max", OPTION_DURATION, FIELD(wait_max_ms), "2s", 1, 60000, false,
     "how long a request waits for a connection to its shard"},
    {"mirror-timeout", OPTION_DURATION, FIELD(mirror_timeout_ms), "100ms", 1, 60000, false,
     "a dual write is answered after that even if the copy has not answered"},
    {"dual-write-ack", OPTION_TEXT, FIELD(dual_write_ack), "both", 0, 0, false,
     "answer a dual write when \"both\" shards have it, or as soon as the \"source\" has"},
    {"store-timeout", OPTION_DURATION, FIELD(store_timeout_ms), "2s", 10, 60000, false,
     "how long past its limit a hold waits for the store before clients get -UNAVAILABLE"},
    {"drain-timeout", OPTION_DURATION, FIELD(drain_timeout_ms), "5s", 0, 3600000, false,
     "on SIGTERM: time for clients to get what they asked for"},
    {"max-bulk", OPTION_SIZE, FIELD(bulk_max_bytes), "512mb", 1024, (uint64_t)1 << 32, false,
     "largest argument of a command (Redis: proto-max-bulk-len)"},
    {"max-output", OPTION_SIZE, FIELD(output_max_bytes), "1gb", 65536, (uint64_t)1 << 40, false,
     "a client with more unread reply bytes is cut off"},
    {"log-level", OPTION_TEXT, FIELD(log_level), "info", 0, 0, false,
     "error, warn, info or debug"},
};
// clang-format on

const struct option_table proxy_options = {
    .program = "sluice-proxy",
    .usage = "--store URL [options]",
    .about = "Speaks the Redis protocol to clients and sends each key to the shard that owns it.",
    .specs = specs,
    .count = sizeof(specs) / sizeof(specs[0]),
};

bool proxy_config_check(struct proxy_config *config, enum log_level *level, struct error *err)
{
    if (config->store == NULL) {
        return error_set(err, "no store is given: use --store file:DIR, the folder that "
                              "`sluicectl init` was told");
    }
    if (!log_level_parse(config->log_level, level)) {
        return error_set(err, "\"log-level\" must be error, warn, info or debug, not \"%s\"",
                         config->log_level);
    }
    if (strcmp(config->dual_write_ack, "both") != 0 &&
        strcmp(config->dual_write_ack, "source") != 0) {
        return error_set(err, "\"dual-write-ack\" must be both or source, not \"%s\"",
                         config->dual_write_ack);
    }
    if (config->id == NULL) {
        config->id = mem_strdup(config->listen);
    }
    return true;
}
