/* Who waits for an element of a key, oldest first. While a slot has a copy no shard keeps that
 * order, so this does: only the first may look and take. One thread. */
#ifndef PROXY_ROUTING_WAITERS_H
#define PROXY_ROUTING_WAITERS_H

#include "proxy/routing/wait_command.h"

#define WAITERS_BUCKETS 1024u

struct waited_key;

/* Zeroed is empty. */
struct waiters {
    struct waited_key *buckets[WAITERS_BUCKETS];
};

/* One waiter's place before one key. */
struct waiter_place {
    struct waiter_place *next, *previous;
    struct waited_key *key;
    void *waiter;
};

/* At the end. Waiters for lists, for sorted sets and of different groups do not see each other,
 * even with a key of the same name. `key` and `group` (may be empty) are copied. */
void waiters_join(struct waiters *waiters, struct waiter_place *place, enum awaited awaited,
                  struct slice key, struct slice group);
/* Returns the waiter who is the first now and was not before; or null. */
void *waiters_leave(struct waiters *waiters, struct waiter_place *place);

static inline bool waiter_is_first(const struct waiter_place *place)
{
    return place->previous == NULL;
}

#endif
