/* What a shard that evicts does to a migration: a key that was verified may be gone, and all begins
 * anew. */
#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "migrator/engine/engine.h"
#include "migrator/engine/transition.h"

/* Between two beginnings, doubled each time in a row. */
#define AGAIN_US      UINT64_C(1000000)
#define AGAIN_DOUBLES 6u
#define LOOK_AGAIN_MS 100

/* While the shard is full the next base lasts no longer than the last: each costs both shards, and
 * every proxy an epoch, the journal its records, and a client's SCAN begins anew. */
static bool is_too_soon(struct eviction *eviction)
{
    uint64_t now_us = clock_now_us();
    if (now_us < eviction->not_before_us) {
        return true;
    }
    if (now_us - eviction->not_before_us > AGAIN_US << AGAIN_DOUBLES) {
        eviction->in_a_row = 0;
    }
    unsigned doubles = eviction->in_a_row < AGAIN_DOUBLES ? eviction->in_a_row : AGAIN_DOUBLES;
    eviction->not_before_us = now_us + (AGAIN_US << doubles);
    eviction->in_a_row++;
    return false;
}

enum step_result engine_begin_after_eviction(struct engine *engine, enum side side)
{
    struct error text;
    if (is_too_soon(&engine->eviction)) {
        return engine_wait(engine, LOOK_AGAIN_MS);
    }
    (void)error_set(
        &text,
        "shard \"%s\" has evicted keys, and what was verified before counts no more: give "
        "it more maxmemory, or maxmemory-policy noeviction, while slots move",
        engine->view.shards[side].name);
    ENGINE_NOTE(engine, "error", "{s:s}", "text", text.text);
    return engine_new_base(engine, side, text.text);
}

bool engine_evicted_keys(struct engine *engine, enum side side, int64_t *evicted, struct error *err)
{
    char text[32];
    if (!shard_info(engine->links[side], "stats", "evicted_keys", text, sizeof(text), err)) {
        return false;
    }
    if (!number_parse_i64(slice_of(text), evicted)) {
        return error_set(err, "%s: evicted_keys is \"%s\"", shard_address(engine->links[side]),
                         text);
    }
    return true;
}

bool engine_nothing_was_evicted(struct engine *engine, enum step_result *result)
{
    const struct recollection *memory = &engine->memory;
    int64_t evicted = 0;
    struct error err;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!engine_evicted_keys(engine, side, &evicted, &err)) {
            *result = engine_failed(engine, side, FENCE_FAILED, &err);
            return false;
        }
        if (memory->base == engine->view.migration.base && memory->evicted[side] != evicted) {
            *result = engine_begin_after_eviction(engine, side);
            return false;
        }
    }
    return true;
}
