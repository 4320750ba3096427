/* Where a shard is found changes, and nothing else: it has another address, speaks TLS now, is
 * watched by other Sentinels, or by none any more. Its process stays the one that the topology
 * names; another server is failover.h's. Blocking. */
#ifndef LIB_CLUSTER_READDRESS_H
#define LIB_CLUSTER_READDRESS_H

#include "lib/store/store.h"

/* `place`: name; host, port and TLS, or sentinels, whose majority says where it is. Refused unless
 * the shard's process answers there. *is_changed: false when all was so already. */
bool cluster_readdress(struct store *store, const struct topology_shard *place, bool *is_changed,
                       struct error *err) __attribute__((warn_unused_result));

#endif
