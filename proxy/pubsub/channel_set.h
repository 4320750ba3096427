/* The channels, or the patterns, that one client is subscribed to: a set that remembers the order
 * in which they came. One thread. */
#ifndef PROXY_PUBSUB_CHANNEL_SET_H
#define PROXY_PUBSUB_CHANNEL_SET_H

#include <stdint.h>

#include "lib/base/slice.h"

struct channel;

struct channel_set {
    struct channel **buckets;
    unsigned nbuckets;
    struct channel *first, *last;
    unsigned count;
    size_t bytes;  /* what it holds in memory, about: the caller's measure of too much */
    uint64_t seed; /* so that nobody can choose names that collide */
};

void channel_set_init(struct channel_set *set);
void channel_set_fini(struct channel_set *set);

/* Copies the name. False: it is there already. */
bool channel_set_add(struct channel_set *set, struct slice name);
/* False: it was not there. */
bool channel_set_remove(struct channel_set *set, struct slice name);
bool channel_set_has(const struct channel_set *set, struct slice name);

/* The one that has been there longest, and the one that came after it; null at the end. */
const struct channel *channel_set_first(const struct channel_set *set);
const struct channel *channel_next(const struct channel *channel);
struct slice channel_name(const struct channel *channel);

#endif
