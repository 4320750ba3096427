#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "migrator/phase/phase_internal.h"

/* The marks must have stayed below cutover_keys for so long. */
#define QUIET_US         UINT64_C(50000)
#define BACK_OFF_US      UINT64_C(200000)
#define BACK_OFF_DOUBLES 8u
/* Passes over the marks just before a hold: what they leave, the hold finds. */
#define LAST_PASSES_MAX 3u
/* One new number and its repair are nothing special in a hold. */
#define HOLD_TROUBLED_PASSES_MAX 3u

bool phase_is_quiet(struct engine *engine, bool *is_quiet, enum step_result *result)
{
    struct drain drain = {.remaining = 0};
    uint64_t limit = engine->view.migration.options.cutover_keys;
    limit = limit > 0 ? limit : 1;
    *is_quiet = false;
    do {
        if (!phase_drain(engine, &drain, result)) {
            engine->quiet_since_us = 0;
            return false;
        }
    } while (drain.remaining >= limit && drain.troubled == 0);
    /* What cannot be repaired now could not be in a hold either: it would be begun, and undone, for
     * ever. */
    if (drain.troubled > 0) {
        engine->quiet_since_us = 0;
        return true;
    }
    uint64_t now_us = clock_now_us();
    if (engine->quiet_since_us == 0) {
        engine->quiet_since_us = now_us;
    }
    *is_quiet = now_us - engine->quiet_since_us >= QUIET_US && now_us >= engine->hold_not_before_us;
    return true;
}

/* Journals, once, that the operator's request is being carried out: the CAS into the hold clears
 * it, and whoever dies in the hold, or before it has noted it, leaves nothing else of it. Before
 * that CAS. */
static bool remember_request(struct engine *engine, enum migration_request request,
                             enum step_result *result)
{
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

bool phase_prepare_hold(struct engine *engine, enum migration_request request, enum phase hold,
                        enum phase to, enum step_result *result)
{
    struct drain drain = {.remaining = 0};
    if (!phase_clocks_agree(engine, 0, result) ||
        !engine_roll_call(engine, view_authority(&engine->view), result) ||
        !remember_request(engine, request, result)) {
        return false;
    }
    engine_stage(engine, hold, to);
    /* Two syncs of the disk have passed, and clients have written. */
    for (unsigned i = 0; i < LAST_PASSES_MAX && (i == 0 || drain.remaining > 0); i++) {
        if (!phase_drain(engine, &drain, result)) {
            return false;
        }
    }
    return true;
}

void phase_hold_began(struct engine *engine)
{
    if (engine->hold_began_us != 0) {
        return;
    }
    engine->hold_began_us = clock_now_us();
    engine->hold_steps = (struct hold_steps){.barrier_us = 0};
    engine->hold_deadline_us =
        engine->hold_began_us + engine->view.migration.options.hold_max_ms * 1000;
    counter_add(&engine->progress->holds, 1);
}

static void back_off(struct engine *engine)
{
    unsigned doubles = engine->holds_undone_in_a_row;
    doubles = doubles < BACK_OFF_DOUBLES ? doubles : BACK_OFF_DOUBLES;
    engine->hold_not_before_us = clock_now_us() + (BACK_OFF_US << doubles);
    engine->holds_undone_in_a_row++;
    engine->quiet_since_us = 0;
    counter_add(&engine->progress->holds_undone, 1);
}

/* Milliseconds from the beginning of the hold; 0 for a step that was not reached. */
static double hold_ms(uint64_t at_us, uint64_t began_us)
{
    return at_us > began_us ? (double)(at_us - began_us) / 1000 : 0;
}

void phase_hold_ended(struct engine *engine, bool was_undone)
{
    if (engine->hold_began_us == 0) {
        return;
    }
    struct progress *progress = engine->progress;
    uint64_t began_us = engine->hold_began_us;
    uint64_t took_us = clock_now_us() - began_us;
    const struct hold_steps *steps = &engine->hold_steps;
    engine->hold_began_us = engine->hold_deadline_us = 0;
    counter_set(&progress->hold_us, took_us);
    if (took_us > counter_read(&progress->hold_us_max)) {
        counter_set(&progress->hold_us_max, took_us);
    }
    if (was_undone) {
        back_off(engine);
    } else {
        engine->holds_undone_in_a_row = 0;
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

/* The same step has a name in each direction. */
static void pass_either(const struct engine *engine, enum fail_step there, enum fail_step back)
{
    enum fail_step step = engine->view.migration.phase == PHASE_HOLD ? there : back;
    (void)step; /* of no use without fail points */
    PASS(step);
}

bool phase_silence(struct engine *engine, enum step_result *result)
{
    struct drain drain = {.remaining = 0};
    unsigned troubled_passes = 0;
    /* Model: NOHOLDBARRIER. */
    if (!engine_barrier_busy(engine, view_authority(&engine->view), drain_meanwhile, result)) {
        return false;
    }
    engine->hold_steps.barrier_us = clock_now_us();
    pass_either(engine, STEP_HOLD_AFTER_BARRIER, STEP_HOLD_BACK_AFTER_BARRIER);
    do {
        if (!phase_drain(engine, &drain, result)) {
            return false;
        }
        troubled_passes += drain.troubled > 0 ? 1 : 0;
        if (troubled_passes > HOLD_TROUBLED_PASSES_MAX) {
            *result =
                STEP_ADVANCED; /* the hold is undone, and the drains before the next one wait */
            return false;
        }
    } while (drain.remaining > 0);
    engine->hold_steps.drain_us = clock_now_us();
    pass_either(engine, STEP_HOLD_AFTER_DRAIN, STEP_HOLD_BACK_AFTER_DRAIN);
    return true;
}

bool phase_copy_becomes_owner(struct engine *engine, enum step_result *result)
{
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
    pass_either(engine, STEP_HOLD_AFTER_SOURCE, STEP_HOLD_BACK_AFTER_TARGET);
    pass_either(engine, STEP_HOLD_BEFORE_OWNER, STEP_HOLD_BACK_BEFORE_OWNER);
    /* Model: NOFLIP. */
    if (!phase_guard(engine, copy, GUARD_OWNER, names.ver, memory->evicted[copy], result)) {
        return false;
    }
    engine->hold_steps.guards_us = clock_now_us();
    pass_either(engine, STEP_HOLD_AFTER_OWNER, STEP_HOLD_BACK_AFTER_OWNER);
    return true;
}
