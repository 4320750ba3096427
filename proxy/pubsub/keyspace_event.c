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

static bool is_one_of(struct slice event, const char *const *names)
{
    while (*names != NULL && !slice_equal(event, slice_of(*names))) {
        names++;
    }
    return *names != NULL;
}

/* What proxies and the migrator do to a copy: write it whole, take it away. */
static bool may_be_mirrored(struct slice event)
{
    static const char *const names[] = {"restore", "del", "new", NULL};
    return is_one_of(event, names);
}

/* All that ever happens to a copy. */
static bool may_be_of_copy(struct slice event)
{
    static const char *const names[] = {"expired", "evicted", "keymiss", NULL};
    return may_be_mirrored(event) || is_one_of(event, names);
}

/* Around a cutover the shards are ahead of the adopted snapshot, or behind it. What a copy never
 * says was said by the authority that this shard is already, or was still; what is mirrored to the
 * authority of a slot in a hold is from those who know already that it is one no more. */
static bool is_of_authority(const struct slot_entry *entry, unsigned shard, struct slice event)
{
    if (entry->authority == shard) {
        return !entry->is_held || !may_be_mirrored(event);
    }
    return entry->migration != NULL && !may_be_of_copy(event) &&
           (entry->migration->source == shard || entry->migration->target == shard);
}

bool message_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice channel,
                        struct slice message)
{
    struct keyspace_event event;
    if (!keyspace_event_read(channel, message, &event)) {
        return true;
    }
    unsigned slot = slot_of_key(event.key, snapshot->slot_mask + 1);
    return !metadata_is_name(event.key) &&
           is_of_authority(snapshot_entry(snapshot, slot), shard, event.name);
}
