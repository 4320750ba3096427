/* The control thread of the proxy: watches the store, hands new epochs to the workers, publishes
 * them on the shards, keeps the lease, undoes holds that last too long, answers HTTP.
 *
 *   store --watch--> control --snapshot--> workers
 *                       ^                     |
 *                       +---drained, given up-+
 *                       |
 *                       +--> publishers (one a shard)   steward (whatever blocks)   admin (HTTP)
 */
#ifndef PROXY_CONTROL_CONTROL_H
#define PROXY_CONTROL_CONTROL_H

#include "lib/base/error.h"
#include "proxy/config/config.h"

struct control;

/* What control_start would refuse before it asks the store: the files that options name, and
 * addresses that strangers can reach. */
bool control_check(struct proxy_config *config, struct error *err)
    __attribute__((warn_unused_result));
/* Opens the store, reads the topology, listens, starts the workers. Null with a message. On SIGHUP
 * it changes `config`. */
struct control *control_start(struct proxy_config *config, struct error *err)
    __attribute__((warn_unused_result));
/* Runs until SIGTERM or SIGINT, drains the clients, stops; at a second one it exits at once. */
void control_run(struct control *control);
void control_free(struct control *control);

#endif
