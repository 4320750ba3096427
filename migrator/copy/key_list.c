#include "migrator/copy/key_list.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

void key_list_init(struct key_list *list)
{
    *list = (struct key_list){.count = 0};
    buffer_init(&list->bytes, SIZE_MAX);
}

void key_list_fini(struct key_list *list)
{
    buffer_fini(&list->bytes);
    mem_free(list->items);
    *list = (struct key_list){.count = 0};
}

void key_list_clear(struct key_list *list)
{
    buffer_clear(&list->bytes);
    list->count = 0;
}

void key_list_add(struct key_list *list, struct slice key)
{
    MEM_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = (struct key_ref){buffer_length(&list->bytes), key.len};
    buffer_add(&list->bytes, key.data, key.len);
}

struct slice key_list_at(const struct key_list *list, size_t index)
{
    ASSERT(index < list->count);
    const struct key_ref *key = &list->items[index];
    return (struct slice){buffer_slice(&list->bytes).data + key->offset, key->length};
}

struct key_group key_list_group(const struct key_list *list, size_t first, size_t limit)
{
    size_t left = first < list->count ? list->count - first : 0;
    return (struct key_group){list, first, left < limit ? left : limit};
}
