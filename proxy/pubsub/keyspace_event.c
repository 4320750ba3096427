#include "proxy/pubsub/keyspace_event.h"

#include "lib/shard/metadata.h"

static const struct slice keyspace = {"__keyspace@0__:", 15};
static const struct slice keyevent = {"__keyevent@0__:", 15};

static struct slice behind(struct slice text, struct slice prefix)
{
    return (struct slice){text.data + prefix.len, text.len - prefix.len};
}

bool keyspace_event_read(struct slice channel, struct slice message, struct keyspace_event *event)
{
    if (slice_starts_with(channel, keyspace)) {
        *event = (struct keyspace_event){behind(channel, keyspace), message};
        return true;
    }
    if (slice_starts_with(channel, keyevent)) {
        *event = (struct keyspace_event){message, behind(channel, keyevent)};
        return true;
    }
    return false;
}

unsigned channel_slot(struct slice channel, struct slice message, unsigned nslots)
{
    struct keyspace_event event;
    return slot_of_key(keyspace_event_read(channel, message, &event) ? event.key : channel, nslots);
}

/* All that is ever done to a copy: written whole, taken away, read. */
static bool may_be_of_copy(struct slice event)
{
    static const char *const events[] = {"restore", "del", "expired", "evicted", "new", "keymiss"};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (slice_equal(event, slice_of(events[i]))) {
            return true;
        }
    }
    return false;
}

bool message_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice channel,
                        struct slice message)
{
    struct keyspace_event event;
    if (!keyspace_event_read(channel, message, &event)) {
        return true;
    }
    unsigned slot = slot_of_key(event.key, snapshot->slot_mask + 1);
    const struct slot_entry *entry = snapshot_entry(snapshot, slot);
    if (metadata_is_name(event.key)) {
        return false;
    }
    if (entry->authority == shard) {
        return true;
    }
    /* Around a cutover the shards are ahead of the adopted snapshot, or behind it. What a copy
     * never says was said by the authority that this shard is already, or was still. */
    bool takes_part = entry->migration != NULL &&
                      (entry->migration->source == shard || entry->migration->target == shard);
    return takes_part && !may_be_of_copy(event.name);
}
