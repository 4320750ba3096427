#include "lib/net/timer_heap.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

void timer_heap_fini(struct timer_heap *heap)
{
    mem_free(heap->timers);
    *heap = (struct timer_heap){.count = 0};
}

static void put(struct timer_heap *heap, unsigned place, struct timer *timer)
{
    heap->timers[place] = timer;
    timer->place = place;
}

/* Finds the timer's place from a free one towards the top. */
static void rise(struct timer_heap *heap, unsigned place, struct timer *timer)
{
    while (place > 1 && timer->due_us < heap->timers[place / 2]->due_us) {
        put(heap, place, heap->timers[place / 2]);
        place /= 2;
    }
    put(heap, place, timer);
}

/* Moves the earlier one of those below up, until there is none; returns the place left free. */
static unsigned sink_gap(struct timer_heap *heap, unsigned place)
{
    while (2 * place <= heap->count) {
        unsigned below = 2 * place;
        if (below < heap->count && heap->timers[below + 1]->due_us < heap->timers[below]->due_us) {
            below++;
        }
        put(heap, place, heap->timers[below]);
        place = below;
    }
    return place;
}

void timer_heap_add(struct timer_heap *heap, struct timer *timer)
{
    ASSERT(timer->place == 0);
    if (heap->count + 1 >= heap->capacity) {
        heap->capacity = mem_grown(heap->capacity, heap->count + 2);
        heap->timers = mem_realloc(heap->timers, heap->capacity * sizeof(struct timer *));
    }
    rise(heap, ++heap->count, timer);
}

void timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
    ASSERT(timer->place > 0 && heap->timers[timer->place] == timer);
    unsigned gap = timer->place;
    struct timer *last = heap->timers[heap->count--];
    timer->place = 0;
    if (last != timer) {
        rise(heap, sink_gap(heap, gap), last);
    }
}
