/* A number that one thread writes and any thread may read: counters, and gauges that go both ways.
 *
 * One writer means no locked instruction: add is a plain load and store, which cannot tear. A
 * reader sees some recent value; two counters read one after the other need not fit together. */
#ifndef LIB_METRICS_COUNTER_H
#define LIB_METRICS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* Zeroed memory is a counter at 0. */
struct counter {
    _Atomic uint64_t value;
};

/* Any thread. */
static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* The next three: the writer's thread only. */
static inline void counter_set(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static inline void counter_add(struct counter *counter, uint64_t amount)
{
    counter_set(counter, counter_read(counter) + amount);
}

/* For gauges; the caller has added what it takes away. */
static inline void counter_subtract(struct counter *counter, uint64_t amount)
{
    counter_set(counter, counter_read(counter) - amount);
}

#endif
