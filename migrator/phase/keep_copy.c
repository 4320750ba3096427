/* dual-write and switched alike: one shard owns the slots, and the other's copy is made, filled,
 * compared and kept up, until the slots are held to cross over. */
#include "lib/base/clock.h"
#include "migrator/phase/phase_internal.h"

#define PAUSED_MS UINT64_C(1000)
/* Between two drains of the marks: on the way to a hold; and while no hold is wanted, when marks
 * may gather, for a drain of many costs the shards less for each, and a key written twice is
 * compared once. */
#define DRAIN_SOON_MS UINT64_C(10)
#define DRAIN_IDLE_MS UINT64_C(100)
/* The marks must have stayed below cutover_keys for so long. */
#define QUIET_US UINT64_C(50000)
/* Passes over the marks just before a hold: what they leave, the hold finds. */
#define LAST_PASSES_MAX 3u

/* After a hold was undone the generation is another one: without this no repair and no mirror
 * would be let in any more. Model: BACKSAMEGEN. */
static bool open_guards(struct engine *engine, enum step_result *result)
{
    const struct crossing *crossing = phase_crossing(engine);
    enum side authority = view_authority(&engine->view);
    phase_pass(crossing, CROSSING_BEFORE_OPEN);
    if (!phase_guard(engine, side_other(authority), GUARD_OPEN, NULL, -1, result) ||
        !phase_guard(engine, authority, GUARD_OWNER, NULL, -1, result)) {
        return false;
    }
    phase_pass(crossing, CROSSING_AFTER_OPEN);
    return true;
}

/* --- towards the hold ------------------------------------------------------------------------ */

/* Drains; then answers whether the slots may be held now: the marks have stayed below cutover_keys
 * for a while, and the last undone hold is long enough ago. */
static bool drain_until_quiet(struct engine *engine, bool *is_quiet, enum step_result *result)
{
    struct drain drain = {.remaining = 0};
    uint64_t limit = engine->view.migration.options.cutover_keys;
    limit = limit > 0 ? limit : 1;
    *is_quiet = false;
    do {
        if (!phase_drain(engine, &drain, result)) {
            engine->hold.quiet_since_us = 0;
            return false;
        }
    } while (drain.remaining >= limit && drain.troubled == 0);
    /* What cannot be repaired now could not be in a hold either: it would be begun, and undone, for
     * ever. */
    if (drain.troubled > 0) {
        engine->hold.quiet_since_us = 0;
        return true;
    }
    uint64_t now_us = clock_now_us();
    if (engine->hold.quiet_since_us == 0) {
        engine->hold.quiet_since_us = now_us;
    }
    *is_quiet =
        now_us - engine->hold.quiet_since_us >= QUIET_US && now_us >= engine->hold.not_before_us;
    return true;
}

/* Journals, once, that the operator's request is being carried out: the CAS into the hold clears
 * it, and whoever dies in the hold, or before it has noted it, leaves nothing else of it. Before
 * that CAS. */
static bool remember_request(struct engine *engine, enum step_result *result)
{
    enum migration_request request = phase_crossing(engine)->request;
    if (engine->view.migration.request != request || engine->memory.requested == request) {
        return true;
    }
    struct journal_place place = engine_place(engine);
    struct error err;
    if (!journal_append(engine->store, &place, &err, "begun", "{s:s}", "request",
                        migration_request_name(request))) {
        *result = engine_retry(engine, &err);
        return false;
    }
    engine->memory.requested = request;
    return true;
}

/* What can be done before clients wait, right before the CAS into the hold. */
static bool prepare_hold(struct engine *engine, enum step_result *result)
{
    const struct crossing *crossing = phase_crossing(engine);
    struct drain drain = {.remaining = 0};
    if (!phase_way_back_is_made(engine, result) || !engine_nothing_was_evicted(engine, result) ||
        !phase_clocks_agree(engine, 0, result) ||
        !engine_roll_call(engine, view_authority(&engine->view), result) ||
        !remember_request(engine, result)) {
        return false;
    }
    engine_stage(engine, crossing->hold, crossing->leads_to);
    /* Two syncs of the disk have passed, and clients have written. */
    for (unsigned i = 0; i < LAST_PASSES_MAX && (i == 0 || drain.remaining > 0); i++) {
        if (!phase_drain(engine, &drain, result)) {
            return false;
        }
    }
    return true;
}

static enum step_result towards_hold(struct engine *engine, bool is_wanted)
{
    const struct crossing *crossing = phase_crossing(engine);
    bool is_quiet = false;
    bool was_done = false;
    enum step_result result;
    engine_end_pacing(engine); /* goes on where another migrator has ended the copying */
    if (!drain_until_quiet(engine, &is_quiet, &result)) {
        return result;
    }
    if (!is_wanted) {
        return engine_wait(engine, DRAIN_IDLE_MS);
    }
    if (!is_quiet) {
        return engine_wait(engine, DRAIN_SOON_MS);
    }
    if (!prepare_hold(engine, &result)) {
        return result;
    }
    phase_pass(crossing, CROSSING_BEFORE_HOLD);
    result = engine_enter(engine, crossing->hold, &was_done);
    if (was_done) {
        phase_hold_began(engine);
    }
    phase_pass(crossing, CROSSING_AFTER_HOLD);
    return result;
}

/* --- the copy -------------------------------------------------------------------------------- */

/* Closes the target to those who do not know of the migration. The source was closed by the barrier
 * of the hold that led here. */
static bool raise_fence(struct engine *engine, enum step_result *result)
{
    if (view_authority(&engine->view) != SIDE_SOURCE) {
        return true;
    }
    if (!phase_raise_fence(engine, SIDE_TARGET, result)) {
        return false;
    }
    PASS(STEP_DUAL_WRITE_AFTER_RAISE);
    return true;
}

enum step_result phase_keep_copy(struct engine *engine, bool is_hold_wanted)
{
    const struct migration *migration = &engine->view.migration;
    enum step_result result;
    if (migration->is_paused) {
        return engine_wait(engine, PAUSED_MS);
    }
    if (!engine_connect_both(engine, &result)) {
        return result;
    }
    if (migration->made != migration->base) {
        return phase_make_base(engine);
    }
    if (!open_guards(engine, &result) || !raise_fence(engine, &result) ||
        !phase_clocks_agree(engine, CLOCKS_NOW_AND_THEN_US, &result)) {
        return result;
    }
    if (migration->verified != migration->base) {
        return phase_catch_up(engine);
    }
    if (migration->request == REQUEST_VERIFY) {
        return phase_verify_again(engine);
    }
    return towards_hold(engine, is_hold_wanted);
}
