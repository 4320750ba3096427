/* Bytes over a connected socket. Plain or TLS is a table of functions here, never an if in callers
 * (as pgbouncer's SBufIO). Non-blocking; one thread. */
#ifndef LIB_NET_STREAM_H
#define LIB_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stream;

enum stream_result {
    STREAM_OK,    /* *count bytes were moved, at least one */
    STREAM_AGAIN, /* not now: wait for readiness */
    STREAM_END,   /* the other end closed, or the connection broke */
};

struct stream_ops {
    enum stream_result (*read)(struct stream *stream, void *data, size_t size, size_t *count);
    enum stream_result (*write)(struct stream *stream, const void *data, size_t size,
                                size_t *count);
    void (*close)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    int fd; /* -1 when closed */
};

/* Takes over the descriptor. */
void stream_open_plain(struct stream *stream, int fd);

static inline enum stream_result stream_read(struct stream *stream, void *data, size_t size,
                                             size_t *count)
{
    return stream->ops->read(stream, data, size, count);
}

static inline enum stream_result stream_write(struct stream *stream, const void *data, size_t size,
                                              size_t *count)
{
    return stream->ops->write(stream, data, size, count);
}

/* The other end has closed its half, or the connection broke, whatever it has sent before that is
 * still to be read: for one that is not read for the moment. */
bool stream_is_ending(const struct stream *stream);

/* May be called twice. */
void stream_close(struct stream *stream);

#endif
