/* A soak: migrations back and forth under load for as long as one likes, without faults. After each
 * one the memory and the descriptors of every program are sampled; they must not grow, no matter
 * how many migrations there were, and nothing but the fence may be left on the shards.
 *
 * All judges are at work: the bank over the whole time; the histories in windows of some
 * migrations, so that the soak's own memory stays bounded, too; the comparison of the shards
 * between two windows. Main thread only; fails the test when it cannot go on. */
#ifndef TESTS_SUPPORT_CHAOS_SOAK_H
#define TESTS_SUPPORT_CHAOS_SOAK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/support/chaos/traffic.h"

struct soak_options {
    uint64_t seed;
    uint64_t duration_ms;
    unsigned clients, rate; /* of the traffic; the bank comes on top */
};

extern const struct soak_options soak_defaults;

struct soak_result {
    struct traffic_result traffic; /* all windows together */
    uint64_t bank_operations, bank_errors;
    unsigned migrations, finalized, rolled_back, aborted;
    unsigned windows, compared_badly;
    unsigned metadata_left; /* keys that were found after a migration had ended */
    unsigned growing;       /* series that grow */
    bool has_samples;       /* enough of them to say so */
};

/* Prints a line for each migration, and the table of all series at the end. */
void soak_run(const struct soak_options *options, struct soak_result *result, FILE *out);
bool soak_is_well(const struct soak_result *result);

#endif
