#include "migrator/copy/pair.h"

#include "lib/base/clock.h"

#define PIECE_MS UINT64_C(50)
#define SPARING  8u

bool pair_has_key(const struct copy_pair *pair, struct slice key)
{
    return !metadata_is_name(key) &&
           slot_set_has(pair->slots, slot_of_key(key, pair->slots->nslots));
}

enum copy_status pair_check(struct copy_pair *pair)
{
    return pair->hooks->may_go_on(pair->hooks->context) ? COPY_OK : COPY_INTERRUPTED;
}

enum copy_status pair_fail(struct copy_pair *pair, bool on_copy, enum fence_outcome outcome,
                           const struct error *why)
{
    pair->failure = (struct copy_failure){.outcome = outcome, .on_copy = on_copy, .why = *why};
    return COPY_FAILED;
}

struct copy_outcome pair_keep(const struct copy_pair *pair, enum copy_status first)
{
    return (struct copy_outcome){.status = first, .failure = pair->failure};
}

enum copy_status pair_first(struct copy_pair *pair, const struct copy_outcome *first,
                            enum copy_status second)
{
    if (first->status == COPY_OK) {
        return second;
    }
    pair->failure = first->failure;
    return first->status;
}

struct copy_side *pair_side(struct copy_pair *pair, bool on_copy)
{
    return on_copy ? &pair->copy : &pair->authority;
}

struct shard_reply *pair_take(struct copy_pair *pair, bool on_copy, const char *what)
{
    struct shard_link *link = pair_side(pair, on_copy)->link;
    struct error err = {""};
    struct shard_reply *reply = shard_take(link, &err);
    if (reply == NULL) {
        (void)pair_fail(pair, on_copy, FENCE_FAILED, &err);
        return NULL;
    }
    if (shard_reply_type(reply) != REPLY_ERROR) {
        return reply;
    }
    struct slice text = shard_reply_text(reply);
    (void)error_set(&err, "%s: %s: %.*s", shard_address(link), what, (int)text.len, text.data);
    (void)pair_fail(pair, on_copy, fence_outcome_of(text), &err);
    shard_reply_free(reply);
    return NULL;
}

enum copy_status pair_flush(struct copy_pair *pair, bool on_copy)
{
    struct error err;
    if (shard_flush(pair_side(pair, on_copy)->link, &err)) {
        return COPY_OK;
    }
    return pair_fail(pair, on_copy, FENCE_FAILED, &err);
}

unsigned pair_step(const struct copy_pair *pair, unsigned most)
{
    return pair->pace != NULL ? most / SPARING : most;
}

bool pair_has_room(const struct copy_pair *pair)
{
    return pair->hooks->has_room == NULL || pair->hooks->has_room(pair->hooks->context);
}

enum copy_status pair_await_room(struct copy_pair *pair)
{
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && !pair_has_room(pair)) {
        clock_sleep_ms(PIECE_MS);
        status = pair_check(pair);
    }
    return status;
}

static uint64_t rest_us(struct copy_pair *pair, uint64_t now_us)
{
    uint64_t latency_us = 0;
    if (pair->pace == NULL) {
        return 0;
    }
    if (probe_read(pair->probe, &latency_us)) {
        pace_learn(pair->pace, latency_us);
    }
    uint64_t since_us = pair->working_since_us;
    return pace_rest_us(pair->pace, since_us != 0 ? now_us - since_us : 0);
}

static enum copy_status wait_for(struct copy_pair *pair, uint64_t now_us, uint64_t wait_us)
{
    uint64_t until_us = now_us + wait_us;
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && wait_us >= 1000) {
        clock_sleep_ms(wait_us / 1000 < PIECE_MS ? wait_us / 1000 : PIECE_MS);
        status = pair_check(pair);
        now_us = clock_now_us();
        wait_us = until_us > now_us ? until_us - now_us : 0;
    }
    pair->working_since_us = now_us;
    return status;
}

enum copy_status pair_pay(struct copy_pair *pair, uint64_t keys, uint64_t bytes)
{
    uint64_t now_us = clock_now_us();
    uint64_t owed_us = throttle_take(pair->throttle, now_us, keys, bytes);
    uint64_t wait_us = rest_us(pair, now_us);
    return wait_for(pair, now_us, wait_us > owed_us ? wait_us : owed_us);
}

enum copy_status pair_rest(struct copy_pair *pair)
{
    uint64_t now_us = clock_now_us();
    return wait_for(pair, now_us, rest_us(pair, now_us));
}
