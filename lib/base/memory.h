/* Heap memory that never fails: out of memory ends the process, with a message.
 * So whatever a client can make us keep is bounded before it gets here (docs: STYLE, errors).
 * Any thread. All results are freed with mem_free. */
#ifndef LIB_BASE_MEMORY_H
#define LIB_BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

/* The result is never null, except for mem_realloc(p, 0), which frees p. */
void *mem_alloc(size_t size_bytes) __attribute__((malloc, warn_unused_result));
void *mem_zalloc(size_t size_bytes) __attribute__((malloc, warn_unused_result));
void *mem_realloc(void *old, size_t size_bytes) __attribute__((warn_unused_result));
void *mem_dup(const void *data, size_t size_bytes) __attribute__((malloc, warn_unused_result));
char *mem_strdup(const char *text) __attribute__((malloc, warn_unused_result));
char *mem_strndup(const char *data, size_t size_bytes) __attribute__((malloc, warn_unused_result));
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), warn_unused_result));
void mem_free(void *memory);

/* A new capacity of at least `needed` elements, doubling from `capacity`. */
size_t mem_grown(size_t capacity, size_t needed);

/* Make room for one more element behind `count` elements of the growing array `items`. */
#define MEM_GROW(items, count, capacity)                                   \
    do {                                                                   \
        if ((count) == (capacity)) {                                       \
            (capacity) = mem_grown((capacity), (size_t)(count) + 1);       \
            (items) = mem_realloc((items), (capacity) * sizeof(*(items))); \
        }                                                                  \
    } while (0)

#endif
