#include "lib/topology/slot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline struct slice tag_of(struct slice key)
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

struct slice slot_tag_of_key(struct slice key)
{
    return tag_of(key);
}

unsigned slot_of_key(struct slice key, unsigned nslots)
{
    struct slice tag = tag_of(key);
    return (unsigned)XXH3_64bits(tag.data, tag.len) & (nslots - 1);
}
