/* Slots: which one a key belongs to, and sets of them. Pure. */
#ifndef LIB_TOPOLOGY_SLOT_H
#define LIB_TOPOLOGY_SLOT_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/slice.h"

#define SLOTS_DEFAULT 16384u
#define SLOTS_MAX     65536u

/* The text in the first non-empty {...} of the key, else the whole key (as in Redis Cluster: the
 * first '{' counts, and the first '}' behind it). */
struct slice slot_tag_of_key(struct slice key);
/* XXH3_64bits(tag) & (nslots - 1); nslots is a power of two. */
unsigned slot_of_key(struct slice key, unsigned nslots);

/* A set of slots as a bitmap; a value with memory of its own. */
struct slot_set {
    unsigned nslots;
    uint64_t *bits;
};

void slot_set_init(struct slot_set *set, unsigned nslots);
void slot_set_fini(struct slot_set *set);
void slot_set_copy(struct slot_set *to, const struct slot_set *from); /* `to` is not initialised */
void slot_set_add(struct slot_set *set, unsigned slot);

static inline bool slot_set_has(const struct slot_set *set, unsigned slot)
{
    return (set->bits[slot / 64] >> (slot % 64)) & 1;
}

/* The first slot >= `from` in the set, or nslots when there is none: for walking a set. */
unsigned slot_set_next(const struct slot_set *set, unsigned from);
unsigned slot_set_count(const struct slot_set *set);
bool slot_set_intersects(const struct slot_set *a, const struct slot_set *b);

/* "0-99,200": sorted, merged ranges; "" is the empty set. Parsing accepts any order, refuses what
 * is >= nslots; it reads the next form, too. */
void slot_set_format(const struct slot_set *set, struct buffer *text);
/* "hex:" and a digit for every four slots, the lowest slot in a digit's lowest bit. A ring scatters
 * the slots of a shard, so that ranges take five times the room and twenty times the time. */
void slot_set_format_hex(const struct slot_set *set, struct buffer *text);
bool slot_set_parse(struct slot_set *set, struct slice text, struct error *err)
    __attribute__((warn_unused_result)); /* `set` is initialised and empty */

#endif
