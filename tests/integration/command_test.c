/* COMMAND without a subcommand, which clients ask for at their start, through a proxy and of a
 * plain Redis. The order of its sets and of its commands is another in each process, so what is
 * compared is sorted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "proxy/routing/reply_cursor.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"

#define VALUES_MAX 1000  /* of one array */
#define BYTES_MIN  10000 /* no error is that long */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The reply with what stands in its arrays, sets and maps sorted; freed with mem_free. */
static char *sorted_text(struct slice reply)
{
    if (memchr("*~%", reply.data[0], 3) == NULL) {
        return mem_strndup(reply.data, reply.len);
    }
    size_t head = (size_t)((const char *)memchr(reply.data, '\n', reply.len) + 1 - reply.data);
    struct slice rest = {reply.data + head, reply.len - head}, value;
    char *texts[VALUES_MAX];
    size_t count = 0;
    struct buffer all;
    buffer_init(&all, SIZE_MAX);
    buffer_add(&all, reply.data, head);
    while (reply_next(&rest, &value)) {
        assert_true(count < VALUES_MAX);
        texts[count++] = sorted_text(value);
    }
    qsort(texts, count, sizeof(*texts), by_text);
    for (size_t i = 0; i < count; i++) {
        buffer_add_text(&all, texts[i]);
        mem_free(texts[i]);
    }
    char *text = mem_strndup(buffer_slice(&all).data, buffer_length(&all));
    buffer_fini(&all);
    return text;
}

/* The last of its replies to these commands, sorted; freed with mem_free. */
static char *ask(uint16_t port, const char *commands, unsigned replies)
{
    struct buffer pending, reply;
    int fd = raw_connect(port);
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_send(fd, slice_of(commands)));
    for (unsigned i = 0; i < replies; i++) {
        buffer_clear(&reply);
        assert_true(raw_read_reply(fd, &pending, &reply));
    }
    char *text = sorted_text(buffer_slice(&reply));
    buffer_fini(&pending);
    buffer_fini(&reply);
    (void)close(fd);
    return text;
}

static void expect_the_same(const char *commands, unsigned replies)
{
    char *sluice = ask(cluster_proxy_port(cluster, 0), commands, replies);
    char *redis = ask(redis_server_port(plain_redis), commands, replies);
    assert_true(strlen(redis) > BYTES_MIN);
    assert_string_equal(sluice, redis);
    mem_free(sluice);
    mem_free(redis);
}

static void it_is_answered_as_redis_does(void **state)
{
    (void)state;
    expect_the_same("COMMAND\r\n", 1);
}

static void it_is_answered_as_redis_does_in_resp3(void **state)
{
    (void)state;
    expect_the_same("HELLO 3\r\nCOMMAND\r\n", 2);
}

/* It alone has subcommands and needs none. */
static void it_may_be_inside_a_transaction(void **state)
{
    (void)state;
    expect_the_same("MULTI\r\nCOMMAND\r\nPING\r\nEXEC\r\n", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_answered_as_redis_does),
        cmocka_unit_test(it_is_answered_as_redis_does_in_resp3),
        cmocka_unit_test(it_may_be_inside_a_transaction),
    };
    return cmocka_run_group_tests_name("COMMAND", tests, stage_set_beside_plain, stage_clear);
}
