/* Keyspace notifications: messages that a shard itself publishes when a key changes
 * (https://redis.io/docs/manual/keyspace-notifications). Pure. */
#ifndef PROXY_PUBSUB_KEYSPACE_EVENT_H
#define PROXY_PUBSUB_KEYSPACE_EVENT_H

#include "lib/topology/snapshot.h"

/* The key that a message is about: "__keyspace@0__:KEY", or "__keyevent@0__:EVENT" whose message is
 * the key. False: an ordinary channel. */
bool keyspace_event_key(struct slice channel, struct slice message, struct slice *key);

/* The slot whose shard is to carry messages of this channel: that of the channel's name, as if it
 * were a key, or that of the key that a keyspace event is about. */
unsigned channel_slot(struct slice channel, struct slice message, unsigned nslots);

/* Whether a subscriber may see a message that this shard has sent: not what Sluice's own keys do,
 * and not what happens to a copy. */
bool message_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice channel,
                        struct slice message);

#endif
