#include "migrator/options.h"

#define FIELD(name)                     offsetof(struct migrator_settings, name)
#define FILE_OPTION(name, offset, text) {name, OPTION_TEXT, offset, NULL, 0, 0, false, text},
#define HOUR_MS                         UINT64_C(3600000)

// clang-format off
static const struct option_spec specs[] = {
    {"store", OPTION_TEXT, FIELD(store_url), NULL, 0, 0, false,
     "where the topology is: file:DIR or etcd:HOST:PORT,..."},
    {"admin", OPTION_TEXT, FIELD(admin), "127.0.0.1:9390", 0, 0, false,
     "address of the admin endpoint"},
    {"id", OPTION_TEXT, FIELD(id), NULL, 0, 0, false,
     "its name for operators; host name and pid if not given"},
    {"log-level", OPTION_TEXT, FIELD(log_level), "info", 0, 0, false,
     "error, warn, info or debug"},
    {"shard-timeout", OPTION_DURATION, FIELD(shard_timeout_ms), "10s", 100, HOUR_MS, false,
     "a shard that does not answer for so long is unreachable"},
    {"purge-patience", OPTION_DURATION, FIELD(purge_patience_ms), "60s", 0, HOUR_MS, false,
     "a shard that cannot be purged for so long is left a debt"},
    {"copy-memory-limit", OPTION_NUMBER, FIELD(copy_memory_limit), "90", 1, 100, false,
     "percent of a copy's maxmemory above which copying to it waits"},
    {"progress-period", OPTION_DURATION, FIELD(progress_period_ms), "500ms", 10, HOUR_MS, false,
     "shortest time between two progress records in the journal"},
    {"full-rate", OPTION_FLAG, FIELD(is_full_rate), NULL, 0, 0, false,
     "copy as fast as the shards can; without it copying rests while they answer slower than before"},
    SHARD_TLS_OPTIONS(FILE_OPTION, FIELD(shard_tls))
    {"list-fail-points", OPTION_FLAG, FIELD(list_fail_points), NULL, 0, 0, true,
     "print the names of the fail points (builds for tests), then exit"},
};
// clang-format on

const struct option_table migrator_options = {
    .program = "sluice-migrator",
    .usage = "--store URL [OPTION...]",
    .about = "Carries out the migrations that it finds in the store: copies, compares, switches, "
             "and cleans up.",
    .specs = specs,
    .count = sizeof(specs) / sizeof(specs[0]),
};
