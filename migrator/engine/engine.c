#include "migrator/engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"

/* Asking the store between batches costs a look at a folder or a round trip: not more often. */
#define ASK_PERIOD_US UINT64_C(2000)

static bool may_go_on(void *context)
{
    return engine_may_go_on(context);
}

static bool has_room(void *context)
{
    return engine_copy_has_room(context);
}

static void note_rate(struct engine *engine, uint64_t keys)
{
    uint64_t now_us = clock_now_us();
    engine->rate.keys += keys;
    if (engine->rate.since_us == 0 || now_us - engine->rate.since_us < 1000000) {
        engine->rate.since_us = engine->rate.since_us == 0 ? now_us : engine->rate.since_us;
        return;
    }
    struct progress *progress = engine->progress;
    uint64_t rate = engine->rate.keys * 1000000 / (now_us - engine->rate.since_us);
    uint64_t total = 2 * counter_read(&progress->keys_total); /* moved, then compared */
    uint64_t done = counter_read(&progress->keys_copied) + counter_read(&progress->keys_verified);
    counter_set(&progress->rate, rate);
    counter_set(&progress->eta_ms, rate > 0 && total > done ? (total - done) * 1000 / rate : 0);
    engine->rate.keys = 0;
    engine->rate.since_us = now_us;
}

static void on_moved(void *context, uint64_t keys, uint64_t bytes)
{
    struct engine *engine = context;
    counter_add(&engine->progress->keys_copied, keys);
    counter_add(&engine->progress->bytes_copied, bytes);
    note_rate(engine, keys);
    engine_publish_progress(engine, false);
}

static void on_verified(void *context, uint64_t keys)
{
    struct engine *engine = context;
    counter_add(&engine->progress->keys_verified, keys);
    note_rate(engine, keys);
    engine_publish_progress(engine, false);
}

static void on_found(void *context, const struct copy_finding *finding)
{
    struct engine *engine = context;
    struct journal_place place = engine_place(engine);
    struct error err;
    unsigned slot = slot_of_key(finding->key, engine->view.migration.slots.nslots);
    counter_add(&engine->progress->findings, 1);
    log_warn("verify found an unequal key migration=m%llu slot=%u only_on_copy=%d",
             (unsigned long long)engine->id, slot, (int)finding->only_on_copy);
    if (!journal_finding(engine->store, &place, finding->key, slot, finding->only_on_copy, &err)) {
        log_error("journal cannot be written kind=finding why=\"%s\"", err.text);
    }
}

/* Said once for each key, as an error, so that status shows why no hold begins. Not in a hold: the
 * record would make clients wait, and the drains behind the hold meet the key again. */
static void on_troubled(void *context, struct slice key, const char *why)
{
    struct engine *engine = context;
    struct error text;
    struct trouble *trouble = trouble_count(engine->troubles, key, clock_now_us());
    if (trouble->tries < TROUBLE_TRIES || trouble->is_told ||
        phase_is_hold(engine->view.migration.phase)) {
        return;
    }
    trouble->is_told = true;
    unsigned slot = slot_of_key(key, engine->view.migration.slots.nslots);
    enum side copy = side_other(view_authority(&engine->view));
    (void)error_set(&text,
                    "a key of slot %u (length %zu, hash %016llx) cannot be made equal on shard "
                    "\"%s\", tried %u times: %s; no hold begins before it is",
                    slot, key.len, (unsigned long long)trouble->hash,
                    engine->view.shards[copy].name, trouble->tries, why);
    journal_clean(text.text);
    log_warn("%s migration=m%llu", text.text, (unsigned long long)engine->id);
    ENGINE_NOTE(engine, "error", "{s:s}", "text", text.text);
}

struct engine *engine_new(const struct migrator_settings *settings, uint64_t id,
                          struct progress *progress, const atomic_bool *is_stopping,
                          struct error *err)
{
    struct store *store = store_open(settings->store_url, err);
    if (store == NULL) {
        return NULL;
    }
    struct engine *engine = mem_zalloc(sizeof(*engine));
    engine->settings = settings;
    engine->id = id;
    engine->progress = progress;
    engine->is_stopping = is_stopping;
    engine->store = store;
    engine->hooks = (struct copy_hooks){.may_go_on = may_go_on,
                                        .moved = on_moved,
                                        .verified = on_verified,
                                        .found = on_found,
                                        .troubled = on_troubled,
                                        .has_room = has_room,
                                        .context = engine};
    if (!journal_recall(store, id, &engine->memory, err)) {
        engine_free(engine);
        return NULL;
    }
    const struct recollection *memory = &engine->memory;
#define X(field, name, kind, help) counter_set(&progress->field, memory->field);
    PROGRESS_RECALLED(X)
#undef X
    return engine;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->walks.has_verifier) {
        verifier_fini(&engine->walks.verifier);
    }
    engine_end_pacing(engine);
    engine_disconnect(engine, SIDE_SOURCE);
    engine_disconnect(engine, SIDE_TARGET);
    view_fini(&engine->view);
    store_close(engine->store);
    mem_free(engine);
}

/* A link is to the process that the view names; with another view it is looked at again. */
static void drop_old_links(struct engine *engine)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct shard_link *link = engine->links[side];
        if (link != NULL &&
            (shard_is_broken(link) || !shard_identity_equal(shard_link_identity(link),
                                                            &engine->view.shards[side].identity))) {
            engine_disconnect(engine, side);
        }
    }
}

