/* Many allocations that are freed at once: pieces cut from blocks that grow. One thread at a
 * time. */
#ifndef LIB_BASE_ARENA_H
#define LIB_BASE_ARENA_H

#include <stddef.h>

#include "lib/base/slice.h"

struct arena_block;

/* Starts as {NULL}; may be moved. */
struct arena {
    struct arena_block *newest;
};

/* Aligned for any type; never null. The bytes are undefined. */
void *arena_cut(struct arena *arena, size_t size_bytes) __attribute__((warn_unused_result));
/* The same, zeroed. */
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
