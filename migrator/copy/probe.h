/* Asks two shards PING now and then, on connections and a thread of its own, and tells how long the
 * answers take: what a client's request would have waited behind our batches, and for a core.
 * probe_read is called by one other thread. */
#ifndef MIGRATOR_COPY_PROBE_H
#define MIGRATOR_COPY_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/topology/topology.h"

struct probe;

/* Copies the shards' addresses. Null with a message when there can be no thread. */
struct probe *probe_start(const struct topology_shard *a, const struct topology_shard *b,
                          uint64_t timeout_ms, struct error *err)
    __attribute__((warn_unused_result));
/* Ends the thread; null is allowed. Waits for it up to the time-out of a shard that hangs. */
void probe_stop(struct probe *probe);
/* Whether it asks these two. */
bool probe_is_of(const struct probe *probe, const struct topology_shard *a,
                 const struct topology_shard *b);
/* How long answers took in the last stretch of time: nine of ten took less, on the slower shard.
 * False when there is no new stretch since the last call. */
bool probe_read(struct probe *probe, uint64_t *latency_us);

#endif
