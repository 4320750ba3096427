/* A thread that keeps an eye on the Sentinels of the shards that have any: it listens to what they
 * announce, asks them every two seconds besides, and tells the rescuer when their majority names
 * another primary than the topology does. What is true then, and whether it may be acted upon, the
 * takeover finds out (lib/cluster/takeover.h). Called by the control thread. */
#ifndef PROXY_CONTROL_SENTINEL_WATCH_H
#define PROXY_CONTROL_SENTINEL_WATCH_H

#include "lib/topology/topology.h"
#include "proxy/control/steward.h"

struct sentinel_watch;

/* `rescuer` must stay until sentinel_watch_stop. */
struct sentinel_watch *sentinel_watch_start(struct steward *rescuer)
    __attribute__((warn_unused_result));
/* Waits for the thread, half a second for each Sentinel that hangs. */
void sentinel_watch_stop(struct sentinel_watch *watch);
/* The topology by which the proxy serves now. */
void sentinel_watch_adopt(struct sentinel_watch *watch, const struct topology *topology);

#endif
