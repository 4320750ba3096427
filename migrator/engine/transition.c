#include "migrator/engine/transition.h"

#include "lib/base/log.h"
#include "migrator/engine/steps.h"

/* One attempt. True: over, *result and *was_done are set; false: somebody else was first, or the
 * outcome is unknown: read again. */
static bool attempt(struct engine *engine, transition_fn *change, uint64_t argument,
                    enum step_result *result, bool *was_done)
{
    struct error err;
    struct topology *now = store_read(engine->store, NULL, &err);
    if (now == NULL) {
        *result = engine_retry(engine, &err);
        return true;
    }
    struct topology *next = topology_next(now);
    topology_free(now);
    struct migration *migration = topology_find_migration(next, engine->id);
    if (migration == NULL || !view_permits(&engine->view, migration) ||
        !change(engine, next, migration, argument)) {
        topology_free(next);
        *result = STEP_ADVANCED;
        return true;
    }
    PASS(STEP_CHANGE_BEFORE_CAS);
    enum cas_result cas = store_cas(engine->store, next, &err);
    PASS(STEP_CHANGE_AFTER_CAS);
    topology_free(next);
    *was_done = cas == CAS_DONE;
    *result = cas == CAS_FAILED ? engine_retry(engine, &err) : STEP_ADVANCED;
    return cas == CAS_DONE || cas == CAS_FAILED;
}

enum step_result engine_change(struct engine *engine, transition_fn *change, uint64_t argument,
                               bool *was_done)
{
    bool ignored;
    bool *done = was_done != NULL ? was_done : &ignored;
    enum step_result result = STEP_ADVANCED;
    *done = false;
    while (!attempt(engine, change, argument, &result, done)) {
        if (atomic_load(engine->is_stopping)) {
            return STEP_ADVANCED;
        }
    }
    return result;
}

static bool enter(struct engine *engine, struct topology *next, struct migration *migration,
                  uint64_t phase)
{
    (void)engine;
    /* An operator's pause that came since the view stops what has not begun, never a hold. */
    if (migration->is_paused && !phase_is_hold(migration->phase)) {
        return false;
    }
    if (phase_is_hold((enum phase)phase) && migration->verified != migration->base) {
        return false;
    }
    migration_enter(next, migration, (enum phase)phase);
    return true;
}

enum step_result engine_enter(struct engine *engine, enum phase to, bool *was_done)
{
    return engine_change(engine, enter, to, was_done);
}

static bool begin_base(struct engine *engine, struct topology *next, struct migration *migration,
                       uint64_t side)
{
    unsigned shard = side == SIDE_SOURCE ? migration->source : migration->target;
    topology_replace_process(next, shard, &engine->view.shards[side].identity);
    return true;
}

enum step_result engine_new_base(struct engine *engine, enum side side, const char *reason)
{
    bool was_done = false;
    enum step_result result = engine_change(engine, begin_base, side, &was_done);
    if (was_done) {
        log_warn("a new base begins migration=m%llu shard=%s reason=\"%s\"",
                 (unsigned long long)engine->id, engine->view.shards[side].name, reason);
        engine_note(engine, "new-base", "{s:s, s:s}", "shard", engine->view.shards[side].name,
                    "reason", reason);
    }
    return result;
}
