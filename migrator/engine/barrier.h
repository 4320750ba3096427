/* barrier(e, shard): after it, no proxy sends or has sent anything to this shard under a topology
 * older than epoch e that the shard could still execute. docs/DESIGN.md section 5, point 3.
 *
 *   raise the fence to e, then read the peers --> all have published >= e --> done
 *        ^                                    \-> one has not: alive and in time? wait : kill it
 *        +-----------------------------------------------------------------------+           */
#ifndef MIGRATOR_ENGINE_BARRIER_H
#define MIGRATOR_ENGINE_BARRIER_H

#include "lib/shard/fence.h"
#include "lib/store/store.h"

struct barrier {
    struct shard_link *link;
    const struct shard_identity *identity; /* that the topology names for the shard */
    struct store *store;                   /* asked who is alive */
    uint64_t epoch;
    /* A live proxy gets so long; one that the store does not list any more some 3 s of it, for it
     * may only not be back yet; one that has a successor nothing. Then they are killed. */
    uint64_t timeout_ms;
    /* A live proxy that needs longer ends the barrier, not the barrier its connections: as if
     * may_go_on had said no. */
    bool spares_the_living;
    /* Raises no fence and promises nothing: waits for proxies that have not heard of the epoch yet,
     * and looks after those that are not listed as well. */
    bool is_roll_call;
    bool (*may_go_on)(void *context);
    /* Called instead of sleeping between two looks at the peers; may be null. False: as if
     * may_go_on had said no. It may use the link. */
    bool (*while_waiting)(void *context);
    void *context;
    /* What became of it: */
    uint64_t took_us;
    unsigned killed;         /* peers */
    char killed_names[1024]; /* "a:1f b:2e", cut when longer */
    bool was_interrupted;
    bool has_spared; /* by a live proxy that needed longer */
};

/* FENCE_OK: it stands. With was_interrupted it was given up because may_go_on said no. */
enum fence_outcome barrier_run(struct barrier *barrier, struct error *err)
    __attribute__((warn_unused_result));

#endif
