/* The engine's dealings with the two shards: links, claims, failures, barriers. */
#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/number.h"
#include "lib/cluster/takeover.h"
#include "migrator/engine/engine.h"
#include "migrator/engine/transition.h"

/* INFO costs the copy some 50 us. */
#define ROOM_PERIOD_US UINT64_C(50000)

void engine_disconnect(struct engine *engine, enum side side)
{
    shard_close(engine->links[side]);
    engine->links[side] = NULL;
}

static enum step_result take_over(struct engine *engine, enum side side)
{
    struct error err;
    engine_disconnect(engine, SIDE_SOURCE);
    engine_disconnect(engine, SIDE_TARGET);
    if (cluster_takeover(engine->store, engine->view.shards[side].name, false, &err) !=
        TAKEOVER_DONE) {
        return engine_retry(engine, &err);
    }
    return STEP_ADVANCED;
}

bool engine_connect(struct engine *engine, enum side side, enum step_result *result)
{
    const struct topology_shard *shard = &engine->view.shards[side];
    struct error err;
    struct shard_link *present = engine->links[side];
    if (present != NULL && !shard_is_broken(present) &&
        shard_identity_equal(shard_link_identity(present), &shard->identity)) {
        return true;
    }
    engine_disconnect(engine, side);
    struct shard_link *link =
        shard_open(shard, "migrator", option_number(&engine->settings->shard_timeout_ms), &err);
    if (link == NULL) {
        /* Its Sentinels may know of another process: else proxies alone would ask them. */
        *result =
            shard->sentinels[0] != '\0' ? take_over(engine, side) : engine_retry(engine, &err);
        return false;
    }
    if (!shard_identity_equal(shard_link_identity(link), &shard->identity)) {
        shard_close(link);
        (void)error_set(&err, "shard \"%s\" is another process than the topology names",
                        shard->name);
        *result = engine_failed(engine, side, FENCE_UNFENCED, &err);
        return false;
    }
    if (!shard_load_scripts(link, &err)) {
        shard_close(link);
        *result = engine_retry(engine, &err);
        return false;
    }
    engine->links[side] = link;
    return true;
}

bool engine_connect_both(struct engine *engine, enum step_result *result)
{
    return engine_connect(engine, SIDE_SOURCE, result) &&
           engine_connect(engine, SIDE_TARGET, result);
}

enum step_result engine_failed(struct engine *engine, enum side side, enum fence_outcome outcome,
                               const struct error *why)
{
    /* A copy of the message: it may be the engine's own. */
    struct error text = *why;
    switch (outcome) {
    case FENCE_UNFENCED:
        log_warn("shard is not the process of the topology migration=m%llu shard=%s why=\"%s\"",
                 (unsigned long long)engine->id, engine->view.shards[side].name, text.text);
        return take_over(engine, side);
    case FENCE_LOST:
        return strstr(text.text, "EVICTED") != NULL ? engine_begin_after_eviction(engine, side)
                                                    : engine_new_base(engine, side, text.text);
    case FENCE_STALE: {
        uint64_t epoch = 0;
        struct error err;
        bool is_known = store_epoch(engine->store, &epoch, &err);
        return is_known && epoch != engine->view.epoch ? STEP_ADVANCED
                                                       : engine_retry(engine, &text);
    }
    case FENCE_FAILED:
        /* Out of step or without our scripts: a new link has neither trouble. */
        engine_disconnect(engine, side);
        return engine_retry(engine, &text);
    case FENCE_OK:
    case FENCE_OOM:
    default:
        return engine_retry(engine, &text);
    }
}

enum step_result engine_copy_failed(struct engine *engine, const struct copy_pair *pair,
                                    enum copy_status status)
{
    if (status == COPY_INTERRUPTED) {
        return STEP_ADVANCED;
    }
    enum side authority =
        pair->authority.link == engine->links[SIDE_SOURCE] ? SIDE_SOURCE : SIDE_TARGET;
    enum side side = pair->failure.on_copy ? side_other(authority) : authority;
    /* Replies of the other side may be outstanding: both links start afresh. */
    enum fence_outcome outcome = pair->failure.outcome;
    struct error why = pair->failure.why;
    engine_disconnect(engine, SIDE_SOURCE);
    engine_disconnect(engine, SIDE_TARGET);
    return engine_failed(engine, side, outcome, &why);
}

void engine_names(const struct engine *engine, enum direction direction,
                  struct metadata_names *names)
{
    metadata_names_of(engine->id, engine->view.migration.base, direction, names);
}

struct guard_claim engine_claim(const struct engine *engine, enum side side)
{
    return (struct guard_claim){.identity = &engine->view.shards[side].identity,
                                .migration = engine->id,
                                .generation = engine->view.migration.generation};
}

void engine_pair(struct engine *engine, struct copy_pair *pair)
{
    const struct migration *migration = &engine->view.migration;
    enum side authority = view_authority(&engine->view);
    enum side copy = side_other(authority);
    *pair = (struct copy_pair){
        .authority = {.link = engine->links[authority],
                      .identity = &engine->view.shards[authority].identity},
        .copy = {.link = engine->links[copy], .identity = &engine->view.shards[copy].identity},
        .migration = migration->id,
        .generation = migration->generation,
        .slots = &migration->slots,
        .max_skew_ms = migration->options.max_skew_ms,
        .large_key_bytes = migration->options.large_key_bytes,
        .throttle = &engine->throttle,
        .habits = &engine->habits,
        .pace = engine->pacing.is_paced ? &engine->pacing.pace : NULL,
        .probe = engine->pacing.probe,
        .hooks = &engine->hooks};
    engine_names(engine, phase_direction(migration->phase), &pair->names);
}

