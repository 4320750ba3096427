/* hold and hold-back: the proxies queue everything for these slots; the last marks are drained and
 * the copy becomes the owner. Clients wait, so whatever goes wrong undoes the hold at once. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "migrator/phase/phase_internal.h"

#define BACK_OFF_US      UINT64_C(200000)
#define BACK_OFF_DOUBLES 8u
/* One new number and its repair are nothing special in a hold. */
#define TROUBLED_PASSES_MAX 3u

/* --- its beginning and its end ---------------------------------------------------------------- */

void phase_hold_began(struct engine *engine)
{
    if (engine->hold.began_us != 0) {
        return;
    }
    engine->hold.began_us = clock_now_us();
    engine->hold.steps = (struct hold_steps){.barrier_us = 0};
    engine->hold.deadline_us =
        engine->hold.began_us + engine->view.migration.options.hold_max_ms * 1000;
    counter_add(&engine->progress->holds, 1);
}

static void back_off(struct engine *engine)
{
    unsigned doubles = engine->hold.undone_in_a_row;
    doubles = doubles < BACK_OFF_DOUBLES ? doubles : BACK_OFF_DOUBLES;
    engine->hold.not_before_us = clock_now_us() + (BACK_OFF_US << doubles);
    engine->hold.undone_in_a_row++;
    engine->hold.quiet_since_us = 0;
    counter_add(&engine->progress->holds_undone, 1);
}

/* Milliseconds from the beginning of the hold; 0 for a step that was not reached. */
static double hold_ms(uint64_t at_us, uint64_t began_us)
{
    return at_us > began_us ? (double)(at_us - began_us) / 1000 : 0;
}

void phase_hold_ended(struct engine *engine, bool was_undone)
{
    if (engine->hold.began_us == 0) {
        return;
    }
    struct progress *progress = engine->progress;
    uint64_t began_us = engine->hold.began_us;
    uint64_t took_us = clock_now_us() - began_us;
    const struct hold_steps *steps = &engine->hold.steps;
    engine->hold.began_us = engine->hold.deadline_us = 0;
    counter_set(&progress->hold_us, took_us);
    if (took_us > counter_read(&progress->hold_us_max)) {
        counter_set(&progress->hold_us_max, took_us);
    }
    if (was_undone) {
        back_off(engine);
    } else {
        engine->hold.undone_in_a_row = 0;
    }
    log_info("hold ended migration=m%llu ms=%.3f undone=%d", (unsigned long long)engine->id,
             (double)took_us / 1000, (int)was_undone);
    engine_note_phase(engine, true);
    engine_note_barrier(engine);
    ENGINE_NOTE(engine, "hold", "{s:f, s:b, s:f, s:f, s:f}", "ms", (double)took_us / 1000, "undone",
                (int)was_undone, "barrier_at_ms", hold_ms(steps->barrier_us, began_us),
                "drained_at_ms", hold_ms(steps->drain_us, began_us), "guarded_at_ms",
                hold_ms(steps->guards_us, began_us));
}

/* --- the crossing ----------------------------------------------------------------------------- */

/* While the last proxies let their requests end, the marks of the others are worked off. A failure
 * undoes the hold, and shows again, with its reason, in the phase before. */
static bool drain_meanwhile(void *context)
{
    struct engine *engine = context;
    struct copy_pair pair;
    struct drain drain = {.remaining = 0};
    engine_pair(engine, &pair);
    enum copy_status status = drain_pass(&pair, &drain);
    if (status == COPY_FAILED) {
        /* Replies may be outstanding. */
        engine_disconnect(engine, SIDE_SOURCE);
        engine_disconnect(engine, SIDE_TARGET);
    }
    return status == COPY_OK;
}

