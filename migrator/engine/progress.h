/* The numbers of one migration: written by its thread, read by the admin endpoint. Counters with
 * one writer; no locks. */
#ifndef MIGRATOR_ENGINE_PROGRESS_H
#define MIGRATOR_ENGINE_PROGRESS_H

#include "lib/metrics/counter.h"

/* X(field, metric name without "sluice_migration_", is a counter, help) */
#define PROGRESS_NUMBERS(X)                                                              \
    X(keys_total, "keys", false, "Keys of the migration's slots, estimated or counted.") \
    X(keys_copied, "keys_copied_total", true, "Keys moved by the backfill.")             \
    X(bytes_copied, "bytes_copied_total", true, "Payload bytes moved by the backfill.")  \
    X(keys_verified, "keys_verified_total", true, "Keys compared on both shards.")       \
    X(dirty, "dirty_keys", false, "Keys written since they last compared equal.")        \
    X(findings, "findings_total", true, "Keys found unequal without a mark.")            \
    X(repairs, "repairs_total", true, "States applied by the drain.")                    \
    X(holds, "holds_total", true, "Holds begun.")                                        \
    X(holds_undone, "holds_undone_total", true, "Holds undone.")                         \
    X(hold_us, "hold_last_microseconds", false, "Length of the last hold.")              \
    X(hold_us_max, "hold_max_microseconds", false, "Length of the longest hold.")        \
    X(purged, "purged_keys_total", true, "Keys removed from the shard that lost them.")  \
    X(large_keys, "large_keys", false, "Keys above large_key that were met.")            \
    X(errors, "errors_total", true, "Failures that were retried.")                       \
    X(phase, "phase", false, "The phase, by its place in the state machine.")            \
    X(generation, "generation", false, "The generation.")                                \
    X(base, "base", false, "The base.")                                                  \
    X(rate, "keys_per_second", false, "Keys copied or verified in the last second.")     \
    X(eta_ms, "eta_milliseconds", false, "Estimated time until the copy is verified.")

struct progress {
#define X(field, name, is_counter, help) struct counter field;
    PROGRESS_NUMBERS(X)
#undef X
};

#endif
