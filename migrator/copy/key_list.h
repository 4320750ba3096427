/* A list of keys with memory of its own: what a page of SCAN or a handful of marks left over.
 * One thread. */
#ifndef MIGRATOR_COPY_KEY_LIST_H
#define MIGRATOR_COPY_KEY_LIST_H

#include <stdint.h>

#include "lib/base/buffer.h"

/* What goes into one MULTI, one script: small enough not to hold a shard up. */
#define GROUP_KEYS_MAX  128u
#define GROUP_BYTES_MAX (UINT64_C(256) * 1024)

struct key_ref {
    size_t offset;
    size_t length;
};

struct key_list {
    struct buffer bytes;
    struct key_ref *items;
    size_t count;
    size_t capacity;
};

void key_list_init(struct key_list *list);
void key_list_fini(struct key_list *list);
void key_list_clear(struct key_list *list);
/* Copies the key. */
void key_list_add(struct key_list *list, struct slice key);
/* Valid until the list changes. */
struct slice key_list_at(const struct key_list *list, size_t index);

/* Some keys of a list that follow each other. */
struct key_group {
    const struct key_list *list;
    size_t first;
    size_t count;
};

/* The group that begins at `first`, of at most `limit` keys. Empty at the end of the list. */
struct key_group key_list_group(const struct key_list *list, size_t first, size_t limit);

#endif