/* Whoever changed the phase (operator, proxy, migrator): it is in the journal once. Not in a hold:
 * an fsync would make clients wait; phase_hold_ended comes here again when it is over. */
void engine_note_phase(struct engine *engine, bool even_in_hold)
{
    const struct migration *migration = &engine->view.migration;
    counter_set(&engine->progress->phase, migration->phase);
    counter_set(&engine->progress->generation, migration->generation);
    counter_set(&engine->progress->base, migration->base);
    if (engine->memory.entry_epoch == migration->entry_epoch ||
        (phase_is_hold(migration->phase) && !even_in_hold)) {
        return;
    }
    log_info("phase entered migration=m%llu phase=%s epoch=%llu generation=%llu base=%llu",
             (unsigned long long)engine->id, phase_name(migration->phase),
             (unsigned long long)migration->entry_epoch, (unsigned long long)migration->generation,
             (unsigned long long)migration->base);
    struct journal_place place = engine_place(engine);
    struct error err;
    if (!journal_append(engine->store, &place, &err, "phase", "{s:s, s:I, s:I, s:I}", "to",
                        phase_name(migration->phase), "entry_epoch",
                        (journal_int)migration->entry_epoch, "generation",
                        (journal_int)migration->generation, "base", (journal_int)migration->base)) {
        log_error("journal cannot be written kind=phase why=\"%s\"", err.text);
        return; /* tried again with the next view */
    }
    engine->memory.entry_epoch = migration->entry_epoch;
    if (migration->phase == PHASE_SWITCHED && !engine->memory.was_switched) {
        engine->memory.was_switched = true;
        engine->memory.switched_at_ms = clock_wall_ms();
    }
}

bool engine_refresh(struct engine *engine, bool *is_gone, struct error *err)
{
    struct topology *topology = store_read(engine->store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    *is_gone = !view_set(&engine->view, topology, engine->id);
    topology_free(topology);
    engine->epoch_asked_us = clock_now_us();
    if (!*is_gone) {
        const struct migration_options *options = &engine->view.migration.options;
        if (options->keys_per_second != engine->throttle.keys_per_second ||
            options->bytes_per_second != engine->throttle.bytes_per_second) {
            throttle_init(&engine->throttle, options->keys_per_second, options->bytes_per_second);
        }
        drop_old_links(engine);
        engine_note_phase(engine, false);
    }
    return true;
}

/* In a hold the pause and the operator's requests have to wait: clients do. */
static bool view_still_holds(struct engine *engine)
{
    struct error err;
    struct topology *topology = store_read(engine->store, NULL, &err);
    if (topology == NULL) {
        return false;
    }
    bool holds = view_holds(&engine->view, topology);
    const struct migration *now = topology_find_migration(topology, engine->id);
    if (!holds && now != NULL && phase_is_hold(engine->view.migration.phase)) {
        holds = view_permits(&engine->view, now);
    }
    if (holds) {
        engine->view.epoch = topology->epoch;
    }
    topology_free(topology);
    return holds;
}

bool engine_may_go_on(struct engine *engine)
{
    uint64_t now_us = clock_now_us();
    uint64_t epoch = 0;
    struct error err;
    if (atomic_load(engine->is_stopping)) {
        return false;
    }
    if (engine->hold.deadline_us != 0 && now_us > engine->hold.deadline_us) {
        return false;
    }
    if (now_us - engine->epoch_asked_us < ASK_PERIOD_US) {
        return true;
    }
    engine->epoch_asked_us = now_us;
    if (!store_epoch(engine->store, &epoch, &err)) {
        return false;
    }
    return epoch == engine->view.epoch || view_still_holds(engine);
}

enum step_result engine_wait(struct engine *engine, uint64_t ms)
{
    engine->wait_ms = ms;
    return STEP_WAIT;
}

enum step_result engine_retry(struct engine *engine, const struct error *why)
{
    if (why != &engine->why) {
        engine->why = *why;
    }
    return STEP_RETRY;
}

struct journal_place engine_place(const struct engine *engine)
{
    return (struct journal_place){engine->id, engine->view.epoch, engine->view.migration.phase};
}

void engine_note_waiting(struct engine *engine, const char *text)
{
    char *told = engine->memory.waits_for;
    if (strncmp(told, text, JOURNAL_WAIT_MAX - 1) == 0) {
        return;
    }
    (void)snprintf(told, JOURNAL_WAIT_MAX, "%s", text);
    journal_clean(told);
    if (told[0] != '\0') {
        log_warn("migration waits migration=m%llu why=\"%s\"", (unsigned long long)engine->id,
                 told);
    } else {
        log_info("migration waits no more migration=m%llu", (unsigned long long)engine->id);
    }
    ENGINE_NOTE(engine, "waiting", "{s:s}", "text", told);
}

void engine_publish_progress(struct engine *engine, bool now)
{
    uint64_t now_us = clock_now_us();
    if (!now && now_us - engine->progress_written_us <
                    option_number(&engine->settings->progress_period_ms) * 1000) {
        return;
    }
    engine->progress_written_us = now_us;
    struct journal_place place = engine_place(engine);
    struct error err;
    if (!journal_progress(engine->store, &place, engine->progress, &err)) {
        log_error("journal cannot be written kind=progress why=\"%s\"", err.text);
    }
}
