#include "lib/base/clock.h"
#include "lib/topology/migration_progress.h"
#include "migrator/phase/phase_internal.h"

#define TROUBLED_MS UINT64_C(10)

/* --- making ----------------------------------------------------------------------------------- */

static bool set_made(struct engine *engine, struct topology *next, struct migration *migration,
                     uint64_t unused)
{
    (void)engine;
    (void)unused;
    migration_made(next, migration);
    return true;
}

static bool read_evicted(struct engine *engine, int64_t evicted[SIDE_COUNT],
                         enum step_result *result)
{
    struct error err;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!engine_evicted_keys(engine, side, &evicted[side], &err)) {
            *result = engine_failed(engine, side, FENCE_FAILED, &err);
            return false;
        }
    }
    return true;
}

/* The eviction counters as they are when the base begins are in the journal before anything is made
 * on a shard: a restarted migrator compares with these, not with later ones. */
static bool remember_evicted(struct engine *engine, enum step_result *result)
{
    int64_t evicted[SIDE_COUNT];
    uint64_t base = engine->view.migration.base;
    struct recollection *memory = &engine->memory;
    if (memory->base == base) {
        return engine_nothing_was_evicted(engine, result);
    }
    if (!read_evicted(engine, evicted, result)) {
        return false;
    }
    struct journal_place place = engine_place(engine);
    struct error err;
    if (!journal_append(engine->store, &place, &err, "base", "{s:I, s:I, s:I}", "base",
                        (journal_int)base, "evicted_source", (journal_int)evicted[SIDE_SOURCE],
                        "evicted_target", (journal_int)evicted[SIDE_TARGET])) {
        *result = engine_retry(engine, &err);
        return false;
    }
    /* Another migrator may have been first; then its counters are those of the base. */
    struct recollection noted;
    if (!journal_recall(engine->store, engine->id, &noted, &err)) {
        *result = engine_retry(engine, &err);
        return false;
    }
    if (noted.base != base) {
        *result = STEP_ADVANCED; /* a newer one has begun */
        return false;
    }
    memory->former_base = noted.former_base;
    memory->base = base;
    memory->evicted[SIDE_SOURCE] = noted.evicted[SIDE_SOURCE];
    memory->evicted[SIDE_TARGET] = noted.evicted[SIDE_TARGET];
    return true;
}

static bool make(struct engine *engine, enum side side, enum guard_state state, bool is_authority,
                 enum step_result *result)
{
    struct metadata_names names;
    struct guard_claim claim = engine_claim(engine, side);
    struct error err;
    engine_names(engine, phase_direction(engine->view.migration.phase), &names);
    enum fence_outcome outcome =
        fence_make(engine->links[side], &claim, state, &names, is_authority, &err);
    if (outcome == FENCE_OK) {
        return true;
    }
    *result = engine_failed(engine, side, outcome, &err);
    return false;
}

enum step_result phase_make_base(struct engine *engine)
{
    enum side authority = view_authority(&engine->view);
    enum side copy = side_other(authority);
    enum step_result result;
    if (!remember_evicted(engine, &result)) {
        return result;
    }
    PASS(STEP_BASE_BEFORE_COPY);
    if (!make(engine, copy, GUARD_OPEN, false, &result)) {
        return result;
    }
    PASS(STEP_BASE_AFTER_COPY);
    if (!make(engine, authority, GUARD_OWNER, true, &result)) {
        return result;
    }
    PASS(STEP_BASE_AFTER_AUTHORITY);
    result = engine_change(engine, set_made, 0, NULL);
    PASS(STEP_BASE_AFTER_MADE);
    return result;
}

/* --- backfill and verification ---------------------------------------------------------------- */

/* The walks belong to a base and a direction; those of another one are void. */
static void begin_walks(struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    enum direction direction = phase_direction(migration->phase);
    if (engine->walks.base == migration->base && engine->walks.direction == direction) {
        return;
    }
    if (engine->walks.has_verifier) {
        verifier_fini(&engine->walks.verifier);
    }
    engine->walks.base = migration->base;
    engine->walks.direction = direction;
    scanner_init(&engine->walks.backfill);
    verifier_init(&engine->walks.verifier, migration->slots.nslots);
    engine->walks.has_verifier = true;
    engine->walks.backfill_us = engine->walks.verify_us = 0;
    counter_set(&engine->progress->keys_copied, 0);
    counter_set(&engine->progress->bytes_copied, 0);
    counter_set(&engine->progress->keys_verified, 0);
}

/* By the operator: then the time says what was allowed. */
static bool is_throttled(const struct engine *engine)
{
    return engine->throttle.keys_per_second > 0 || engine->throttle.bytes_per_second > 0;
}

