/* Which keys clients may see on a shard. Pure. */
#ifndef PROXY_ROUTING_VISIBLE_H
#define PROXY_ROUTING_VISIBLE_H

#include "lib/base/buffer.h"
#include "lib/topology/snapshot.h"

/* Sluice's own keys are hidden, and so are copies: keys on a shard that is not their authority. */
bool key_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice key);
/* Appends the visible keys among the elements of an array reply, as bulk strings; returns how many.
 */
uint64_t add_visible_keys(const struct snapshot *snapshot, unsigned shard, struct slice elements,
                          struct buffer *out);

#endif
