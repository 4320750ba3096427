#include "proxy/pubsub/channel_set.h"

#include <xxhash.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"

#define FIRST_BUCKETS 8u

struct channel {
    struct channel *next_in_bucket;
    struct channel *next, *previous; /* in the order they came */
    uint64_t hash;
    size_t length;
    char name[];
};

void channel_set_init(struct channel_set *set)
{
    *set = (struct channel_set){.seed = random_system()};
}

void channel_set_fini(struct channel_set *set)
{
    for (struct channel *channel = set->first, *next; channel != NULL; channel = next) {
        next = channel->next;
        mem_free(channel);
    }
    mem_free(set->buckets);
    *set = (struct channel_set){.seed = set->seed};
}

static uint64_t hash_of(const struct channel_set *set, struct slice name)
{
    return XXH64(name.data, name.len, set->seed);
}

/* Where the channel hangs, or where it would: the link that points to it. */
static struct channel **find_link(const struct channel_set *set, struct slice name, uint64_t hash)
{
    struct channel **link = &set->buckets[hash & (set->nbuckets - 1)];
    while (*link != NULL && ((*link)->hash != hash || !slice_equal(channel_name(*link), name))) {
        link = &(*link)->next_in_bucket;
    }
    return link;
}

static void grow(struct channel_set *set)
{
    mem_free(set->buckets);
    set->nbuckets = set->nbuckets == 0 ? FIRST_BUCKETS : set->nbuckets * 2;
    set->buckets = mem_zalloc(set->nbuckets * sizeof(struct channel *));
    for (struct channel *channel = set->first; channel != NULL; channel = channel->next) {
        struct channel **bucket = &set->buckets[channel->hash & (set->nbuckets - 1)];
        channel->next_in_bucket = *bucket;
        *bucket = channel;
    }
}

static size_t size_of(size_t length)
{
    return sizeof(struct channel) + length + sizeof(struct channel *);
}

bool channel_set_add(struct channel_set *set, struct slice name)
{
    if (set->count == set->nbuckets) {
        grow(set);
    }
    uint64_t hash = hash_of(set, name);
    struct channel **link = find_link(set, name, hash);
    if (*link != NULL) {
        return false;
    }
    struct channel *channel = mem_alloc(sizeof(*channel) + name.len);
    *channel = (struct channel){.previous = set->last, .hash = hash, .length = name.len};
    memcpy(channel->name, name.data, name.len);
    *link = channel;
    if (set->last != NULL) {
        set->last->next = channel;
    } else {
        set->first = channel;
    }
    set->last = channel;
    set->count++;
    set->bytes += size_of(name.len);
    return true;
}

bool channel_set_remove(struct channel_set *set, struct slice name)
{
    struct channel **link = set->count > 0 ? find_link(set, name, hash_of(set, name)) : NULL;
    if (link == NULL || *link == NULL) {
        return false;
    }
    struct channel *channel = *link;
    *link = channel->next_in_bucket;
    *(channel->previous != NULL ? &channel->previous->next : &set->first) = channel->next;
    *(channel->next != NULL ? &channel->next->previous : &set->last) = channel->previous;
    set->count--;
    set->bytes -= size_of(channel->length);
    mem_free(channel);
    return true;
}

bool channel_set_has(const struct channel_set *set, struct slice name)
{
    return set->count > 0 && *find_link(set, name, hash_of(set, name)) != NULL;
}

const struct channel *channel_set_first(const struct channel_set *set)
{
    return set->first;
}

const struct channel *channel_next(const struct channel *channel)
{
    return channel->next;
}

struct slice channel_name(const struct channel *channel)
{
    return (struct slice){channel->name, channel->length};
}
