/* The clocks of the two shards. A key with a time to live is gone on each shard by that shard's own
 * clock, so they may differ by no more than max_skew: before anything is copied, and again before
 * each hold, for a clock can be set at any time. */
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "migrator/phase/phase_internal.h"

/* A round trip says as much about the clock as it is short: a longer one is tried again, for who
 * had no core meanwhile would blame the clock. */
#define TRIES   5u
#define NEAR_MS UINT64_C(20)

struct offset {
    int64_t ms;       /* the shard's clock minus ours, by the middle of the round trip */
    uint64_t half_ms; /* of the round trip: by so much it may be wrong */
};

static bool measure(struct engine *engine, enum side side, struct offset *offset, struct error *err)
{
    uint64_t seconds = 0;
    uint64_t micros = 0;
    uint64_t start_us = clock_now_us();
    uint64_t wall_ms = clock_wall_ms();
    struct shard_reply *reply = shard_commandf(engine->links[side], err, "TIME");
    if (reply == NULL) {
        return false;
    }
    offset->half_ms = (clock_now_us() - start_us) / 2000;
    bool ok = number_parse_u64(shard_reply_text(shard_reply_at(reply, 0)), &seconds) &&
              number_parse_u64(shard_reply_text(shard_reply_at(reply, 1)), &micros);
    offset->ms = (int64_t)(seconds * 1000 + micros / 1000) - (int64_t)(wall_ms + offset->half_ms);
    shard_reply_free(reply);
    return ok ||
           error_set(err, "shard \"%s\" does not tell its TIME", engine->view.shards[side].name);
}

/* The best of some. */
static bool clock_offset(struct engine *engine, enum side side, int64_t *offset_ms,
                         struct error *err)
{
    struct offset best = {.half_ms = UINT64_MAX};
    for (unsigned i = 0; i < TRIES && best.half_ms > NEAR_MS; i++) {
        struct offset offset;
        if (!measure(engine, side, &offset, err)) {
            return false;
        }
        best = offset.half_ms < best.half_ms ? offset : best;
    }
    *offset_ms = best.ms;
    return true;
}

bool phase_measure_clocks(struct engine *engine, struct clock_skew *skew, struct error *err)
{
    int64_t offsets[SIDE_COUNT];
    *skew = (struct clock_skew){.failed = SIDE_COUNT};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!clock_offset(engine, side, &offsets[side], err)) {
            skew->failed = side;
            return false;
        }
    }
    skew->target_ahead_ms = offsets[SIDE_TARGET] - offsets[SIDE_SOURCE];
    int64_t apart_ms = skew->target_ahead_ms < 0 ? -skew->target_ahead_ms : skew->target_ahead_ms;
    uint64_t max_ms = engine->view.migration.options.max_skew_ms;
    if ((uint64_t)apart_ms <= max_ms) {
        return true;
    }
    return error_set(err,
                     "the clock of shard \"%s\" is %" PRId64 " ms %s that of shard \"%s\", "
                     "max-skew is %" PRIu64 " ms: keys with a time to live would expire at "
                     "different times; set the clocks right",
                     engine->view.shards[SIDE_TARGET].name, apart_ms,
                     skew->target_ahead_ms < 0 ? "behind" : "ahead of",
                     engine->view.shards[SIDE_SOURCE].name, max_ms);
}

bool phase_clocks_agree(struct engine *engine, uint64_t age_max_us, enum step_result *result)
{
    struct clock_skew skew;
    struct error err;
    uint64_t now_us = clock_now_us();
    if (engine->clocks_agreed_us != 0 && now_us - engine->clocks_agreed_us < age_max_us) {
        return true;
    }
    engine->clocks_agreed_us = 0;
    if (!phase_measure_clocks(engine, &skew, &err)) {
        *result = skew.failed < SIDE_COUNT ? engine_failed(engine, skew.failed, FENCE_FAILED, &err)
                                           : engine_retry(engine, &err);
        return false;
    }
    engine->clocks_agreed_us = now_us;
    return true;
}
