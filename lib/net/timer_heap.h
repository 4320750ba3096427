/* The running timers of one loop, the first due on top. For loop.c only. */
#ifndef LIB_NET_TIMER_HEAP_H
#define LIB_NET_TIMER_HEAP_H

#include <stddef.h>

#include "lib/net/loop.h"

/* Zeroed memory is an empty heap. Timers are borrowed; timer->place is written only here. */
struct timer_heap {
    struct timer **timers; /* [1..count]: none is due before timers[place / 2] */
    unsigned count;
    size_t capacity;
};

void timer_heap_fini(struct timer_heap *heap);
void timer_heap_add(struct timer_heap *heap, struct timer *timer);    /* which does not run */
void timer_heap_remove(struct timer_heap *heap, struct timer *timer); /* which runs */

/* Null when there is none. */
static inline struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->timers[1] : NULL;
}

#endif
