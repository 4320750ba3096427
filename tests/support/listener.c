#include "tests/support/listener.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/raw.h"

struct listener {
    int fd;
    struct buffer pending;
    struct buffer value;
};

/* Zero-terminates the text of the bulk string that *at begins with, and goes behind it. */
static const char *take_bulk(char **at)
{
    char *end = NULL;
    assert_int_equal(**at, '$');
    unsigned long length = strtoul(*at + 1, &end, 10);
    char *text = end + 2;
    text[length] = '\0';
    *at = text + length + 2;
    return text;
}

static char *read_value(struct listener *listener, unsigned long *count)
{
    char *at = NULL;
    buffer_clear(&listener->value);
    if (!raw_read_reply(listener->fd, &listener->pending, &listener->value)) {
        fail_msg("a subscriber got nothing more");
    }
    buffer_add(&listener->value, "", 1);
    char *text = listener->value.data + listener->value.start;
    if (text[0] != '*' && text[0] != '>') {
        fail_msg("a subscriber got %s", text);
    }
    *count = strtoul(text + 1, &at, 10);
    return at + 2;
}

struct listener *listener_open(uint16_t port, const char *command)
{
    struct listener *listener = mem_zalloc(sizeof(*listener));
    struct buffer line;
    buffer_init(&listener->pending, SIZE_MAX);
    buffer_init(&listener->value, SIZE_MAX);
    buffer_init(&line, SIZE_MAX);
    listener->fd = raw_connect(port);
    buffer_printf(&line, "%s\r\n", command);
    assert_true(listener->fd > 0 && raw_send(listener->fd, buffer_slice(&line)));
    buffer_fini(&line);
    for (const char *at = command; (at = strchr(at, ' ')) != NULL; at++) {
        unsigned long count;
        char *elements = read_value(listener, &count);
        assert_non_null(strstr(take_bulk(&elements), "subscribe"));
    }
    return listener;
}

void listener_close(struct listener *listener)
{
    if (listener != NULL) {
        (void)close(listener->fd);
        buffer_fini(&listener->pending);
        buffer_fini(&listener->value);
        mem_free(listener);
    }
}

struct heard listener_next(struct listener *listener)
{
    unsigned long count;
    struct heard heard = {NULL, NULL};
    char *elements = read_value(listener, &count);
    assert_true(count == 3 || count == 4);
    assert_non_null(strstr(take_bulk(&elements), "message"));
    for (unsigned long i = 1; i < count; i++) {
        heard.channel = i + 1 < count ? take_bulk(&elements) : heard.channel;
        heard.text = i + 1 == count ? take_bulk(&elements) : NULL;
    }
    return heard;
}

bool listener_has_more(struct listener *listener, int ms)
{
    struct pollfd wait = {.fd = listener->fd, .events = POLLIN};
    return buffer_length(&listener->pending) > 0 || poll(&wait, 1, ms) > 0;
}
