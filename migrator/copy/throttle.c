#include "migrator/copy/throttle.h"

#define SECOND_US UINT64_C(1000000)

void throttle_init(struct throttle *throttle, uint64_t keys_per_second, uint64_t bytes_per_second)
{
    *throttle =
        (struct throttle){.keys_per_second = keys_per_second, .bytes_per_second = bytes_per_second};
}

/* How long so much takes at a rate, which may be "no limit". */
static uint64_t time_for(uint64_t amount, uint64_t per_second)
{
    if (per_second == 0) {
        return 0;
    }
    return amount / per_second * SECOND_US + amount % per_second * SECOND_US / per_second;
}

static uint64_t debt_us(const struct throttle *throttle)
{
    uint64_t by_keys = time_for(throttle->keys, throttle->keys_per_second);
    uint64_t by_bytes = time_for(throttle->bytes, throttle->bytes_per_second);
    return by_keys > by_bytes ? by_keys : by_bytes;
}

uint64_t throttle_take(struct throttle *throttle, uint64_t now_us, uint64_t keys, uint64_t bytes)
{
    uint64_t paid_until = throttle->started_us + debt_us(throttle);
    if (paid_until + THROTTLE_BURST_US < now_us) {
        throttle->started_us = now_us > THROTTLE_BURST_US ? now_us - THROTTLE_BURST_US : 0;
        throttle->keys = 0;
        throttle->bytes = 0;
    }
    throttle->keys += keys;
    throttle->bytes += bytes;
    paid_until = throttle->started_us + debt_us(throttle);
    return paid_until > now_us ? paid_until - now_us : 0;
}
