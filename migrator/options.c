#include "migrator/options.h"

#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/net/address.h"
#include "lib/store/store.h"

#define FIELD(name) offsetof(struct migrator_settings, name)
#define HOUR_MS     UINT64_C(3600000)

// clang-format off
static const struct option_spec specs[] = {
    {"store", OPTION_TEXT, FIELD(store_url), NULL, 0, 0, OPTION_AT_START,
     "where the topology is: file:DIR or etcd:HOST:PORT,...", "URL"},
    {"admin", OPTION_TEXT, FIELD(admin), "127.0.0.1:9390", 0, 0, OPTION_AT_START,
     "address of the admin endpoint", "HOST:PORT"},
    ADMIN_OPTIONS(OPTION_FILE, FIELD(admin_files))
    {"protected-mode", OPTION_FLAG, FIELD(is_protected), "yes", 0, 0, OPTION_AT_START,
     "refuse an admin address that others can reach without a token", NULL},
    {"id", OPTION_TEXT, FIELD(id), NULL, 0, 0, OPTION_AT_START,
     "its name for operators; host name and pid if not given", "NAME"},
    {"log-level", OPTION_WORD, FIELD(log_level), "info", 0, 0, OPTION_RELOADABLE,
     "the least that is logged", LOG_LEVEL_WORDS},
    SHARD_LOGIN_OPTIONS(FIELD(shard_login))
    SENTINEL_LOGIN_OPTIONS(FIELD(sentinel_login))
    {"shard-timeout", OPTION_DURATION, FIELD(shard_timeout_ms), "10s", 100, HOUR_MS, OPTION_RELOADABLE,
     "a shard that does not answer for so long is unreachable", NULL},
    {"purge-patience", OPTION_DURATION, FIELD(purge_patience_ms), "60s", 0, HOUR_MS, OPTION_RELOADABLE,
     "a shard that cannot be purged for so long is left a debt", NULL},
    {"copy-memory-limit", OPTION_NUMBER, FIELD(copy_memory_limit), "90", 1, 100, OPTION_RELOADABLE,
     "percent of a copy's maxmemory above which copying to it waits", NULL},
    {"progress-period", OPTION_DURATION, FIELD(progress_period_ms), "500ms", 10, HOUR_MS, OPTION_RELOADABLE,
     "shortest time between two progress records in the journal", NULL},
    {"full-rate", OPTION_FLAG, FIELD(is_full_rate), NULL, 0, 0, OPTION_RELOADABLE,
     "copy as fast as the shards can, in large groups; without it copying rests a third of the time or more", NULL},
    SHARD_TLS_OPTIONS(OPTION_FILE, FIELD(shard_tls))
    {"list-fail-points", OPTION_FLAG, FIELD(list_fail_points), NULL, 0, 0, OPTION_ON_COMMAND_LINE,
     "print the names of the fail points (builds for tests), then exit", NULL},
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

bool migrator_check(const struct migrator_settings *settings, struct error *err)
{
    if (settings->store_url == NULL) {
        return error_set(err, "no store is given: use --store file:DIR, the folder that "
                              "`sluicectl init` was told");
    }
    return store_check_url(settings->store_url, err) &&
           address_check("admin", settings->admin, err) &&
           (settings->id == NULL || store_check_id(settings->id, err));
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
    bool ok =
        options_load(&migrator_options, &fresh, settings->argc, settings->argv, &action, err) &&
        migrator_check(&fresh, err);
    if (ok) {
        adopt(settings, &fresh);
        log_set_level(log_level_named(settings->log_level));
    }
    options_free(&migrator_options, &fresh);
    return ok;
}
