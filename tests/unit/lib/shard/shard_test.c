#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/shard/shard.h"
#include "tests/support/ask.h"

static struct redis_server *server;

static int start(void **state)
{
    (void)state;
    server = redis_server_start_in_memory();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(server);
    return 0;
}

static void a_link_has_a_name_and_knows_its_process(void **state)
{
    (void)state;
    char run_id[64];
    struct shard_link *link = ask_open(server);
    expect_ask(link, "CLIENT GETNAME", "sluice:test");
    assert_true(shard_info(link, "server", "run_id", run_id, sizeof(run_id), NULL));
    assert_string_equal(shard_link_identity(link)->run_id, run_id);
    assert_int_equal(strlen(shard_link_identity(link)->replid), RUN_ID_LENGTH);
    shard_close(link);
}

static void replies_of_a_pipeline_come_in_order(void **state)
{
    (void)state;

    enum {
        COUNT = 20000
    };
    struct shard_link *link = ask_open(server);
    char *large = mem_alloc(1000);
    memset(large, 'x', 1000);
    for (int i = 0; i < COUNT; i++) {
        shard_appendf(link, "ECHO %d:%b", i, large, (size_t)1000);
    }
    assert_true(shard_flush(link, NULL));
    for (int i = 0; i < COUNT; i++) {
        char expected[16];
        struct shard_reply *reply = shard_take(link, NULL);
        (void)snprintf(expected, sizeof(expected), "%d:x", i);
        assert_non_null(reply);
        assert_true(slice_starts_with(shard_reply_text(reply), slice_of(expected)));
        shard_reply_free(reply);
    }
    mem_free(large);
    shard_close(link);
}

static void every_type_of_reply_is_told_apart(void **state)
{
    (void)state;
    struct shard_link *link = ask_open(server);
    expect_ask(link, "SET k v", "+OK");
    expect_ask(link, "STRLEN k", ":1");
    expect_ask(link, "MGET k nothing", "[v, (nil)]");
    expect_ask(link, "NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ");
    struct shard_reply *reply = shard_commandf(link, NULL, "GET k");
    assert_int_equal(shard_reply_integer(reply), 0);
    assert_int_equal(shard_reply_count(reply), 0);
    shard_reply_free(reply);
    shard_close(link);
}

static void an_error_reply_names_the_address_and_the_command(void **state)
{
    (void)state;
    struct error err;
    struct shard_link *link = ask_open(server);
    expect_ask(link, "SET text v", "+OK");
    assert_null(shard_commandf(link, &err, "LPOP text"));
    char *expected = mem_printf("127.0.0.1:%u: LPOP: WRONGTYPE Operation against a key holding the "
                                "wrong kind of value",
                                (unsigned)redis_server_port(server));
    assert_string_equal(err.text, expected);
    assert_false(shard_is_broken(link));
    mem_free(expected);
    shard_close(link);
}

static void a_script_is_loaded_when_the_server_does_not_know_it(void **state)
{
    (void)state;
    struct error err;
    struct slice words[] = {SLICE("__sluice:fence"), SLICE("a"), SLICE("b"), SLICE("1")};
    struct shard_link *link = ask_open(server);
    expect_ask(link, "SCRIPT FLUSH", "+OK");
    assert_null(shard_script(link, SCRIPT_RAISE, words, 4, 1, &err));
    assert_string_equal(err.text, "UNFENCED the fence is absent");
    shard_close(link);
}

static void a_field_of_info_is_found_whole_or_not_at_all(void **state)
{
    (void)state;
    char text[64], tiny[4];
    struct error err;
    struct shard_link *link = ask_open(server);
    assert_true(shard_info(link, "server", "tcp_port", text, sizeof(text), NULL));
    assert_int_equal(strtol(text, NULL, 10), redis_server_port(server));
    assert_false(shard_info(link, "server", "tcp", text, sizeof(text), &err));
    assert_false(shard_info(link, "server", "run_id", tiny, sizeof(tiny), &err));
    shard_close(link);
}

static void nobody_there_is_said_with_the_address(void **state)
{
    (void)state;
    struct error err;
    assert_null(shard_open(&(const struct topology_shard){.host = "127.0.0.1", .port = 1}, "test",
                           1000, &err));
    assert_string_equal(err.text, "cannot connect to 127.0.0.1:1: Connection refused");
}

/* A listener that accepts in the kernel and never answers. */
static int open_silent(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void every_call_ends_in_time(void **state)
{
    (void)state;
    struct error err;
    uint16_t port;
    int fd = open_silent(&port);
    uint64_t before_us = clock_now_us();
    assert_null(shard_open(&(const struct topology_shard){.host = "127.0.0.1", .port = port},
                           "test", 100, &err));
    assert_true(clock_now_us() - before_us < 5000000);
    assert_non_null(strstr(err.text, "no answer within 100 ms"));
    (void)close(fd);
}

static void a_link_whose_server_is_gone_is_broken(void **state)
{
    (void)state;
    struct error err;
    struct shard_link *link = ask_open(server);
    redis_server_restart(server, false);
    assert_null(shard_commandf(link, &err, "PING"));
    assert_true(shard_is_broken(link));
    assert_null(shard_commandf(link, &err, "PING"));
    shard_close(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_has_a_name_and_knows_its_process),
        cmocka_unit_test(replies_of_a_pipeline_come_in_order),
        cmocka_unit_test(every_type_of_reply_is_told_apart),
        cmocka_unit_test(an_error_reply_names_the_address_and_the_command),
        cmocka_unit_test(a_script_is_loaded_when_the_server_does_not_know_it),
        cmocka_unit_test(a_field_of_info_is_found_whole_or_not_at_all),
        cmocka_unit_test(nobody_there_is_said_with_the_address),
        cmocka_unit_test(every_call_ends_in_time),
        cmocka_unit_test(a_link_whose_server_is_gone_is_broken),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
