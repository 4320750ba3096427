/* How often which latency was seen, in microseconds: a log-linear histogram of fixed size.
 *
 * Every power of two is cut into 16 buckets of equal width, values below 16 have one each:
 *
 *   0 1 2 ... 15 | 16 17 ... 31 | 32-33 34-35 ... 62-63 | 64-67 ... | ... up to 2^27 us (134 s)
 *
 * A bucket is at most 1/16 as wide as its lowest value, and a quantile answers the middle of its
 * bucket: it is off by at most 3.2 %. Larger values count in the last bucket. One thread writes;
 * any thread may read meanwhile, and then sees a histogram that may be short of a few records. */
#ifndef LIB_METRICS_HISTOGRAM_H
#define LIB_METRICS_HISTOGRAM_H

#include <stdint.h>

#include "lib/metrics/counter.h"

#define HISTOGRAM_SUB_BITS 4 /* 2^4 buckets to a power of two */
#define HISTOGRAM_TOP_BITS 27
#define HISTOGRAM_MAX_US   ((UINT64_C(1) << HISTOGRAM_TOP_BITS) - 1)
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_TOP_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* 3 kB. Zeroed memory is an empty histogram. Fields are for histogram_record only. */
struct histogram {
    struct counter buckets[HISTOGRAM_BUCKETS];
    struct counter sum_us;
    struct counter max_us;
};

/* The bucket that a value falls into. Pure. */
static inline unsigned histogram_bucket(uint64_t us)
{
    uint64_t value = us < HISTOGRAM_MAX_US ? us : HISTOGRAM_MAX_US;
    /* The lowest bit is set so that 0 has a highest bit, too; buckets below 2^4 do not look at it.
     */
    unsigned top = 63 ^ (unsigned)__builtin_clzll(value | 1); /* one instruction; as 63 - ... */
    unsigned shift = top > HISTOGRAM_SUB_BITS ? top - HISTOGRAM_SUB_BITS : 0;
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* The lowest and the highest value that fall into a bucket. Pure. */
uint64_t histogram_bucket_low(unsigned bucket);
uint64_t histogram_bucket_high(unsigned bucket);

/* This and the next: the writer's thread only; a few instructions. */
static inline void histogram_record_many(struct histogram *histogram, uint64_t us, uint64_t count)
{
    counter_add(&histogram->buckets[histogram_bucket(us)], count);
    counter_add(&histogram->sum_us, us * count);
    if (us > counter_read(&histogram->max_us)) {
        counter_set(&histogram->max_us, us);
    }
}

static inline void histogram_record(struct histogram *histogram, uint64_t us)
{
    histogram_record_many(histogram, us, 1);
}

/* Equal values that come one after the other, as where the clock is read once for many: they are
 * recorded together, at another value or by histogram_run_end, and are not seen by readers until
 * then. Zeroed but for the histogram it is empty. */
struct histogram_run {
    struct histogram *histogram;
    uint64_t us;
    uint64_t count;
};

static inline void histogram_run_end(struct histogram_run *run)
{
    if (run->count > 0) {
        histogram_record_many(run->histogram, run->us, run->count);
        run->count = 0;
    }
}

static inline void histogram_run_record(struct histogram_run *run, uint64_t us)
{
    if (us != run->us) {
        histogram_run_end(run);
        run->us = us;
    }
    run->count++;
}

/* Adds what `from` holds. The caller's thread is the writer of `into`. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Empties it; the writer's thread only. */
void histogram_clear(struct histogram *histogram);

uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_sum_us(const struct histogram *histogram);
uint64_t histogram_max_us(const struct histogram *histogram);
/* How many were at most `us`. A bucket that reaches above `us` is not counted: what is told can
 * be too pessimistic by one bucket, never too good. */
uint64_t histogram_count_within(const struct histogram *histogram, uint64_t us);
/* The value that a share `quantile` (0.0 .. 1.0) of all records do not exceed; 0 when empty.
 * Never above the largest value that was recorded. */
uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile);

#endif
