/* The operator's changes of the shard list: init, shard add, shard remove, shard accept. They alone
 * write a first fence. DESIGN.md section 4. Blocking. */
#ifndef LIB_CLUSTER_BOOTSTRAP_H
#define LIB_CLUSTER_BOOTSTRAP_H

#include "lib/store/store.h"

struct init_options {
    const struct topology_shard *shards; /* name, host, port, weight, serve_empty; rest ignored */
    unsigned nshards;
    unsigned nslots; /* 0: SLOTS_DEFAULT */
    bool adopt;      /* take shards that hold keys, if all are where the ring puts them */
};

/* The first topology, slots placed by the ring, and the first fences. Refused: a store that has a
 * topology, shards with another cluster's fence, with keys (unless adopt), older than Redis 7.0.
 * After a crash between the topology and the last fence, the same call completes it. */
bool cluster_init(struct store *store, const struct init_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* A shard more, without slots. Keys on it would be invisible: refused, with or without `adopt` (it
 * then says where one of them belongs). After a crash the same call completes it. */
bool cluster_add_shard(struct store *store, const struct topology_shard *shard, bool adopt,
                       struct error *err) __attribute__((warn_unused_result));

/* Refused while it owns slots or is in an open migration; while purges are owed on it, unless
 * `force` cancels them. The server itself is not touched: it may be gone. */
bool cluster_remove_shard(struct store *store, const char *name, bool force, struct error *err)
    __attribute__((warn_unused_result));

/* An operator takes a shard that came back empty, or is another server, as it is. */
bool cluster_accept_shard(struct store *store, const char *name, struct error *err)
    __attribute__((warn_unused_result));

#endif
