#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)65536)

/* True with *got = 0 at the end of the file. */
static bool read_some(int fd, char *room, size_t size_bytes, size_t *got)
{
    ssize_t count;
    do {
        count = read(fd, room, size_bytes);
    } while (count < 0 && errno == EINTR);
    *got = count > 0 ? (size_t)count : 0;
    return count >= 0;
}

static bool read_all(int fd, struct buffer *content)
{
    for (;;) {
        size_t left = content->limit - buffer_length(content);
        size_t size = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        char one_more;
        char *room = size > 0 ? buffer_reserve(content, size) : &one_more;
        size_t got;
        if (!read_some(fd, room, size > 0 ? size : 1, &got)) {
            return false;
        }
        if (got == 0) {
            return true;
        }
        if (size == 0) {
            errno = EFBIG;
            return false;
        }
        buffer_commit(content, got);
    }
}

bool file_read(const char *path, struct buffer *content, bool *is_missing, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (is_missing != NULL) {
        *is_missing = fd < 0 && errno == ENOENT;
    }
    if (fd < 0) {
        return error_set(err, "cannot open \"%s\": %s", path, strerror(errno));
    }
    bool ok = read_all(fd, content);
    int why = errno;
    (void)close(fd);
    return ok ? true : error_set(err, "cannot read \"%s\": %s", path, strerror(why));
}

static bool write_all(int fd, struct slice content)
{
    while (content.len > 0) {
        ssize_t written = write(fd, content.data, content.len);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            content = (struct slice){content.data + written, content.len - (size_t)written};
        }
    }
    return true;
}

bool file_write(const char *path, struct slice content, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return error_set(err, "cannot create \"%s\": %s", path, strerror(errno));
    }
    bool ok = write_all(fd, content) && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        why = errno;
    }
    return ok ? true : error_set(err, "cannot write \"%s\": %s", path, strerror(why));
}

bool file_sync_folder(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ? true : error_set(err, "cannot sync folder \"%s\": %s", path, strerror(why));
}
