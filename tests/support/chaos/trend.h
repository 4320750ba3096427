/* Does a series of samples grow? Compares the medians of its second and its last fifth: the first
 * is warming up, and a median does not mind a few peaks. Pure. */
#ifndef TESTS_SUPPORT_CHAOS_TREND_H
#define TESTS_SUPPORT_CHAOS_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_PARTS       5
#define TREND_SAMPLES_MIN 10 /* fewer say nothing */

/* How much more than the second fifth the last may be: a share of it, and so much on top. */
struct tolerance {
    unsigned percent;
    uint64_t margin;
};

struct trend {
    uint64_t medians[TREND_PARTS];
    uint64_t limit; /* what the last median may be */
    bool grows;
};

/* At least TREND_SAMPLES_MIN values, oldest first. */
struct trend trend_of(const uint64_t *values, size_t count, struct tolerance tolerance);

#endif