static bool backfill(struct engine *engine, struct copy_pair *pair, enum step_result *result)
{
    uint64_t base = engine->view.migration.base;
    if (engine->memory.backfilled == base) {
        return true;
    }
    uint64_t start_us = clock_now_us();
    enum copy_status status = copier_run(pair, &engine->walks.backfill);
    engine->walks.backfill_us += clock_now_us() - start_us;
    if (status != COPY_OK) {
        *result = engine_copy_failed(engine, pair, status);
        return false;
    }
    uint64_t keys = counter_read(&engine->progress->keys_copied);
    counter_set(&engine->progress->keys_total, keys);
    ENGINE_NOTE(engine, "backfill", "{s:I, s:I, s:I, s:I, s:b}", "base", (journal_int)base, "keys",
                (journal_int)keys, "bytes",
                (journal_int)counter_read(&engine->progress->bytes_copied), "ms",
                (journal_int)(engine->walks.backfill_us / 1000), "throttled",
                (int)is_throttled(engine));
    engine->memory.backfilled = base;
    PASS(STEP_COPY_AFTER_BACKFILL);
    return true;
}

static void note_verified(struct engine *engine)
{
    const struct verifier *verifier = &engine->walks.verifier;
    struct journal_place place = engine_place(engine);
    struct error err;
    ENGINE_NOTE(
        engine, "verify", "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "base",
        (journal_int)engine->view.migration.base, "keys", (journal_int)verifier->keys, "equal",
        (journal_int)verifier->tally.keys, "moving", (journal_int)verifier->tally.moving,
        "keys_on_copy", (journal_int)verifier->tally.keys_on_copy, "bytes",
        (journal_int)verifier->bytes, "findings", (journal_int)verifier->findings, "ms",
        (journal_int)(engine->walks.verify_us / 1000), "throttled", (int)is_throttled(engine));
    if (!journal_tally(engine->store, &place, &verifier->tally, &engine->view.migration.slots,
                       &err)) {
        (void)engine_retry(engine, &err); /* The walk stands; the next one writes its own. */
    }
}

static bool verify(struct engine *engine, struct copy_pair *pair, enum step_result *result)
{
    uint64_t start_us = clock_now_us();
    enum copy_status status = verifier_run(&engine->walks.verifier, pair);
    engine->walks.verify_us += clock_now_us() - start_us;
    if (status != COPY_OK) {
        *result = engine_copy_failed(engine, pair, status);
        return false;
    }
    note_verified(engine);
    PASS(STEP_COPY_AFTER_VERIFY);
    return true;
}

bool phase_drain(struct engine *engine, struct drain *drain, enum step_result *result)
{
    struct copy_pair pair;
    engine_pair(engine, &pair);
    uint64_t repaired = drain->repaired;
    enum copy_status status = drain_pass(&pair, drain);
    if (status != COPY_OK) {
        *result = engine_copy_failed(engine, &pair, status);
        return false;
    }
    counter_set(&engine->progress->dirty, drain->remaining);
    if (drain->repaired > repaired) {
        counter_add(&engine->progress->repairs, drain->repaired - repaired);
        engine_publish_progress(engine, false);
    }
    return true;
}

/* What the walk left to the drain (keys that were being written, findings) is worked off before the
 * copy counts as verified. */
static bool drain_leftovers(struct engine *engine, enum step_result *result)
{
    struct drain drain = {.remaining = 0};
    do {
        if (!phase_drain(engine, &drain, result)) {
            return false;
        }
        if (drain.troubled > 0) {
            clock_sleep_ms(TROUBLED_MS);
        }
    } while (drain.remaining > engine->view.migration.options.cutover_keys);
    return true;
}

static bool set_verified(struct engine *engine, struct topology *next, struct migration *migration,
                         uint64_t unused)
{
    (void)engine;
    (void)unused;
    migration_verified(next, migration);
    return true;
}

enum step_result phase_catch_up(struct engine *engine)
{
    enum step_result result;
    struct copy_pair pair;
    begin_walks(engine);
    /* Before the first reading. Model: NODWBARRIER. */
    if (!engine_barrier(engine, view_authority(&engine->view), &result)) {
        return result;
    }
    PASS(STEP_COPY_AFTER_BARRIER);
    if (!phase_forget_former_base(engine, &result)) {
        return result;
    }
    engine_begin_pacing(engine);
    engine_pair(engine, &pair);
    if (!backfill(engine, &pair, &result) || !verify(engine, &pair, &result) ||
        !drain_leftovers(engine, &result)) {
        return result;
    }
    engine_end_pacing(engine);
    engine_publish_progress(engine, true);
    PASS(STEP_COPY_BEFORE_VERIFIED);
    result = engine_change(engine, set_verified, 0, NULL);
    PASS(STEP_COPY_AFTER_VERIFIED);
    return result;
}

static bool clear_request(struct engine *engine, struct topology *next, struct migration *migration,
                          uint64_t request)
{
    (void)engine;
    if (migration->request != (enum migration_request)request) {
        return false;
    }
    migration_request_done(next, migration);
    return true;
}

enum step_result phase_verify_again(struct engine *engine)
{
    enum step_result result;
    struct copy_pair pair;
    engine->walks.base = 0; /* a walk from the beginning */
    begin_walks(engine);
    engine_begin_pacing(engine);
    engine_pair(engine, &pair);
    bool is_done = verify(engine, &pair, &result) && drain_leftovers(engine, &result);
    engine_end_pacing(engine);
    if (!is_done) {
        return result;
    }
    return engine_change(engine, clear_request, REQUEST_VERIFY, NULL);
}
