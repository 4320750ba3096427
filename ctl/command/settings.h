/* The values of every option of every command, and the options' entries for the commands' tables.
 * A field that was not given is null, false or 0. */
#ifndef CTL_COMMAND_SETTINGS_H
#define CTL_COMMAND_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/options.h"
#include "lib/net/tls_files.h"

struct settings {
    char *store;
    struct tls_files shard_tls;
    bool is_json;

    bool is_waiting;
    uint64_t timeout_ms; /* of waiting; 0: none */
    bool is_watching;
    bool is_forced;
    bool has_per_slot;

    char *to;
    char *share;
    bool is_manual_switch;
    char *finalize_after; /* a duration, "0" or "never" */
    uint64_t keys_per_second;
    uint64_t bytes_per_second;
    uint64_t hold_max_ms;
    uint64_t cutover_keys;
    uint64_t max_skew_ms;
    uint64_t large_key_bytes;

    uint64_t nslots;
    uint64_t weight;
    bool is_adopting;
    bool serve_empty;
    bool accepts_loss;
};

/* clang-format off */
#define CTL_OPTION(name, type, field, value, text) \
    {name, type, offsetof(struct settings, field), NULL, 0, 0, OPTION_ON_COMMAND_LINE, text, value}
#define CTL_RANGED(name, type, field, low, high, value, text) \
    {name, type, offsetof(struct settings, field), NULL, low, high, OPTION_ON_COMMAND_LINE, text, value}

#define OPTIONS_WAIT \
    CTL_OPTION("wait", OPTION_FLAG, is_waiting, NULL, "wait for the end, showing progress; exit 0 only on success"), \
    CTL_OPTION("timeout", OPTION_DURATION, timeout_ms, "DURATION", "with --wait: give up waiting after so long (the work goes on)")

#define OPTION_TO \
    CTL_OPTION("to", OPTION_TEXT, to, "SHARD", "the shard that gets the slots")
#define OPTION_SHARE \
    CTL_OPTION("share", OPTION_TEXT, share, "FRACTION", "how much of the shard's slots moves, above 0, up to 1 (0.5 without it)")
#define OPTION_FORCE(text) \
    CTL_OPTION("force", OPTION_FLAG, is_forced, NULL, text)

/* How the work of a migration is done: all that plan needs for its estimate, too. */
#define OPTIONS_PACE \
    CTL_OPTION("keys-per-second", OPTION_NUMBER, keys_per_second, "N", "copy and verify at most so many keys a second"), \
    CTL_OPTION("bytes-per-second", OPTION_SIZE, bytes_per_second, "SIZE", "copy and verify at most so many bytes a second, like 20mb"), \
    CTL_OPTION("large-key", OPTION_SIZE, large_key_bytes, "SIZE", "keys above it are listed as large and not mirrored by proxies (64kb)")

#define OPTIONS_MIGRATION \
    CTL_OPTION("manual-switch", OPTION_FLAG, is_manual_switch, NULL, "stay in dual-write until sluicectl switch"), \
    CTL_OPTION("finalize-after", OPTION_TEXT, finalize_after, "DURATION", "finalize so long after the switch; 0: at once (never without it)"), \
    CTL_RANGED("hold-max", OPTION_DURATION, hold_max_ms, 10, 60000, "DURATION", "a hold that lasts longer is undone (1s)"), \
    CTL_OPTION("cutover-keys", OPTION_NUMBER, cutover_keys, "N", "hold only while fewer keys than this wait to be verified again (100)"), \
    CTL_RANGED("max-skew", OPTION_DURATION, max_skew_ms, 1, 60000, "DURATION", "refuse when the two shards' clocks differ by more (500ms)"), \
    OPTIONS_PACE
/* clang-format on */

#endif
