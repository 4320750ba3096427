/* A growing run of bytes with a limit, read at its front and written at its end.
 * One owner, one thread. An empty buffer holds no memory. */
#ifndef LIB_BASE_BUFFER_H
#define LIB_BASE_BUFFER_H

#include "lib/base/slice.h"

struct buffer {
    char *data;
    size_t start;    /* first unread byte */
    size_t end;      /* one past the last byte */
    size_t capacity; /* bytes allocated at data */
    size_t limit;    /* the most unread bytes it may hold; SIZE_MAX: the caller bounds it */
};

void buffer_init(struct buffer *buffer, size_t limit_bytes);
/* Frees the memory; the buffer is empty and may be used again. */
void buffer_fini(struct buffer *buffer);

static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    /* Never null, so that the result may go to memcmp, printf and their like. */
    const char *front = buffer->data != NULL ? buffer->data + buffer->start : "";
    return (struct slice){front, buffer->end - buffer->start};
}

/* Room for `size` more bytes at the end, or null when that would pass the limit.
 * Write there, then tell how many were written with buffer_commit. */
static inline char *buffer_reserve(struct buffer *buffer, size_t size_bytes)
    __attribute__((warn_unused_result));

static inline void buffer_commit(struct buffer *buffer, size_t size_bytes)
{
    buffer->end += size_bytes;
}

/* False, and nothing appended, when it would pass the limit. */
bool buffer_append(struct buffer *buffer, const void *data, size_t size_bytes)
    __attribute__((warn_unused_result));
/* These three are for buffers whose limit cannot be reached: they assert that it fits. */
static inline void buffer_add(struct buffer *buffer, const void *data, size_t size_bytes);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drop `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size_bytes);

static inline void buffer_clear(struct buffer *buffer)
{
    buffer->start = buffer->end = 0;
}

/* Empty it, and give its memory back when it is larger than `keep_bytes`. */
static inline void buffer_recycle(struct buffer *buffer, size_t keep_bytes)
{
    if (buffer->capacity > keep_bytes) {
        buffer_fini(buffer);
    }
    buffer_clear(buffer);
}

/* --- the data path lives on these two: what fits is done in place -------------------------- */

char *buffer_reserve_more(struct buffer *buffer, size_t size_bytes);
void buffer_add_more(struct buffer *buffer, const void *data, size_t size_bytes);

static inline bool buffer_has_room(const struct buffer *buffer, size_t size_bytes)
{
    return size_bytes <= buffer->capacity - buffer->end &&
           size_bytes <= buffer->limit - buffer_length(buffer);
}

static inline char *buffer_reserve(struct buffer *buffer, size_t size_bytes)
{
    return buffer->data != NULL && buffer_has_room(buffer, size_bytes)
               ? buffer->data + buffer->end
               : buffer_reserve_more(buffer, size_bytes);
}

static inline void buffer_add(struct buffer *buffer, const void *data, size_t size_bytes)
{
    if (size_bytes > 0 && buffer_has_room(buffer, size_bytes)) {
        memcpy(buffer->data + buffer->end, data, size_bytes);
        buffer->end += size_bytes;
    } else {
        buffer_add_more(buffer, data, size_bytes);
    }
}

#endif
