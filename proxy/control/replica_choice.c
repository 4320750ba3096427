#include "proxy/control/replica_choice.h"

#include <stddef.h>

static void choose_nearest(uint64_t primary_latency_us, struct replica_candidate *candidates,
                           unsigned count)
{
    struct replica_candidate *nearest = NULL;
    uint64_t latency_us = primary_latency_us;
    for (unsigned i = 0; i < count; i++) {
        if (candidates[i].is_level && candidates[i].latency_us < latency_us) {
            nearest = &candidates[i];
            latency_us = nearest->latency_us;
        }
    }
    if (nearest != NULL) {
        nearest->is_chosen = true;
    }
}

void replica_choose(enum read_policy policy, uint64_t primary_latency_us,
                    struct replica_candidate *candidates, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        candidates[i].is_chosen = policy == READ_PREFER_REPLICA && candidates[i].is_level;
    }
    if (policy == READ_NEAREST) {
        choose_nearest(primary_latency_us, candidates, count);
    }
}
