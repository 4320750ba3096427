#include "migrator/engine/transition.h"

#include "lib/base/log.h"
#include "lib/cluster/change.h"
#include "migrator/engine/steps.h"

struct attempt {
    struct engine *engine;
    transition_fn *change;
    uint64_t argument;
    bool wrote; /* the last call did */
};

static enum change_verdict try_on(struct topology *next, void *context, struct error *err)
{
    struct attempt *attempt = context;
    struct engine *engine = attempt->engine;
    struct migration *migration = topology_find_migration(next, engine->id);
    (void)err;
    attempt->wrote = migration != NULL && view_permits(&engine->view, migration) &&
                     attempt->change(engine, next, migration, attempt->argument);
    return attempt->wrote ? CHANGE_WRITE : CHANGE_NOTHING;
}

enum step_result engine_change(struct engine *engine, transition_fn *change, uint64_t argument,
                               bool *was_done)
{
    struct attempt attempt = {.engine = engine, .change = change, .argument = argument};
    struct error err;
    if (was_done != NULL) {
        *was_done = false;
    }
    PASS(STEP_CHANGE_BEFORE_CAS);
    bool ok = cluster_change(engine->store, try_on, &attempt, NULL, &err);
    PASS(STEP_CHANGE_AFTER_CAS);
    if (!ok) {
        return engine_retry(engine, &err);
    }
    if (was_done != NULL) {
        *was_done = attempt.wrote;
    }
    return STEP_ADVANCED;
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

/* What stands once this migration has entered the phase; null: it would not. Frees `before`. */
static struct topology *entered(struct engine *engine, struct topology *before, enum phase phase)
{
    struct topology *next = topology_next(before);
    topology_free(before);
    if (!enter(engine, next, topology_find_migration(next, engine->id), phase)) {
        topology_free(next);
        return NULL;
    }
    return next;
}

void engine_stage(struct engine *engine, enum phase hold, enum phase to)
{
    struct error ignored; /* the changes themselves will tell */
    struct topology *topology = store_read(engine->store, NULL, &ignored);
    const struct migration *migration =
        topology != NULL ? topology_find_migration(topology, engine->id) : NULL;
    if (migration == NULL || !view_permits(&engine->view, migration)) {
        topology_free(topology);
        return;
    }
    topology = entered(engine, topology, hold);
    topology = topology != NULL ? entered(engine, topology, to) : NULL;
    if (topology != NULL) {
        store_stage(engine->store, topology);
        topology_free(topology);
    }
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
    struct error text;
    (void)error_set(&text, "%s", reason);
    journal_clean(text.text);
    enum step_result result = engine_change(engine, begin_base, side, &was_done);
    if (was_done) {
        log_warn("a new base begins migration=m%llu shard=%s why=\"%s\"",
                 (unsigned long long)engine->id, engine->view.shards[side].name, reason);
        ENGINE_NOTE(engine, "new-base", "{s:s, s:s}", "shard", engine->view.shards[side].name,
                    "reason", text.text);
    }
    return result;
}
