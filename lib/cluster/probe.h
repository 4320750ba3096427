/* A first look at a server that is, or is to be, a shard. Blocking. */
#ifndef LIB_CLUSTER_PROBE_H
#define LIB_CLUSTER_PROBE_H

#include "lib/shard/shard.h"

/* A link to a server that can be a shard: Redis 7.0 or newer, a master, not in cluster mode. Null
 * with a message. */
struct shard_link *probe_open(const struct topology_shard *place, struct error *err)
    __attribute__((warn_unused_result));

/* The same, but it may be a replica still. */
struct shard_link *probe_open_any(const struct topology_shard *place, struct error *err)
    __attribute__((warn_unused_result));

/* Whether it reads all of its append-only file again when it is started anew. Most versions run
 * that as the default user, and leave out, in silence, what this user may not do, where it stands
 * in a MULTI: a fence, a dual write. False with a message that says what to change. */
bool probe_replays_all(struct shard_link *link, struct error *err)
    __attribute__((warn_unused_result));

/* How many keys it holds that are not ours. */
bool probe_count_keys(struct shard_link *link, uint64_t *keys, struct error *err)
    __attribute__((warn_unused_result));

/* Walks all keys and counts those whose slot the topology gives to another shard than `shard`; such
 * a key would be invisible. `example` (zero-terminated, cut to its size) is one of them. */
bool probe_misplaced_keys(struct shard_link *link, const struct topology *topology, unsigned shard,
                          uint64_t *misplaced, char example[64], struct error *err)
    __attribute__((warn_unused_result));

#endif
