/* Bytes over a connected socket. Plain or TLS (tls.h) is a table of functions here, never an if in
 * callers (as pgbouncer's SBufIO). Non-blocking; one thread.
 *
 * TLS may have taken bytes off the socket that it has not handed out: no readiness tells of them.
 * Whoever stops reading before STREAM_AGAIN, and whoever reads on after a pause, looks at
 * has_pending and calls io_read_again. */
#ifndef LIB_NET_STREAM_H
#define LIB_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/net/loop.h"

struct stream;
struct tls_session;

enum stream_result {
    STREAM_OK,    /* *count bytes were moved, at least one */
    STREAM_AGAIN, /* not now: wait for readiness */
    STREAM_END,   /* the other end closed, or the connection broke */
};

struct stream_ops {
    enum stream_result (*shake_hands)(struct stream *stream, bool *wants_write);
    enum stream_result (*read)(struct stream *stream, void *data, size_t size, size_t *count);
    enum stream_result (*write)(struct stream *stream, const void *data, size_t size,
                                size_t *count);
    void (*end_writing)(struct stream *stream);
    const char *(*why)(const struct stream *stream);
    void (*close)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    int fd; /* -1 when closed */
    bool has_pending;
    struct tls_session *tls; /* null: plain */
};

/* Takes over the descriptor. */
void stream_open_plain(struct stream *stream, int fd);

/* Before anything else, once the socket is connected, until it gives STREAM_OK; at once for a plain
 * one. STREAM_AGAIN: call again when it can be read, or written if *wants_write says so. */
static inline enum stream_result stream_shake_hands(struct stream *stream, bool *wants_write)
{
    return stream->ops->shake_hands(stream, wants_write);
}

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

/* Nothing is written any more; the other end reads that it is so. */
void stream_end_writing(struct stream *stream);

/* After STREAM_END: the reason, for messages. Lives as long as the stream is open. */
const char *stream_why(const struct stream *stream);

/* Goes on reading after a pause. */
static inline void stream_resume_reading(const struct stream *stream, struct io *io)
{
    io_resume_reading(io);
    if (stream->has_pending) {
        io_read_again(io);
    }
}

/* May be called twice. */
void stream_close(struct stream *stream);

#endif
