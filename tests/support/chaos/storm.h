/* A storm over a whole cluster: clients, an operator who never rests, and faults at random times
 * from a seed, one after the other and sometimes two at once. Then calm, and judgement.
 *
 * The seed decides what happens and when, not how threads and processes interleave: the same seed
 * makes a similar run, not the same. Main thread only; fails the test when it cannot go on. */
#ifndef TESTS_SUPPORT_CHAOS_STORM_H
#define TESTS_SUPPORT_CHAOS_STORM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/support/chaos/mover.h"
#include "tests/support/chaos/traffic.h"

#define STORM_FAULTS_MAX 32

struct storm_options {
    uint64_t seed;
    uint64_t duration_ms;
    const char *faults; /* names between commas; null: all */
    unsigned proxies, shards, clients, rate;
    bool has_bank;
    const char *const *proxy_environment; /* for switching rules off */
    const char *const *migrator_environment;
};

extern const struct storm_options storm_defaults;

/* What was measured of one kind of fault. */
struct storm_line {
    unsigned times;
    uint64_t refused, unknown;
    uint64_t p99_us_max; /* of what was answered while it lasted */
    uint64_t
        recovery_us_max; /* from its end until clients met no more errors and no slow answers */
};

struct storm_result {
    struct storm_line lines[STORM_FAULTS_MAX]; /* as the table of faults */
    struct traffic_result traffic;
    struct mover_result mover;
    unsigned crashes; /* programs that ended by themselves */
    uint64_t bank_operations;
    uint64_t calm_p99_us;
    uint64_t hold_us_max;
    bool compares_well;
};

/* The bank's own judgement fails the test. */
void storm_run(const struct storm_options *options, struct storm_result *result);
/* No checker has found anything, and all came to an end. */
bool storm_is_well(const struct storm_result *result);
void storm_print(const struct storm_result *result, FILE *out);
/* As Markdown, a line for each kind of fault. */
void storm_print_table(const struct storm_result *result, FILE *out);

#endif
