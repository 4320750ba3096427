/* Which replicas of a shard are read from. Pure. */
#ifndef PROXY_CONTROL_REPLICA_CHOICE_H
#define PROXY_CONTROL_REPLICA_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/config/read_policy.h"

struct replica_candidate {
    bool is_level; /* within the bound */
    uint64_t latency_us;
    bool is_chosen; /* written here */
};

/* None of them chosen: the primary answers. */
void replica_choose(enum read_policy policy, uint64_t primary_latency_us,
                    struct replica_candidate *candidates, unsigned count);

#endif
