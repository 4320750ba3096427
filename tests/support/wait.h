/* Waiting for a condition with a deadline: what tests do instead of sleeping. Any thread. */
#ifndef TESTS_SUPPORT_WAIT_H
#define TESTS_SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

/* How often a condition is looked at. */
#define WAIT_POLL_MS 2

static inline uint64_t deadline_after_ms(uint64_t ms)
{
    return clock_now_us() + ms * 1000;
}

static inline bool deadline_is_over(uint64_t deadline_us)
{
    return clock_now_us() >= deadline_us;
}

/* Fails the test, saying the condition, when it does not become true in time. Needs cmocka.h. */
#define WAIT_UNTIL(condition, ms)                                                         \
    do {                                                                                  \
        uint64_t wait_deadline_us = deadline_after_ms(ms);                                \
        while (!(condition)) {                                                            \
            if (deadline_is_over(wait_deadline_us)) {                                     \
                fail_msg("not within %llu ms: %s", (unsigned long long)(ms), #condition); \
            }                                                                             \
            clock_sleep_ms(WAIT_POLL_MS);                                                 \
        }                                                                                 \
    } while (0)

#endif
