/* An operator moves a shard to a server elsewhere: its replica, when the primary is lost, or a
 * whole site; or, with both alive, when a server is to be replaced. Without Sentinels, or where too
 * few of them are left. DESIGN.md section 4. Blocking.
 *
 *   look at the server: its fence, its role, and whether its history is that of the process that
 * the topology names
 *     -> where that process still answers: hold all writes there, and wait until the server has
 *        everything that was written (CLIENT PAUSE, which ends by itself)
 *     -> REPLICAOF NO ONE
 *     -> takeover.h: name it in the topology, close the former primary, open it
 *
 * Each step may be the last one of a process that dies: nothing has changed before the naming but
 * that the server is a primary, and the same call goes on from there; after it any proxy does. */
#ifndef LIB_CLUSTER_FAILOVER_H
#define LIB_CLUSTER_FAILOVER_H

#include "lib/store/store.h"

enum failover_role {
    FAILOVER_TO_REPLICA,
    FAILOVER_TO_PRIMARY, /* promoted before, or never a replica */
    FAILOVER_DONE,       /* the topology names its address already */
};

enum former_answer {
    FORMER_SILENT,
    FORMER_IS_ANOTHER, /* at its address is another process than the topology names */
    FORMER_ANSWERS,
};

/* What was found. */
struct failover_view {
    char from[SHARD_ADDRESS_MAX], to[SHARD_ADDRESS_MAX];
    enum failover_role role;
    enum former_answer former;
    bool is_fenced;        /* the server carries this shard's fence */
    bool is_proven;        /* its history is that of the process that the topology names */
    uint64_t missing;      /* bytes of replication that the former primary has and it has not; where
                            * the former one answers, else 0 */
    bool has_all;          /* nothing is lost: writes were held until it had everything */
    bool leaves_sentinels; /* the shard had Sentinels, too few of which answer */
};

/* Changes nothing. `to`: host, port and TLS. Refused: a shard whose Sentinels answer, a server with
 * another shard's fence. */
bool failover_look(struct store *store, const char *shard, const struct topology_shard *to,
                   struct failover_view *view, struct error *err)
    __attribute__((warn_unused_result));

/* Does it. Without `accept_loss` refused where writes would be lost that are known to be there, or
 * the history is not proven. *view is what was found, after the waiting. */
bool failover_run(struct store *store, const char *shard, const struct topology_shard *to,
                  bool accept_loss, struct failover_view *view, struct error *err)
    __attribute__((warn_unused_result));

#endif
