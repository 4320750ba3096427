#include "proxy/routing/waiters.h"

#include <xxhash.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

struct waited_key {
    struct waited_key *next; /* of its bucket */
    uint64_t hash;
    enum awaited awaited;
    struct slice key, group; /* in `bytes` */
    struct waiter_place *first, *last;
    char bytes[];
};

static uint64_t hash_of(enum awaited awaited, struct slice key, struct slice group)
{
    return XXH3_64bits_withSeed(group.data, group.len,
                                XXH3_64bits_withSeed(key.data, key.len, awaited));
}

static struct waited_key **find(struct waiters *waiters, uint64_t hash, enum awaited awaited,
                                struct slice key, struct slice group)
{
    struct waited_key **at = &waiters->buckets[hash % WAITERS_BUCKETS];
    while (*at != NULL && !((*at)->hash == hash && (*at)->awaited == awaited &&
                            slice_equal((*at)->key, key) && slice_equal((*at)->group, group))) {
        at = &(*at)->next;
    }
    return at;
}

static struct waited_key *key_new(uint64_t hash, enum awaited awaited, struct slice key,
                                  struct slice group)
{
    struct waited_key *waited = mem_zalloc(sizeof(*waited) + key.len + group.len);
    waited->hash = hash;
    waited->awaited = awaited;
    waited->key = (struct slice){waited->bytes, key.len};
    waited->group = (struct slice){waited->bytes + key.len, group.len};
    memcpy(waited->bytes, key.data, key.len);
    if (group.len > 0) {
        memcpy(waited->bytes + key.len, group.data, group.len);
    }
    return waited;
}

void waiters_join(struct waiters *waiters, struct waiter_place *place, enum awaited awaited,
                  struct slice key, struct slice group)
{
    uint64_t hash = hash_of(awaited, key, group);
    struct waited_key **at = find(waiters, hash, awaited, key, group);
    if (*at == NULL) {
        *at = key_new(hash, awaited, key, group);
    }
    struct waited_key *waited = *at;
    place->key = waited;
    place->next = NULL;
    place->previous = waited->last;
    if (waited->last != NULL) {
        waited->last->next = place;
    } else {
        waited->first = place;
    }
    waited->last = place;
}

static void forget(struct waiters *waiters, struct waited_key *waited)
{
    struct waited_key **at =
        find(waiters, waited->hash, waited->awaited, waited->key, waited->group);
    ASSERT(*at == waited);
    *at = waited->next;
    mem_free(waited);
}

void *waiters_leave(struct waiters *waiters, struct waiter_place *place)
{
    struct waited_key *waited = place->key;
    bool was_first = place->previous == NULL;
    if (place->previous != NULL) {
        place->previous->next = place->next;
    } else {
        waited->first = place->next;
    }
    if (place->next != NULL) {
        place->next->previous = place->previous;
    } else {
        waited->last = place->previous;
    }
    place->key = NULL;
    if (waited->first == NULL) {
        forget(waiters, waited);
        return NULL;
    }
    return was_first ? waited->first->waiter : NULL;
}
