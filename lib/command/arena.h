/* Many small allocations that are freed at once, with the table they belong to. */
#ifndef LIB_COMMAND_ARENA_H
#define LIB_COMMAND_ARENA_H

#include <stddef.h>

#include "lib/base/slice.h"

struct arena_block;

/* Starts as {NULL}. */
struct arena {
    struct arena_block *blocks;
};

/* Zeroed, aligned for any type; never null. */
void *arena_alloc(struct arena *arena, size_t size_bytes) __attribute__((warn_unused_result));
void *arena_dup(struct arena *arena, const void *data, size_t size_bytes)
    __attribute__((warn_unused_result));
/* Room for one more behind `count` items of `item_bytes`: the same array, or a larger one with
 * their copies, whose size doubles. */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t item_bytes)
    __attribute__((warn_unused_result));
/* Terminated with a zero. */
char *arena_text(struct arena *arena, struct slice text) __attribute__((warn_unused_result));
void arena_free(struct arena *arena);

#endif
