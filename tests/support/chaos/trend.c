#include "tests/support/chaos/trend.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static uint64_t median_of(const uint64_t *values, size_t count)
{
    uint64_t *sorted = mem_alloc(count * sizeof(*sorted));
    memcpy(sorted, values, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_value);
    uint64_t median = sorted[count / 2];
    mem_free(sorted);
    return median;
}

struct trend trend_of(const uint64_t *values, size_t count, struct tolerance tolerance)
{
    struct trend trend = {.grows = false};
    ASSERT(count >= TREND_SAMPLES_MIN);
    for (size_t i = 0; i < TREND_PARTS; i++) {
        size_t from = count * i / TREND_PARTS, until = count * (i + 1) / TREND_PARTS;
        trend.medians[i] = median_of(values + from, until - from);
    }
    trend.limit = trend.medians[1] + trend.medians[1] * tolerance.percent / 100 + tolerance.margin;
    trend.grows = trend.medians[TREND_PARTS - 1] > trend.limit;
    return trend;
}
