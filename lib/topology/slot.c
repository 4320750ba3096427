#include "lib/topology/slot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct slice slot_tag_of_key(struct slice key)
{
    const char *open = key.len > 0 ? memchr(key.data, '{', key.len) : NULL;
    if (open == NULL) {
        return key;
    }
    const char *tag = open + 1;
    const char *close = memchr(tag, '}', key.len - (size_t)(tag - key.data));
    if (close == NULL || close == tag) {
        return key;
    }
    return (struct slice){tag, (size_t)(close - tag)};
}

unsigned slot_of_key(struct slice key, unsigned nslots)
{
    struct slice tag = slot_tag_of_key(key);
    return (unsigned)XXH3_64bits(tag.data, tag.len) & (nslots - 1);
}
