#include "proxy/routing/visible.h"

#include "lib/shard/metadata.h"
#include "proxy/routing/reply_cursor.h"

bool key_is_visible(const struct snapshot *snapshot, unsigned shard, struct slice key)
{
    unsigned slot = slot_of_key(key, snapshot->slot_mask + 1);
    return !metadata_is_name(key) && snapshot_entry(snapshot, slot)->authority == shard;
}

uint64_t add_visible_keys(const struct snapshot *snapshot, unsigned shard, struct slice elements,
                          struct buffer *out)
{
    struct slice value, key;
    uint64_t count = 0;
    while (reply_next(&elements, &value)) {
        if (reply_bulk(value, &key) && key_is_visible(snapshot, shard, key)) {
            buffer_add(out, value.data, value.len);
            count++;
        }
    }
    return count;
}
