#include "proxy/pubsub/keyspace_event.h"

#include "lib/shard/metadata.h"

static const struct slice keyspace = {"__keyspace@0__:", 15};
static const struct slice keyevent = {"__keyevent@0__:", 15};

bool keyspace_event_key(struct slice channel, struct slice message, struct slice *key)
{
    if (slice_starts_with(channel, keyspace)) {
        *key = (struct slice){channel.data + keyspace.len, channel.len - keyspace.len};
        return true;
    }
    *key = message;
    return slice_starts_with(channel, keyevent);
}

unsigned channel_slot(struct slice channel, struct slice message, unsigned nslots)
{
    struct slice key;
    return slot_of_key(keyspace_event_key(channel, message, &key) ? key : channel, nslots);
}

bool message_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice channel,
                        struct slice message)
{
    struct slice key;
    if (!keyspace_event_key(channel, message, &key)) {
        return true;
    }
    unsigned slot = slot_of_key(key, snapshot->slot_mask + 1);
    return !metadata_is_name(key) && snapshot_entry(snapshot, slot)->authority == shard;
}
