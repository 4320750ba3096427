/* A shard's process is another than the topology names, or its fence is gone: the topology is
 * changed, everybody is thrown off the shard, and a fence is written for the process that is there.
 * DESIGN.md section 4 "Identity", section 5 point 4. Blocking; any thread with a store handle of
 * its own.
 *
 * Where Sentinels name the shard's primary, "there" is what their majority says (sentinel.h), and
 * the same compare-and-swap changes the address. Without a majority nothing is taken over.
 *
 *   look at the process and its fence
 *     -> if it lacks what it took over: CLIENT KILL Sluice's own connections, and no more
 *     -> if there is none: CLIENT KILL everybody, and look again
 *     -> if the fence names the process already: raise it, CLIENT KILL everybody
 *     -> compare-and-swap: names the process, begins a new base for every migration on the shard
 *     -> after a failover: close the former process, if it can be reached (former.h)
 *     -> CLIENT KILL everybody
 *     -> write the fence, in one script, if that is still needed
 *
 * Each step may be the last one of a process that dies: whoever calls next goes on from there. Any
 * number may do it at once. */
#ifndef LIB_CLUSTER_TAKEOVER_H
#define LIB_CLUSTER_TAKEOVER_H

#include "lib/store/store.h"

enum takeover_result {
    TAKEOVER_DONE,        /* topology and fence name the process that is there */
    TAKEOVER_NOT_ALLOWED, /* an operator has to look first: err says what to run */
    TAKEOVER_FAILED,      /* store or shard out of reach, or changing: err says; try again */
};

/* `operator_accepts`: somebody has looked at a shard that came back empty, and takes it as it is. A
 * fence of another cluster or shard is refused even so. */
enum takeover_result cluster_takeover(struct store *store, const char *shard_name,
                                      bool operator_accepts, struct error *err)
    __attribute__((warn_unused_result));

/* The same, where an operator names the server that is to be the shard's from now on: host, port
 * and TLS of `to`. The shard has a fixed address then. `not_after_us` on the monotonic clock, 0:
 * none: until then the former primary holds its writes; the change is not made later. */
enum takeover_result cluster_takeover_at(struct store *store, const char *shard_name,
                                         const struct topology_shard *to, uint64_t not_after_us,
                                         bool operator_accepts, struct error *err)
    __attribute__((warn_unused_result));

#endif
