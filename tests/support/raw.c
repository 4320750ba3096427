#include "tests/support/raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/assert.h"

#define TIMEOUT_S  60
#define READ_BYTES 65536

int raw_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    struct timeval patience = {.tv_sec = TIMEOUT_S};
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool raw_send(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes.data += sent;
        bytes.len -= (size_t)sent;
    }
    return true;
}

/* What recv said: above 0 bytes were appended. */
static ssize_t read_some(int fd, struct buffer *bytes)
{
    char *room = buffer_reserve(bytes, READ_BYTES);
    ASSERT(room != NULL);
    ssize_t got = recv(fd, room, READ_BYTES, 0);
    if (got > 0) {
        buffer_commit(bytes, (size_t)got);
    }
    return got;
}

bool raw_read_to_end(int fd, struct buffer *bytes)
{
    ssize_t got;
    do {
        got = read_some(fd, bytes);
    } while (got > 0);
    return got == 0;
}

static size_t line_length(struct slice bytes)
{
    const char *end = memchr(bytes.data, '\n', bytes.len);
    return end != NULL ? (size_t)(end - bytes.data) + 1 : 0;
}

static size_t aggregate_length(struct slice bytes, size_t header, long long elements)
{
    size_t length = header;
    for (long long i = 0; i < elements; i++) {
        size_t part = raw_reply_length((struct slice){bytes.data + length, bytes.len - length});
        if (part == 0) {
            return 0;
        }
        length += part;
    }
    return length;
}

size_t raw_reply_length(struct slice bytes)
{
    size_t header = bytes.len > 0 ? line_length(bytes) : 0;
    if (header == 0) {
        return 0;
    }
    long long number = strtoll(bytes.data + 1, NULL, 10);
    switch (bytes.data[0]) {
    case '$':
    case '!':
    case '=':
        if (number < 0) {
            return header;
        }
        return header + (size_t)number + 2 <= bytes.len ? header + (size_t)number + 2 : 0;
    case '*':
    case '~':
    case '>':
        return aggregate_length(bytes, header, number);
    case '%':
        return aggregate_length(bytes, header, 2 * number);
    default:
        return header;
    }
}

bool raw_read_reply(int fd, struct buffer *pending, struct buffer *reply)
{
    size_t length = raw_reply_length(buffer_slice(pending));
    while (length == 0) {
        if (read_some(fd, pending) <= 0) {
            return false;
        }
        length = raw_reply_length(buffer_slice(pending));
    }
    buffer_add(reply, buffer_slice(pending).data, length);
    buffer_consume(pending, length);
    return true;
}

void raw_add_command(struct buffer *bytes, int argc, const struct slice *argv)
{
    buffer_printf(bytes, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        buffer_printf(bytes, "$%zu\r\n", argv[i].len);
        buffer_add(bytes, argv[i].data, argv[i].len);
        buffer_add_text(bytes, "\r\n");
    }
}
