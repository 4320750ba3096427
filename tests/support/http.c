#include "tests/support/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "tests/support/raw.h"

int http_get(uint16_t port, const char *path, char **body)
{
    int status = 0;
    if (body != NULL) {
        *body = NULL;
    }
    int fd = raw_connect(port);
    if (fd < 0) {
        return 0;
    }
    char *request = mem_printf("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    struct buffer answer;
    buffer_init(&answer, SIZE_MAX);
    if (raw_send(fd, slice_of(request))) {
        raw_read_to_end(fd, &answer);
        buffer_add(&answer, "", 1);
        const char *text = buffer_slice(&answer).data;
        if (sscanf(text, "HTTP/%*s %d", &status) != 1) {
            status = 0;
        }
        const char *start = strstr(text, "\r\n\r\n");
        if (body != NULL && start != NULL) {
            *body = mem_strdup(start + 4);
        }
    }
    mem_free(request);
    buffer_fini(&answer);
    (void)close(fd);
    return status;
}

uint64_t http_metric(uint16_t port, const char *name)
{
    char *body = NULL;
    assert_int_equal(http_get(port, "/metrics", &body), 200);
    char *line = mem_printf("\n%s ", name);
    const char *found = strstr(body, line);
    assert_non_null(found);
    uint64_t value = strtoull(found + strlen(line), NULL, 10);
    mem_free(line);
    mem_free(body);
    return value;
}
