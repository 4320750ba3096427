/* A shard that is slow, or stands still, costs those who ask it an error, and the others nothing.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/router_rig.h"

#define PATIENCE_MS 60000
#define QUEUE_MAX   20
#define PIPELINED   10
#define LARGE_BYTES \
    ((size_t)24 << 20) /* more than the sockets take, by more than the router's mark */

static struct router_rig rig;

static int start(void **state)
{
    router_rig_start(&rig, &(struct rig_options){.shards = 2,
                                                 .protocol = rig_protocol_of(state),
                                                 .timeout_ms = 60000,
                                                 .queue_max = QUEUE_MAX});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    router_rig_stop(&rig);
    process_stop_all();
    return 0;
}

static uint64_t overloaded(unsigned shard)
{
    return counter_read(&rig.counters.shards[shard].overloaded);
}

static void expect_the_other_shard_to_answer(int fd)
{
    for (unsigned i = 0; i < PIPELINED; i++) {
        rig_send(&rig, fd, "GET %s", rig_key(&rig, 1, 0));
    }
    for (unsigned i = 0; i < PIPELINED; i++) {
        rig_expect(&rig, fd, rig_null(&rig));
    }
}

static void above_the_bound_a_request_is_refused_at_once(void **state)
{
    (void)state;
    int waiting = rig_connect(&rig);
    int late = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    rig_signal(&rig, 0, SIGSTOP);
    for (unsigned i = 0; i < QUEUE_MAX; i++) {
        rig_send(&rig, waiting, "INCR %s", key);
    }
    assert_true(rig_is_silent(&rig, waiting));
    rig_send(&rig, late, "INCR %s", key);
    rig_expect(&rig, late, "-UNAVAILABLE shard s1 has too much under way; not executed");
    expect_the_other_shard_to_answer(late);
    assert_int_equal(overloaded(0), 1);
    assert_int_equal(overloaded(1), 0);
    rig_signal(&rig, 0, SIGCONT);
    for (unsigned i = 0; i < QUEUE_MAX; i++) {
        rig_expect(&rig, waiting, ":");
    }
    rig_send(&rig, late, "GET %s", key);
    rig_expect(&rig, late, "$2\r\n20\r\n");
    (void)close(waiting);
    (void)close(late);
}

static void pipelined_requests_to_others_wait_for_nothing_but_the_order(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *slow = rig_key(&rig, 0, 0);
    const char *quick = rig_key(&rig, 1, 0);
    rig_signal(&rig, 0, SIGSTOP);
    rig_send(&rig, fd, "SET %s 1", quick);
    rig_send(&rig, fd, "GET %s", slow);
    rig_send(&rig, fd, "INCR %s", quick);
    rig_expect(&rig, fd, "+OK");
    assert_true(rig_is_silent(&rig, fd));
    expect(rig.direct[1], "EXISTS __sluice:fence", ":1");
    char *command = mem_printf("GET %s", quick);
    RIG_UNTIL(&rig, client_gets(rig.direct[1], command, "2"), PATIENCE_MS); /* executed already */
    mem_free(command);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, rig_null(&rig));
    rig_expect(&rig, fd, ":2");
    (void)close(fd);
}

/* By MSET: a large SET would be read no faster than its shard takes it. */
static void send_large_value(int fd, const char *key)
{
    char *value = mem_alloc(LARGE_BYTES);
    memset(value, 'v', LARGE_BYTES);
    char *head =
        mem_printf("*3\r\n$4\r\nMSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, LARGE_BYTES);
    rig_write(&rig, fd, slice_of(head));
    rig_write(&rig, fd, (struct slice){value, LARGE_BYTES});
    rig_write(&rig, fd, SLICE("\r\n"));
    mem_free(head);
    mem_free(value);
}

/* A client of its own: behind a request that waits, none is answered. */
static bool ask_in_vain(const char *key)
{
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "STRLEN %s", key);
    (void)rig_is_silent(&rig, fd);
    (void)close(fd);
    return overloaded(0) > 0;
}

/* Without bounds its backlog would stop the reading of every client. */
static void a_shard_that_takes_no_bytes_stops_nobody_else(void **state)
{
    (void)state;
    int large = rig_connect(&rig);
    int others = rig_connect(&rig);
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    rig_signal(&rig, 0, SIGSTOP);
    send_large_value(large, key);
    RIG_UNTIL(&rig, counter_read(&rig.counters.shards[0].bytes_out) > 0, PATIENCE_MS);
    expect_the_other_shard_to_answer(others);
    RIG_UNTIL(&rig, ask_in_vain(key), PATIENCE_MS);
    expect_the_other_shard_to_answer(others);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, large, "+OK\r\n");
    int fresh = rig_connect(&rig);
    rig_send(&rig, fresh, "STRLEN %s", key);
    rig_expect(&rig, fresh, ":25165824\r\n");
    mem_free(key);
    (void)close(large);
    (void)close(others);
    (void)close(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_IN_BOTH(above_the_bound_a_request_is_refused_at_once, start, stop),
        RIG_IN_BOTH(pipelined_requests_to_others_wait_for_nothing_but_the_order, start, stop),
        RIG_IN_BOTH(a_shard_that_takes_no_bytes_stops_nobody_else, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
