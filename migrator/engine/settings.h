/* What the operator may set on sluice-migrator; filled by main from the options. On SIGHUP the main
 * thread changes numbers and flags, which others read by option_number and option_flag. */
#ifndef MIGRATOR_ENGINE_SETTINGS_H
#define MIGRATOR_ENGINE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/options.h"
#include "lib/net/admin_access.h"
#include "lib/shard/credentials.h"

struct migrator_settings {
    char *store_url;
    char *admin;
    char *id;
    char *log_level;
    struct login shard_login, sentinel_login;
    struct tls_files shard_tls;
    struct admin_files admin_files;
    bool is_protected;           /* no admin endpoint for strangers */
    uint64_t shard_timeout_ms;   /* a shard that does not answer for so long is unreachable */
    uint64_t purge_patience_ms;  /* then a purge that cannot be done becomes a debt */
    uint64_t copy_memory_limit;  /* percent of the copy's maxmemory; above, copying waits */
    uint64_t progress_period_ms; /* between two progress records in the journal */
    bool is_full_rate;           /* copy without regard to the shards' latency */
    bool list_fail_points;
    /* The command line, to be read again on SIGHUP. */
    int argc;
    char **argv;
};

#endif