/* Barrier on the authority, then drains until only the sentinel is left. */
static bool silence(struct engine *engine, enum step_result *result)
{
    const struct crossing *crossing = phase_crossing(engine);
    struct drain drain = {.remaining = 0};
    unsigned troubled_passes = 0;
    /* Model: NOHOLDBARRIER. */
    if (!engine_barrier_busy(engine, view_authority(&engine->view), drain_meanwhile, result)) {
        return false;
    }
    engine->hold.steps.barrier_us = clock_now_us();
    phase_pass(crossing, CROSSING_AFTER_BARRIER);
    do {
        if (!phase_drain(engine, &drain, result)) {
            return false;
        }
        troubled_passes += drain.troubled > 0 ? 1 : 0;
        if (troubled_passes > TROUBLED_PASSES_MAX) {
            *result =
                STEP_ADVANCED; /* the hold is undone, and the drains before the next one wait */
            return false;
        }
    } while (drain.remaining > 0);
    engine->hold.steps.drain_us = clock_now_us();
    phase_pass(crossing, CROSSING_AFTER_DRAIN);
    return true;
}

/* Checks the authority, then makes the copy an owner. */
static bool copy_becomes_owner(struct engine *engine, enum step_result *result)
{
    const struct crossing *crossing = phase_crossing(engine);
    enum side authority = view_authority(&engine->view);
    enum side copy = side_other(authority);
    const struct recollection *memory = &engine->memory;
    struct metadata_names names;
    if (memory->base != engine->view.migration.base) {
        *result = engine_new_base(engine, copy, "the journal has no record of this base");
        return false;
    }
    engine_names(engine, phase_direction(engine->view.migration.phase), &names);
    if (!phase_guard(engine, authority, GUARD_OWNER, NULL, memory->evicted[authority], result)) {
        return false;
    }
    phase_pass(crossing, CROSSING_AFTER_CHECK);
    phase_pass(crossing, CROSSING_BEFORE_OWNER);
    /* Model: NOFLIP. */
    if (!phase_guard(engine, copy, GUARD_OWNER, names.ver, memory->evicted[copy], result)) {
        return false;
    }
    engine->hold.steps.guards_us = clock_now_us();
    phase_pass(crossing, CROSSING_AFTER_OWNER);
    return true;
}

bool phase_way_back_is_made(struct engine *engine, enum step_result *result)
{
    uint64_t base = engine->view.migration.base;
    struct metadata_names names;
    struct error err;
    if (view_authority(&engine->view) != SIDE_SOURCE || engine->hold.way_back_base == base) {
        return true; /* there is no way back from the way back */
    }
    engine_names(engine, DIRECTION_REVERSE, &names);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct guard_claim claim = engine_claim(engine, side);
        enum fence_outcome outcome =
            fence_make(engine->links[side], &claim, GUARD_OPEN, &names, side == SIDE_TARGET, &err);
        if (outcome != FENCE_OK) {
            *result = engine_failed(engine, side, outcome, &err);
            return false;
        }
    }
    engine->hold.way_back_base = base;
    PASS(STEP_REVERSE_AFTER_MADE);
    return true;
}

static bool cross(struct engine *engine, enum step_result *result)
{
    const struct crossing *crossing = phase_crossing(engine);
    bool was_done = false;
    phase_pass(crossing, CROSSING_BEFORE_BARRIER);
    if (!engine_connect_both(engine, result) || !silence(engine, result) ||
        !copy_becomes_owner(engine, result) || !phase_way_back_is_made(engine, result)) {
        return false;
    }
    phase_pass(crossing, CROSSING_BEFORE_END);
    *result = engine_enter(engine, crossing->leads_to, &was_done);
    phase_pass(crossing, CROSSING_AFTER_END);
    return was_done;
}

enum step_result phase_hold(struct engine *engine)
{
    const struct crossing *crossing = phase_crossing(engine);
    enum side authority = view_authority(&engine->view);
    enum step_result result = STEP_ADVANCED;
    phase_hold_began(engine);
    if (cross(engine, &result)) {
        phase_hold_ended(engine, false);
        ENGINE_NOTE(engine, "cutover", "{s:s, s:s}", "from", engine->view.shards[authority].name,
                    "to", engine->view.shards[side_other(authority)].name);
        return STEP_ADVANCED;
    }
    phase_pass(crossing, CROSSING_BEFORE_UNDO);
    /* Does nothing if the hold is over already: by us, by a proxy, by a new base. */
    bool was_undone = false;
    enum step_result undone = engine_enter(engine, crossing->kept_in, &was_undone);
    phase_pass(crossing, CROSSING_AFTER_UNDO);
    phase_hold_ended(engine, true);
    return undone == STEP_RETRY ? undone : result;
}
