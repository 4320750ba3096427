#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "migrator/phase/phase_internal.h"

bool phase_guard(struct engine *engine, enum side side, enum guard_state state, const char *ver,
                 int64_t evicted, enum step_result *result)
{
    struct guard_claim claim = engine_claim(engine, side);
    struct error err;
    enum fence_outcome outcome =
        fence_guard(engine->links[side], &claim, state, ver, evicted, &err);
    if (outcome == FENCE_OK) {
        return true;
    }
    *result = engine_failed(engine, side, outcome, &err);
    return false;
}

bool phase_raise_fence(struct engine *engine, enum side side, enum step_result *result)
{
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    struct error err;
    enum fence_outcome outcome =
        fence_raise(engine->links[side], &engine->view.shards[side].identity,
                    engine->view.migration.entry_epoch, &peers, &count, &err);
    mem_free(peers);
    if (outcome != FENCE_OK) {
        *result = engine_failed(engine, side, outcome, &err);
        return false;
    }
    return true;
}

static bool prune_side(struct engine *engine, const struct topology *topology, enum side side,
                       enum step_result *result)
{
    struct error err;
    uint64_t removed = 0;
    const char *name = engine->view.shards[side].name;
    int shard = topology_find_shard(topology, slice_of(name));
    if (shard < 0) {
        *result = STEP_ADVANCED; /* gone since the view */
        return false;
    }
    enum fence_outcome outcome =
        fence_prune(engine->links[side], &engine->view.shards[side].identity,
                    topology_guard_horizon(topology, (unsigned)shard), &removed, &err);
    if (outcome != FENCE_OK) {
        *result = engine_failed(engine, side, outcome, &err);
        return false;
    }
    log_debug("guards pruned shard=%s count=%llu", name, (unsigned long long)removed);
    return true;
}

bool phase_prune_guards(struct engine *engine, enum step_result *result)
{
    struct error err;
    struct topology *topology = store_read(engine->store, NULL, &err);
    if (topology == NULL) {
        *result = engine_retry(engine, &err);
        return false;
    }
    bool ok = prune_side(engine, topology, SIDE_SOURCE, result) &&
              prune_side(engine, topology, SIDE_TARGET, result);
    topology_free(topology);
    return ok;
}
