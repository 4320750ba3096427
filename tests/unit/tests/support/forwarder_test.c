#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/forwarder.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"
#include "tests/support/wait.h"

#define MANY_MS 60000

static struct redis_server *server;
static struct forwarder *forwarder;

static int start(void **state)
{
    (void)state;
    server = redis_server_start(NULL);
    forwarder = forwarder_start(redis_server_port(server));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    forwarder_stop(forwarder);
    redis_server_stop(server);
    process_stop_all();
    return 0;
}

static struct client *connect_as(const char *name)
{
    struct client *client = client_connect(forwarder_port(forwarder));
    char *words = mem_printf("CLIENT SETNAME sluice:%s:1", name);
    expect(client, words, "+OK");
    mem_free(words);
    return client;
}

static void set_timeout(struct client *client, int ms)
{
    struct timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    assert_int_equal(redisSetTimeout(client_context(client), time), REDIS_OK);
}

static void a_request_whose_reply_is_cut_is_executed(void **state)
{
    (void)state;
    struct client *p1 = connect_as("p1");
    struct client *p2 = connect_as("p2");
    const struct weather weather = {.cuts_replies = true};
    forwarder_set(forwarder, "p1", &weather);
    set_timeout(p1, 200);
    char *answer = client_ask(p1, "SET a 1");
    assert_string_equal(answer, "closed");
    mem_free(answer);
    expect(p2, "GET a", "1");
    client_close(p1);
    client_close(p2);
}

static void what_was_cut_off_arrives_when_it_heals_though_its_sender_has_gone(void **state)
{
    (void)state;
    struct client *p1 = connect_as("p1");
    struct client *p2 = connect_as("p2");
    const struct weather weather = {.cuts_requests = true};
    forwarder_set(forwarder, "p1", &weather);
    set_timeout(p1, 200);
    mem_free(client_ask(p1, "SET b late"));
    client_close(p1);
    expect(p2, "GET b", "(nil)");
    forwarder_heal(forwarder);
    expect_within(p2, "GET b", "late", MANY_MS);
    client_close(p2);
}

static void a_reset_closes_only_the_peers_connections(void **state)
{
    (void)state;
    struct client *p1 = connect_as("p1");
    struct client *p2 = connect_as("p2");
    assert_int_equal(forwarder_reset(forwarder, "p1"), 1);
    char *answer = client_ask(p1, "PING");
    assert_string_equal(answer, "closed");
    mem_free(answer);
    expect(p2, "PING", "+PONG");
    client_close(p1);
    client_close(p2);
}

static void a_slow_link_delays_both_ways(void **state)
{
    (void)state;
    struct client *p1 = connect_as("p1");
    const struct weather weather = {.delay_us = 30000};
    forwarder_set(forwarder, NULL, &weather);
    uint64_t start_us = clock_now_us();
    expect(p1, "PING", "+PONG");
    assert_true(clock_now_us() - start_us >= 60000);
    client_close(p1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_whose_reply_is_cut_is_executed),
        TEST(what_was_cut_off_arrives_when_it_heals_though_its_sender_has_gone),
        TEST(a_reset_closes_only_the_peers_connections),
        TEST(a_slow_link_delays_both_ways),
    };
    return cmocka_run_group_tests_name("forwarder", tests, NULL, NULL);
}
