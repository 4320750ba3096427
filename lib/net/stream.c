#include "lib/net/stream.h"

#include <errno.h>
#include <sys/socket.h>
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

static enum stream_result plain_read(struct stream *stream, void *data, size_t size, size_t *count)
{
    return result_of(recv(stream->fd, data, size, 0), count);
}

static enum stream_result plain_write(struct stream *stream, const void *data, size_t size,
                                      size_t *count)
{
    return result_of(send(stream->fd, data, size, MSG_NOSIGNAL), count);
}

static void plain_close(struct stream *stream)
{
    (void)close(stream->fd);
}

static const struct stream_ops plain_ops = {plain_read, plain_write, plain_close};

void stream_open_plain(struct stream *stream, int fd)
{
    *stream = (struct stream){.ops = &plain_ops, .fd = fd};
}

void stream_close(struct stream *stream)
{
    if (stream->fd >= 0) {
        stream->ops->close(stream);
        stream->fd = -1;
    }
}
