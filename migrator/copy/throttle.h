/* A token bucket for the backfill and the verification: so many keys and so many bytes a second.
 * The clock is the caller's, so that it can be tested. Pure; one thread. */
#ifndef MIGRATOR_COPY_THROTTLE_H
#define MIGRATOR_COPY_THROTTLE_H

#include <stdint.h>

struct throttle {
    uint64_t keys_per_second;  /* 0: no limit */
    uint64_t bytes_per_second; /* 0: no limit */
    uint64_t started_us;       /* when the present debt was empty */
    uint64_t keys;             /* taken since then */
    uint64_t bytes;
};

void throttle_init(struct throttle *throttle, uint64_t keys_per_second, uint64_t bytes_per_second);

/* Accounts for what is about to be moved and returns for how many microseconds to wait after it. A
 * batch is never cut: one that is larger than a second's share waits as long as it deserves. Time
 * that was not used is forgotten but for THROTTLE_BURST_US, so a pause gives no flood. */
#define THROTTLE_BURST_US UINT64_C(100000)
uint64_t throttle_take(struct throttle *throttle, uint64_t now_us, uint64_t keys, uint64_t bytes);

#endif
