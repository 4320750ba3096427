/* What finalizing and aborting have in common: the shard that lost the slots is emptied of them,
 * the metadata go, the guards are closed, and the migration with them.
 *
 * The barrier on the shard that keeps the slots comes first: a dual write that is still under way
 * would re-create the metadata after they were dropped. The guards are closed before the change
 * that removes the migration: nobody looks after them any more.
 * Model: NOCLOSE, DROPGUARD, DROPRAW. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "migrator/copy/purger.h"
#include "migrator/phase/phase_internal.h"

static enum side keeper_of(enum side victim)
{
    return side_other(victim);
}

/* There are up to three for each base and direction, and each death of a shard begins a base. */
static bool drop_page(struct engine *engine, enum side side, const struct shard_reply *names,
                      enum step_result *result)
{
    struct slice found[FENCE_DROP_MAX];
    struct guard_claim claim = engine_claim(engine, side);
    struct error err;
    size_t count = shard_reply_count(names);
    for (size_t first = 0; first < count; first += FENCE_DROP_MAX) {
        unsigned some = 0;
        for (; some < FENCE_DROP_MAX && first + some < count; some++) {
            found[some] = shard_reply_text(shard_reply_at(names, first + some));
        }
        enum fence_outcome outcome = fence_drop(engine->links[side], &claim, found, some, &err);
        if (outcome != FENCE_OK) {
            *result = engine_failed(engine, side, outcome, &err);
            return false;
        }
    }
    return true;
}

/* Every base and direction of this migration, found by name. */
static bool drop_metadata(struct engine *engine, enum side side, enum step_result *result)
{
    char cursor[24] = "0";
    struct error err;
    do {
        struct shard_reply *page =
            shard_commandf(engine->links[side], &err, "SCAN %s MATCH __sluice:m%llu:* COUNT 1000",
                           cursor, (unsigned long long)engine->id);
        if (page == NULL) {
            *result = engine_failed(engine, side, FENCE_FAILED, &err);
            return false;
        }
        struct slice next = shard_reply_text(shard_reply_at(page, 0));
        (void)snprintf(cursor, sizeof(cursor), "%.*s", (int)next.len, next.data);
        bool ok = drop_page(engine, side, shard_reply_at(page, 1), result);
        shard_reply_free(page);
        if (!ok) {
            return false;
        }
        if (!engine_may_go_on(engine)) {
            *result = STEP_ADVANCED;
            return false;
        }
    } while (strcmp(cursor, "0") != 0);
    return true;
}

static bool close_guard(struct engine *engine, enum side side, enum step_result *result)
{
    return phase_guard(engine, side, GUARD_CLOSED, NULL, -1, result);
}

static const char *outcome_name(const struct engine *engine)
{
    if (engine->view.migration.phase == PHASE_FINALIZING) {
        return "finalized";
    }
    return engine->memory.was_switched ? "rolled-back" : "aborted";
}

static bool close_it(struct engine *engine, struct topology *next, struct migration *migration,
                     uint64_t with_debt)
{
    (void)engine;
    migration_close(next, migration, with_debt ? (int)migration_copy(migration) : -1);
    return true;
}

static void note_end(struct engine *engine, const char *kind, bool with_debt)
{
    const struct progress *progress = engine->progress;
    ENGINE_NOTE(engine, kind, "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "outcome",
                outcome_name(engine), "keys", (journal_int)counter_read(&progress->keys_copied),
                "bytes", (journal_int)counter_read(&progress->bytes_copied), "verified",
                (journal_int)counter_read(&progress->keys_verified), "findings",
                (journal_int)counter_read(&progress->findings), "repairs",
                (journal_int)counter_read(&progress->repairs), "purged",
                (journal_int)counter_read(&progress->purged), "holds_undone",
                (journal_int)counter_read(&progress->holds_undone), "hold_max_us",
                (journal_int)counter_read(&progress->hold_us_max), "debt", (int)with_debt);
}

