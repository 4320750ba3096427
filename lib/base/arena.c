#include "lib/base/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/memory.h"

#define BLOCK_FIRST ((size_t)512)
#define BLOCK_MOST  ((size_t)64 << 10)
#define GROWTH      4

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static size_t aligned(size_t size)
{
    return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static size_t next_size(const struct arena_block *newest)
{
    if (newest == NULL) {
        return BLOCK_FIRST;
    }
    return newest->size < BLOCK_MOST / GROWTH ? newest->size * GROWTH : BLOCK_MOST;
}

static struct arena_block *add_block(struct arena *arena, size_t least)
{
    size_t usual = next_size(arena->newest);
    size_t size = least > usual ? least : usual;
    struct arena_block *block = mem_alloc(sizeof(*block) + size);
    *block = (struct arena_block){.next = arena->newest, .size = size};
    arena->newest = block;
    return block;
}

void *arena_cut(struct arena *arena, size_t size_bytes)
{
    size_t size = aligned(size_bytes);
    struct arena_block *block = arena->newest;
    if (block == NULL || block->size - block->used < size) {
        block = add_block(arena, size);
    }
    void *piece = block->bytes + block->used;
    block->used += size;
    return piece;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    return memset(arena_cut(arena, size_bytes), 0, size_bytes);
}

void *arena_dup(struct arena *arena, const void *data, size_t size_bytes)
{
    void *copy = arena_cut(arena, size_bytes);
    if (size_bytes > 0) {
        memcpy(copy, data, size_bytes);
    }
    return copy;
}

void *arena_grow(struct arena *arena, void *items, size_t count, size_t item_bytes)
{
    bool is_full = (count & (count - 1)) == 0; /* 0, 1, 2, 4, ... */
    if (!is_full) {
        return items;
    }
    void *larger = arena_alloc(arena, (count > 0 ? count * 2 : 1) * item_bytes);
    if (count > 0) {
        memcpy(larger, items, count * item_bytes);
    }
    return larger;
}

char *arena_text(struct arena *arena, struct slice text)
{
    char *copy = arena_cut(arena, text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    return copy;
}

void arena_free(struct arena *arena)
{
    while (arena->newest != NULL) {
        struct arena_block *block = arena->newest;
        arena->newest = block->next;
        mem_free(block);
    }
}
