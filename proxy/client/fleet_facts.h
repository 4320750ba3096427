/* What the shards say of themselves, added up over all of them: for INFO and CONFIG GET, which must
 * answer although a shard hangs. The control thread asks about once a second and sends each worker
 * a copy. A value; all zero: nothing is known yet. */
#ifndef PROXY_CLIENT_FLEET_FACTS_H
#define PROXY_CLIENT_FLEET_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#define FACT_TEXT_MAX 32

struct fleet_facts {
    uint64_t used_memory, used_memory_rss, used_memory_peak;
    uint64_t memory_max; /* 0: some shard has no limit */
    char memory_policy[FACT_TEXT_MAX];
    char notify_keyspace_events[FACT_TEXT_MAX];
    bool has_aof; /* on every shard */
    uint64_t keyspace_hits, keyspace_misses, expired_keys, evicted_keys;
    uint64_t keys, expires; /* Sluice's own and copies of a migration included, as in DBSIZE */
    uint64_t replicas;
    uint64_t commands_per_second; /* of this proxy */
};

#endif
