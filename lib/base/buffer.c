#include "lib/base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

#define SMALLEST_BYTES ((size_t)512)

void buffer_init(struct buffer *buffer, size_t limit_bytes)
{
    *buffer = (struct buffer){.limit = limit_bytes};
}

void buffer_fini(struct buffer *buffer)
{
    mem_free(buffer->data);
    buffer_init(buffer, buffer->limit);
}

static void move_to_front(struct buffer *buffer)
{
    size_t length = buffer_length(buffer);
    memmove(buffer->data, buffer->data + buffer->start, length);
    buffer->start = 0;
    buffer->end = length;
}

/* Room for `size_bytes` at the end, whatever the limit says. */
static char *make_room(struct buffer *buffer, size_t size_bytes)
{
    if (buffer->data != NULL && buffer->capacity - buffer->end >= size_bytes) {
        return buffer->data + buffer->end;
    }
    /* Moving is cheap only when what is left is the smaller part. */
    if (buffer->data != NULL && buffer->start >= buffer_length(buffer)) {
        move_to_front(buffer);
    }
    size_t needed = buffer->end + size_bytes;
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : SMALLEST_BYTES;
    while (capacity < needed) {
        capacity *= 2;
    }
    if (capacity != buffer->capacity) {
        buffer->data = mem_realloc(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->end;
}

char *buffer_reserve_more(struct buffer *buffer, size_t size_bytes)
{
    if (size_bytes > buffer->limit || buffer_length(buffer) > buffer->limit - size_bytes) {
        return NULL;
    }
    return make_room(buffer, size_bytes);
}

bool buffer_append(struct buffer *buffer, const void *data, size_t size_bytes)
{
    if (size_bytes == 0) {
        return true;
    }
    char *room = buffer_reserve(buffer, size_bytes);
    if (room == NULL) {
        return false;
    }
    memcpy(room, data, size_bytes);
    buffer->end += size_bytes;
    return true;
}

void buffer_add_more(struct buffer *buffer, const void *data, size_t size_bytes)
{
    bool fits = buffer_append(buffer, data, size_bytes);
    ASSERT(fits);
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(length >= 0);
    ASSERT((size_t)length <= buffer->limit - buffer_length(buffer));
    char *room = make_room(buffer, (size_t)length + 1); /* the zero does not count */
    (void)vsnprintf(room, (size_t)length + 1, format, again);
    va_end(again);
    buffer->end += (size_t)length;
}

void buffer_consume(struct buffer *buffer, size_t size_bytes)
{
    ASSERT(size_bytes <= buffer_length(buffer));
    buffer->start += size_bytes;
    if (buffer->start == buffer->end) {
        buffer->start = buffer->end = 0;
    }
}