static bool read_memory(struct engine *engine, enum side side, const char *field, uint64_t *bytes)
{
    char text[32];
    struct error err;
    return shard_info(engine->links[side], "memory", field, text, sizeof(text), &err) &&
           number_parse_u64(slice_of(text), bytes);
}

static void note_shortage(struct engine *engine, enum side side, uint64_t used, uint64_t maximum)
{
    struct error text;
    (void)error_set(&text,
                    "waits for memory on shard \"%s\": %llu of maxmemory's %llu bytes are in use, "
                    "copy-memory-limit is %llu percent",
                    engine->view.shards[side].name, (unsigned long long)used,
                    (unsigned long long)maximum,
                    (unsigned long long)option_number(&engine->settings->copy_memory_limit));
    engine_note_waiting(engine, text.text);
}

bool engine_copy_has_room(struct engine *engine)
{
    enum side copy = side_other(view_authority(&engine->view));
    uint64_t now_us = clock_now_us();
    uint64_t used = 0;
    uint64_t maximum = 0;
    /* In a hold clients wait; what is left to apply then is little. */
    if (phase_is_hold(engine->view.migration.phase)) {
        return true;
    }
    if (engine->room.asked_us != 0 && now_us - engine->room.asked_us < ROOM_PERIOD_US) {
        return !engine->room.is_short;
    }
    engine->room.asked_us = now_us;
    if (!read_memory(engine, copy, "used_memory", &used) ||
        !read_memory(engine, copy, "maxmemory", &maximum)) {
        return true; /* whoever uses the link next finds out what is wrong with it */
    }
    bool is_short = maximum > 0 && (double)used * 100 >
                                       (double)maximum * (double)option_number(
                                                             &engine->settings->copy_memory_limit);
    if (is_short && !engine->room.is_short) {
        note_shortage(engine, copy, used, maximum);
    } else if (!is_short) {
        engine_note_waiting(engine, "");
    }
    engine->room.is_short = is_short;
    return !is_short;
}

/* Where no client waits for it, a barrier has the patience to wait for a live proxy. One that hangs
 * does not count as alive for longer than its lease. */
#define PATIENCE_MS UINT64_C(10000)
/* So often in a row a hold is undone, and tried again, for a live proxy that was slow. */
#define HOLDS_FOR_THE_SLOW 2u

static bool barrier_may_go_on(void *context)
{
    return engine_may_go_on(context);
}

void engine_note_barrier(struct engine *engine)
{
    struct barrier *barrier = &engine->barrier;
    if (barrier->link == NULL) {
        return;
    }
    barrier->link = NULL;
    journal_clean(barrier->killed_names);
    ENGINE_NOTE(engine, "barrier", "{s:s, s:I, s:f, s:i, s:s}", "shard",
                engine->view.shards[engine->barrier_side].name, "barrier_epoch",
                (journal_int)barrier->epoch, "ms", (double)barrier->took_us / 1000, "killed",
                (int)barrier->killed, "killed_names", barrier->killed_names);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool engine_barrier(struct engine *engine, enum side side, enum step_result *result)
{
    return engine_barrier_busy(engine, side, NULL, result);
}

static struct barrier make_barrier(struct engine *engine, enum side side)
{
    return (struct barrier){.link = engine->links[side],
                            .identity = &engine->view.shards[side].identity,
                            .store = engine->store,
                            .epoch = engine->view.epoch,
                            .timeout_ms = PATIENCE_MS,
                            .may_go_on = barrier_may_go_on,
                            .context = engine};
}

bool engine_roll_call(struct engine *engine, enum side side, enum step_result *result)
{
    struct barrier barrier = make_barrier(engine, side);
    struct error err;
    barrier.is_roll_call = true;
    barrier.spares_the_living = true;
    enum fence_outcome outcome = barrier_run(&barrier, &err);
    if (outcome != FENCE_OK) {
        *result = engine_failed(engine, side, outcome, &err);
        return false;
    }
    *result = STEP_ADVANCED;
    return engine_may_go_on(engine);
}

bool engine_barrier_busy(struct engine *engine, enum side side,
                         bool (*while_waiting)(void *context), enum step_result *result)
{
    const struct migration *migration = &engine->view.migration;
    struct barrier *barrier = &engine->barrier;
    struct error err;
    *barrier = make_barrier(engine, side);
    barrier->while_waiting = while_waiting;
    if (phase_is_hold(migration->phase)) {
        barrier->timeout_ms = migration->options.barrier_timeout_ms;
        barrier->spares_the_living =
            engine->hold.slow_in_a_row < HOLDS_FOR_THE_SLOW || FAIL_POINT("barrier.spares-always");
    }
    /* A new base, or generation, in the same phase is an epoch that proxies must have seen too. */
    barrier->epoch = larger(migration->entry_epoch, larger(migration->base, migration->generation));
    engine->barrier_side = side;
    enum fence_outcome outcome = barrier_run(barrier, &err);
    engine->hold.slow_in_a_row += barrier->has_spared ? 1 : 0;
    if (outcome != FENCE_OK || barrier->was_interrupted) {
        barrier->link = NULL;
        *result = outcome != FENCE_OK ? engine_failed(engine, side, outcome, &err) : STEP_ADVANCED;
        return false;
    }
    if (phase_is_hold(migration->phase)) {
        engine->hold.slow_in_a_row = 0;
    } else {
        engine_note_barrier(engine);
    }
    return true;
}
