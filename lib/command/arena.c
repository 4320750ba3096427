#include "lib/command/arena.h"

#include "lib/base/memory.h"

struct arena_block {
    struct arena_block *next;
    _Alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    struct arena_block *block = mem_zalloc(sizeof(*block) + size_bytes);
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

void *arena_dup(struct arena *arena, const void *data, size_t size_bytes)
{
    void *copy = arena_alloc(arena, size_bytes);
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
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    return copy;
}

void arena_free(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        mem_free(block);
    }
}
