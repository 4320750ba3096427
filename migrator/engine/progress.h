/* The numbers of one migration: written by its thread, read by the admin endpoint. Counters with
 * one writer; no locks. */
#ifndef MIGRATOR_ENGINE_PROGRESS_H
#define MIGRATOR_ENGINE_PROGRESS_H

#include "lib/metrics/counter.h"

/* Metrics have seconds, whatever the field has. */
enum progress_kind {
    PROGRESS_COUNTER,
    PROGRESS_GAUGE,
    PROGRESS_MICROSECONDS,
    PROGRESS_MILLISECONDS
};

/* X(field, metric name without "sluice_migration_", PROGRESS_<kind>, help)
 *
 * Recalled from the journal by a migrator that goes on with it. */
#define PROGRESS_RECALLED(X)                                                               \
    X(keys_total, "keys", GAUGE, "Keys of the migration's slots, estimated or counted.")   \
    X(keys_copied, "keys_copied_total", COUNTER, "Keys moved by the backfill.")            \
    X(bytes_copied, "bytes_copied_total", COUNTER, "Payload bytes moved by the backfill.") \
    X(keys_verified, "keys_verified_total", COUNTER, "Keys compared on both shards.")      \
    X(findings, "findings_total", COUNTER, "Keys found unequal without a mark.")           \
    X(repairs, "repairs_total", COUNTER, "States applied by the drain.")                   \
    X(holds, "holds_total", COUNTER, "Holds begun.")                                       \
    X(holds_undone, "holds_undone_total", COUNTER, "Holds undone.")                        \
    X(hold_us, "hold_last_seconds", MICROSECONDS, "Length of the last hold.")              \
    X(hold_us_max, "hold_max_seconds", MICROSECONDS, "Length of the longest hold.")        \
    X(large_keys, "large_keys", GAUGE, "Keys above large_key that were met.")              \
    X(purged, "purged_keys_total", COUNTER, "Keys removed from the shard that lost them.")

#define PROGRESS_NUMBERS(X)                                                          \
    PROGRESS_RECALLED(X)                                                             \
    X(dirty, "dirty_keys", GAUGE, "Keys written since they last compared equal.")    \
    X(errors, "errors_total", COUNTER, "Failures that were retried.")                \
    X(generation, "generation", GAUGE, "The generation.")                            \
    X(base, "base", GAUGE, "The base.")                                              \
    X(rate, "keys_per_second", GAUGE, "Keys copied or verified in the last second.") \
    X(eta_ms, "eta_seconds", MILLISECONDS, "Estimated time until the copy is verified.")

struct progress {
#define X(field, name, kind, help) struct counter field;
    PROGRESS_NUMBERS(X)
#undef X
    struct counter phase; /* an enum phase */
};

#endif
