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
