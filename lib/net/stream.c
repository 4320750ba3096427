#include "lib/net/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum stream_result result_of(ssize_t moved, size_t *count)
{
    if (moved > 0) {
        *count = (size_t)moved;
        return STREAM_OK;
    }
    *count = 0;
    if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return STREAM_AGAIN;
    }
    return STREAM_END;
}

/* By number: the C library's recv and send are cancellation points, whose book-keeping costs as
 * much as all else that they do in user space, and no thread here is ever cancelled. Under a
 * sanitizer by name, since it watches those. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RECV(fd, data, size)        recv(fd, data, size, 0)
#define SEND(fd, data, size, flags) send(fd, data, size, flags)
#else
#define RECV(fd, data, size)        syscall(SYS_recvfrom, fd, data, size, 0, NULL, NULL)
#define SEND(fd, data, size, flags) syscall(SYS_sendto, fd, data, size, flags, NULL, 0)
#endif

static enum stream_result plain_read(struct stream *stream, void *data, size_t size, size_t *count)
{
    return result_of(RECV(stream->fd, data, size), count);
}

static enum stream_result plain_write(struct stream *stream, const void *data, size_t size,
                                      size_t *count)
{
    return result_of(SEND(stream->fd, data, size, MSG_NOSIGNAL), count);
}

static enum stream_result plain_shake_hands(struct stream *stream, bool *wants_write)
{
    (void)stream;
    *wants_write = false;
    return STREAM_OK;
}

static void plain_end_writing(struct stream *stream)
{
    (void)shutdown(stream->fd, SHUT_WR);
}

static const char *plain_why(const struct stream *stream)
{
    (void)stream;
    return "the other end closed the connection";
}

static void plain_close(struct stream *stream)
{
    (void)close(stream->fd);
}

static const struct stream_ops plain_ops = {plain_shake_hands, plain_read, plain_write,
                                            plain_end_writing, plain_why,  plain_close};

void stream_open_plain(struct stream *stream, int fd)
{
    *stream = (struct stream){.ops = &plain_ops, .fd = fd};
}

bool stream_is_ending(const struct stream *stream)
{
    struct pollfd wanted = {.fd = stream->fd, .events = POLLRDHUP};
    return poll(&wanted, 1, 0) > 0;
}

void stream_end_writing(struct stream *stream)
{
    stream->ops->end_writing(stream);
}

const char *stream_why(const struct stream *stream)
{
    return stream->ops->why(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->fd >= 0) {
        stream->ops->close(stream);
        stream->fd = -1;
        stream->has_pending = false;
    }
}
