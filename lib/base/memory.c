#include "lib/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory, size_t size_bytes)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory: %zu bytes were refused\n", size_bytes);
        abort();
    }
    return memory;
}

void *mem_alloc(size_t size_bytes)
{
    size_t size = size_bytes > 0 ? size_bytes : 1;
    return checked(malloc(size), size);
}

void *mem_zalloc(size_t size_bytes)
{
    size_t size = size_bytes > 0 ? size_bytes : 1;
    return checked(calloc(1, size), size);
}

void *mem_realloc(void *old, size_t size_bytes)
{
    if (size_bytes == 0) {
        free(old);
        return NULL;
    }
    return checked(realloc(old, size_bytes), size_bytes);
}

void *mem_dup(const void *data, size_t size_bytes)
{
    void *copy = mem_alloc(size_bytes);
    if (size_bytes > 0) {
        memcpy(copy, data, size_bytes);
    }
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_strndup(const char *data, size_t size_bytes)
{
    char *copy = mem_alloc(size_bytes + 1);
    if (size_bytes > 0) {
        memcpy(copy, data, size_bytes);
    }
    copy[size_bytes] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int written = vasprintf(&text, format, args);
    va_end(args);
    return checked(written < 0 ? NULL : text, 1);
}

void mem_free(void *memory)
{
    free(memory);
}

size_t mem_grown(size_t capacity, size_t needed)
{
    size_t grown = capacity > 0 ? capacity : 8;
    while (grown < needed) {
        grown *= 2;
    }
    return grown;
}