static enum step_result close_migration(struct engine *engine, bool with_debt)
{
    bool was_done = false;
    engine_publish_progress(engine, true);
    note_end(engine, "report", with_debt);
    PASS(STEP_PURGE_BEFORE_CLOSE);
    enum step_result result = engine_change(engine, close_it, with_debt, &was_done);
    PASS(STEP_PURGE_AFTER_CLOSE);
    if (was_done) {
        note_end(engine, "closed", with_debt);
        engine->is_closed = true;
        log_info("migration closed migration=m%llu outcome=%s debt=%d",
                 (unsigned long long)engine->id, outcome_name(engine), (int)with_debt);
    }
    return result;
}

/* The shard to purge has been out of reach for too long: abort and finalize have succeeded at their
 * CAS, so nobody is made to wait for a dead machine. */
static enum step_result leave_a_debt(struct engine *engine, enum side victim)
{
    enum side keeper = keeper_of(victim);
    enum step_result result;
    if (!close_guard(engine, keeper, &result) || !drop_metadata(engine, keeper, &result)) {
        return result;
    }
    return close_migration(engine, true);
}

/* Whether a failure on the shard to purge has lasted longer than patience. */
static bool is_out_of_patience(struct engine *engine)
{
    uint64_t now_us = clock_now_us();
    if (engine->unreachable_since_us == 0) {
        engine->unreachable_since_us = now_us;
    }
    return now_us - engine->unreachable_since_us >=
           option_number(&engine->settings->purge_patience_ms) * 1000;
}

static void count_purged(struct engine *engine, uint64_t keys)
{
    counter_add(&engine->progress->purged, keys);
    engine_publish_progress(engine, false);
}

static bool purge_keys(struct engine *engine, enum side victim, enum step_result *result)
{
    struct copy_pair pair;
    uint64_t purged = 0;
    engine_go_on_pacing(engine);
    engine_pair(engine, &pair);
    ASSERT(pair.copy.link == engine->links[victim]);
    enum copy_status status = purge_run(&pair, &purged);
    engine_end_pacing(engine);
    count_purged(engine, purged);
    if (status != COPY_OK) {
        *result = engine_copy_failed(engine, &pair, status);
        return false;
    }
    ENGINE_NOTE(engine, "purge", "{s:s, s:I}", "shard", engine->view.shards[victim].name, "keys",
                (journal_int)purged);
    PASS(STEP_PURGE_AFTER_KEYS);
    return true;
}

static bool purge_victim(struct engine *engine, enum side victim, enum step_result *result)
{
    PASS(STEP_PURGE_BEFORE_GUARD);
    if (!engine_connect(engine, victim, result)) {
        return false;
    }
    /* Gone so far already when a migrator died behind the closing of the guards. */
    struct guard_claim claim = engine_claim(engine, victim);
    struct error err;
    enum fence_outcome outcome =
        fence_guard(engine->links[victim], &claim, GUARD_PURGE, NULL, -1, &err);
    PASS(STEP_PURGE_AFTER_GUARD);
    if (outcome == FENCE_STALE) {
        return close_guard(engine, victim, result);
    }
    if (outcome != FENCE_OK) {
        *result = engine_failed(engine, victim, outcome, &err);
        return false;
    }
    return purge_keys(engine, victim, result) && close_guard(engine, victim, result);
}

enum step_result phase_purge(struct engine *engine, enum side victim)
{
    enum side keeper = keeper_of(victim);
    enum step_result result;
    if (!engine_connect(engine, keeper, &result) || !phase_is_settled(engine, keeper, &result)) {
        return result;
    }
    PASS(STEP_PURGE_BEFORE_BARRIER);
    if (!engine_barrier(engine, keeper, &result)) {
        return result;
    }
    PASS(STEP_PURGE_AFTER_BARRIER);
    if (!purge_victim(engine, victim, &result)) {
        bool is_stuck = result == STEP_RETRY && is_out_of_patience(engine);
        return is_stuck && engine->links[keeper] != NULL ? leave_a_debt(engine, victim) : result;
    }
    if (!close_guard(engine, keeper, &result)) {
        return result;
    }
    PASS(STEP_PURGE_AFTER_CLOSED);
    if (!drop_metadata(engine, victim, &result) || !drop_metadata(engine, keeper, &result)) {
        return result;
    }
    PASS(STEP_PURGE_AFTER_DROP);
    return close_migration(engine, false);
}
