/* What a base that is over has left on the shards. */
#include "migrator/phase/phase_internal.h"

#define NAMES 6u

static unsigned add_names(const struct metadata_names *names, struct slice *all)
{
    all[0] = slice_of(names->seq);
    all[1] = slice_of(names->dirty);
    all[2] = slice_of(names->ver);
    return 3;
}

bool phase_forget_former_base(struct engine *engine, enum step_result *result)
{
    struct metadata_names forward, reverse;
    struct slice all[NAMES];
    struct error err;
    uint64_t former = engine->memory.former_base;
    if (former == 0 || former >= engine->view.migration.base) {
        return true;
    }
    metadata_names_of(engine->id, former, DIRECTION_FORWARD, &forward);
    metadata_names_of(engine->id, former, DIRECTION_REVERSE, &reverse);
    unsigned count = add_names(&forward, all);
    count += add_names(&reverse, all + count);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        enum fence_outcome outcome = fence_forget(
            engine->links[side], &engine->view.shards[side].identity, all, count, &err);
        if (outcome != FENCE_OK) {
            *result = engine_failed(engine, side, outcome, &err);
            return false;
        }
    }
    engine->memory.former_base = 0;
    return true;
}
