/* Former primaries: processes that were a shard's until a server elsewhere took their place, and
 * may live, cut off from everybody who knows. The topology remembers them until they are closed, so
 * that a proxy which has not heard either writes nothing there that nobody will read.
 *
 * Whoever names the new process tries at once, for clients wait; the migrator that leads tries
 * again as long as the topology remembers (migrator/run/formers.h). Blocking, at most about half a
 * second for each. */
#ifndef LIB_CLUSTER_FORMER_H
#define LIB_CLUSTER_FORMER_H

#include "lib/store/store.h"

/* True: no proxy gets in there any more; closed, gone, or not a former one after all. A server that
 * cannot be reached may live. */
bool former_close(struct store *store, const struct topology_shard *former, struct error *err)
    __attribute__((warn_unused_result));

/* Removes it from the topology, by compare-and-swap. */
bool former_forget(struct store *store, const struct topology_shard *former, struct error *err)
    __attribute__((warn_unused_result));

#endif
