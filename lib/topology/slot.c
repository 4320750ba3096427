#include "lib/topology/slot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHORT_KEY_MAX   64
#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Some byte of the word is a brace; a byte beside one may be taken for one, too. */
static inline bool has_brace(uint64_t word)
{
    uint64_t zero_at_brace = word ^ EACH_BYTE('{');
    return ((zero_at_brace - EACH_BYTE(0x01)) & ~zero_at_brace & EACH_BYTE(0x80)) != 0;
}

/* False: certainly not. In place, since most keys are short and have none. */
static inline bool may_have_brace(struct slice key)
{
    uint64_t word;
    if (key.len < sizeof(word) || key.len > SHORT_KEY_MAX) {
        return key.len > 0;
    }
    for (size_t at = 0; at + sizeof(word) < key.len; at += sizeof(word)) {
        memcpy(&word, key.data + at, sizeof(word));
        if (has_brace(word)) {
            return true;
        }
    }
    memcpy(&word, key.data + key.len - sizeof(word), sizeof(word));
    return has_brace(word);
}

__attribute__((noinline)) static struct slice tag_between_braces(struct slice key)
{
    const char *open = memchr(key.data, '{', key.len);
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

static inline struct slice tag_of(struct slice key)
{
    return may_have_brace(key) ? tag_between_braces(key) : key;
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
