#include "lib/metrics/histogram.h"

#include <math.h>

#include "lib/base/assert.h"

#define SUB_BUCKETS (1U << HISTOGRAM_SUB_BITS)

uint64_t histogram_bucket_low(unsigned bucket)
{
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    if (bucket < 2 * SUB_BUCKETS) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return (uint64_t)(SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
}

uint64_t histogram_bucket_high(unsigned bucket)
{
    return bucket + 1 < HISTOGRAM_BUCKETS ? histogram_bucket_low(bucket + 1) - 1 : HISTOGRAM_MAX_US;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counter_add(&into->buckets[i], counter_read(&from->buckets[i]));
    }
    counter_add(&into->sum_us, counter_read(&from->sum_us));
    uint64_t max_us = counter_read(&from->max_us);
    if (max_us > counter_read(&into->max_us)) {
        counter_set(&into->max_us, max_us);
    }
}

void histogram_clear(struct histogram *histogram)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counter_set(&histogram->buckets[i], 0);
    }
    counter_set(&histogram->sum_us, 0);
    counter_set(&histogram->max_us, 0);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += counter_read(&histogram->buckets[i]);
    }
    return count;
}

uint64_t histogram_sum_us(const struct histogram *histogram)
{
    return counter_read(&histogram->sum_us);
}

uint64_t histogram_max_us(const struct histogram *histogram)
{
    return counter_read(&histogram->max_us);
}

uint64_t histogram_count_within(const struct histogram *histogram, uint64_t us)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_bucket_high(i) <= us; i++) {
        count += counter_read(&histogram->buckets[i]);
    }
    return count;
}

/* The middle of the bucket. What the last bucket holds may be far above it: the largest then. */
static uint64_t bucket_answer(unsigned bucket, uint64_t max_us)
{
    uint64_t low = histogram_bucket_low(bucket);
    uint64_t middle = low + (histogram_bucket_high(bucket) - low) / 2;
    return bucket + 1 < HISTOGRAM_BUCKETS && middle < max_us ? middle : max_us;
}

uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile)
{
    ASSERT(quantile >= 0.0 && quantile <= 1.0);
    uint64_t count = histogram_count(histogram);
    uint64_t rank = (uint64_t)ceil(quantile * (double)count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && rank < count; i++) {
        seen += counter_read(&histogram->buckets[i]);
        if (seen > 0 && seen >= rank) {
            return bucket_answer(i, histogram_max_us(histogram));
        }
    }
    return histogram_max_us(histogram);
}
