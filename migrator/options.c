#include "migrator/options.h"

#include "lib/base/memory.h"

#define FIELD(name) offsetof(struct migrator_settings, name)
#define FILE_OPTION(name, offset, text) \
    {name, OPTION_TEXT, offset, NULL, 0, 0, OPTION_AT_START, text},
#define HOUR_MS UINT64_C(3600000)

// clang-format off
static const struct option_spec specs[] = {
    {"store", OPTION_TEXT, FIELD(store_url), NULL, 0, 0, OPTION_AT_START,
     "where the topology is: file:DIR or etcd:HOST:PORT,..."},
    {"admin", OPTION_TEXT, FIELD(admin), "127.0.0.1:9390", 0, 0, OPTION_AT_START,
     "address of the admin endpoint"},
    ADMIN_OPTIONS(FILE_OPTION, FIELD(admin_files))
    {"protected-mode", OPTION_FLAG, FIELD(is_protected), "yes", 0, 0, OPTION_AT_START,
     "refuse an admin address that others can reach without a token"},
    {"id", OPTION_TEXT, FIELD(id), NULL, 0, 0, OPTION_AT_START,
     "its name for operators; host name and pid if not given"},
    {"log-level", OPTION_TEXT, FIELD(log_level), "info", 0, 0, OPTION_RELOADABLE,
     "error, warn, info or debug"},
    {"shard-user", OPTION_TEXT, FIELD(shard_user), NULL, 0, 0, OPTION_AT_START,
     "who we are to the shards (SLUICE_SHARD_USER); default: the default user"},
    {"shard-password-file", OPTION_TEXT, FIELD(shard_password_file), NULL, 0, 0, OPTION_AT_START,
     "whose first line is our password for the shards; or SLUICE_SHARD_PASSWORD"},
    {"sentinel-user", OPTION_TEXT, FIELD(sentinel_user), NULL, 0, 0, OPTION_AT_START,
     "who we are to Sentinels (SLUICE_SENTINEL_USER); default: the default user"},
    {"sentinel-password-file", OPTION_TEXT, FIELD(sentinel_password_file), NULL, 0, 0, OPTION_AT_START,
     "whose first line is our password for Sentinels; or SLUICE_SENTINEL_PASSWORD"},
    {"shard-timeout", OPTION_DURATION, FIELD(shard_timeout_ms), "10s", 100, HOUR_MS, OPTION_RELOADABLE,
     "a shard that does not answer for so long is unreachable"},
    {"purge-patience", OPTION_DURATION, FIELD(purge_patience_ms), "60s", 0, HOUR_MS, OPTION_RELOADABLE,
     "a shard that cannot be purged for so long is left a debt"},
    {"copy-memory-limit", OPTION_NUMBER, FIELD(copy_memory_limit), "90", 1, 100, OPTION_RELOADABLE,
     "percent of a copy's maxmemory above which copying to it waits"},
    {"progress-period", OPTION_DURATION, FIELD(progress_period_ms), "500ms", 10, HOUR_MS, OPTION_RELOADABLE,
     "shortest time between two progress records in the journal"},
    {"full-rate", OPTION_FLAG, FIELD(is_full_rate), NULL, 0, 0, OPTION_RELOADABLE,
     "copy as fast as the shards can; without it copying rests while they answer slower than before"},
    SHARD_TLS_OPTIONS(FILE_OPTION, FIELD(shard_tls))
    {"list-fail-points", OPTION_FLAG, FIELD(list_fail_points), NULL, 0, 0, OPTION_ON_COMMAND_LINE,
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

bool migrator_log_level(const struct migrator_settings *settings, enum log_level *level,
                        struct error *err)
{
    return log_level_parse(settings->log_level, level) ||
           error_set(err, "log-level \"%s\" is none of error, warn, info, debug",
                     settings->log_level);
}

static void adopt(struct migrator_settings *settings, struct migrator_settings *fresh)
{
    struct error fixed;
    if (fresh->id == NULL && settings->id != NULL) {
        fresh->id = mem_strdup(settings->id); /* it has named itself */
    }
    if (!options_adopt(&migrator_options, settings, fresh, &fixed)) {
        log_warn("changed options need a restart options=\"%s\"", fixed.text);
    }
}

bool migrator_reload(struct migrator_settings *settings, struct error *err)
{
    struct migrator_settings fresh = {.argc = settings->argc, .argv = settings->argv};
    enum options_action action;
    enum log_level level;
    bool ok =
        options_load(&migrator_options, &fresh, settings->argc, settings->argv, &action, err) &&
        migrator_log_level(&fresh, &level, err);
    if (ok) {
        adopt(settings, &fresh);
        log_set_level(level);
    }
    options_free(&migrator_options, &fresh);
    return ok;
}
