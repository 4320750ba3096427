/* What others were bitten by between clients and one proxy, where no other test has it: handshakes,
 * storms of reconnects, hung shards, memory that is never given back. docs/reliability.md has the
 * whole list. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/vitals.h"
#include "tests/support/wait.h"

#define MEGABYTE       ((size_t)1 << 20)
#define STORM_MS       3000
#define CONNECTS_MAX   60 /* of a proxy with two threads and a control connection, in that time */
#define LARGE_CLIENTS  8
#define KEPT_BYTES_MAX (24 * MEGABYTE)
#define LATE_MS        60000

static int start_with(const char *const *arguments)
{
    static const char *const environment[] = {VITALS_ENVIRONMENT, NULL};
    const struct cluster_options options = {.shards = 2,
                                            .has_links = true,
                                            .proxy_arguments = arguments,
                                            .proxy_environment = environment};
    cluster = cluster_start(&options);
    return 0;
}

static int start(void **state)
{
    static const char *const arguments[] = {"--shard-timeout", "1s", "--wait-max", "1s",
                                            "--threads",       "2",  NULL};
    (void)state;
    return start_with(arguments);
}

static int start_patient(void **state)
{
    static const char *const arguments[] = {"--shard-timeout", "60s", "--wait-max", "60s",
                                            "--threads",       "2",   NULL};
    (void)state;
    return start_with(arguments);
}

/* --- handshakes ------------------------------------------------------------------------------ */

struct exchange {
    const char *command;
    const char *wanted[2]; /* the reply contains one of them */
};

/* One command after the other on one connection, which must stay open. */
static void shake_hands(const struct exchange *exchanges)
{
    int fd = raw_connect(cluster_proxy_port(cluster, 0));
    struct buffer pending, reply;
    buffer_init(&pending, SIZE_MAX);
    for (; exchanges->command != NULL; exchanges++) {
        char *line = mem_printf("%s\r\n", exchanges->command);
        buffer_init(&reply, SIZE_MAX);
        assert_true(raw_send(fd, slice_of(line)));
        assert_true(raw_read_reply(fd, &pending, &reply));
        buffer_add(&reply, "", 1);
        const char *text = buffer_slice(&reply).data;
        if (strstr(text, exchanges->wanted[0]) == NULL &&
            (exchanges->wanted[1] == NULL || strstr(text, exchanges->wanted[1]) == NULL)) {
            fail_msg("%s was answered with %s", exchanges->command, text);
        }
        buffer_fini(&reply);
        mem_free(line);
    }
    buffer_fini(&pending);
    (void)close(fd);
}

/* What libraries send when they connect. Redis 7.0 does not know SETINFO; they live with either. */
// field lesson: handshakes of the client libraries
static void the_handshakes_of_the_libraries_leave_an_open_connection(void **state)
{
    static const struct exchange ioredis6[] = {
        {"HELLO 3", {"proto", "NOPROTO"}},
        {"CLIENT SETINFO LIB-NAME ioredis", {"+OK", "-ERR"}},
        {"PING", {"+PONG", NULL}},
        {NULL, {NULL, NULL}},
    };
    static const struct exchange node_redis[] = {
        {"HELLO 3", {"proto", "NOPROTO"}},
        {"CLIENT SETINFO LIB-NAME node-redis", {"+OK", "-ERR"}},
        {"CLIENT MAINT_NOTIFICATIONS ON", {"-ERR", NULL}},
        {"PING", {"+PONG", NULL}},
        {NULL, {NULL, NULL}},
    };
    static const struct exchange ioredis5[] = {
        {"CLIENT SETINFO LIB-VER 5.0", {"+OK", "-ERR"}},
        {"INFO", {"loading:0", NULL}},
        {"PING", {"+PONG", NULL}},
        {NULL, {NULL, NULL}},
    };
    static const struct exchange redis_py[] = {
        {"CLIENT SETINFO LIB-NAME redis-py", {"+OK", "-ERR"}},
        {"CLIENT SETINFO LIB-VER 5.0.1", {"+OK", "-ERR"}},
        {"GET none", {"$-1", NULL}},
        {NULL, {NULL, NULL}},
    };
    static const struct exchange hiredis[] = {
        {"INFO server", {"redis_version:", NULL}},
        {"PING", {"+PONG", NULL}},
        {NULL, {NULL, NULL}},
    };
    (void)state;
    shake_hands(ioredis6);
    shake_hands(node_redis);
    shake_hands(ioredis5);
    shake_hands(redis_py);
    shake_hands(hiredis);
}

// field lesson: an unknown command closed the connection
static void an_unknown_command_gets_an_error_on_an_open_connection(void **state)
{
    static const struct exchange unknown[] = {
        {"NOSUCHCOMMAND a b", {"-ERR unknown command 'NOSUCHCOMMAND'", NULL}},
        {"CLIENT NOSUCH", {"-ERR unknown subcommand", NULL}},
        {"PING", {"+PONG", NULL}},
        {NULL, {NULL, NULL}},
    };
    (void)state;
    shake_hands(unknown);
}

/* --- a shard that is down, or hangs ----------------------------------------------------------- */

struct doorman {
    int fd;
    atomic_uint count;
    atomic_bool is_over;
};

/* Lets everybody in and throws everybody out again. */
static void *keep_door(void *argument)
{
    struct doorman *doorman = argument;
    while (!atomic_load(&doorman->is_over)) {
        int fd = accept(doorman->fd, NULL, NULL);
        if (fd >= 0) {
            (void)close(fd);
            atomic_fetch_add(&doorman->count, 1);
        }
    }
    return NULL;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = 50000};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

// field lesson: reconnect storms after a restart
static void a_shard_that_comes_back_slowly_is_not_stormed(void **state)
{
    (void)state;
    struct doorman doorman = {.fd = -1};
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    pthread_t thread;
    redis_server_kill(cluster_shard(cluster, 0));
    doorman.fd = listen_at(cluster_shard_port(cluster, 0));
    assert_int_equal(pthread_create(&thread, NULL, keep_door, &doorman), 0);
    uint64_t began_us = clock_now_us(), until_us = deadline_after_ms(STORM_MS);
    for (unsigned i = 0; !deadline_is_over(until_us); i++) { /* clients do not give up meanwhile */
        char *words = mem_printf("GET k%u", i);
        mem_free(client_ask(client, words));
        mem_free(words);
        clock_sleep_ms(WAIT_POLL_MS);
    }
    atomic_store(&doorman.is_over, true);
    (void)pthread_join(thread, NULL);
    (void)close(doorman.fd);
    uint64_t taken_ms = (clock_now_us() - began_us) / 1000; /* of a slow machine, longer */
    redis_server_restart(cluster_shard(cluster, 0), false);
    print_message("%u connections in %u ms\n", atomic_load(&doorman.count), (unsigned)taken_ms);
    assert_true(atomic_load(&doorman.count) > 0);
    assert_true(atomic_load(&doorman.count) < CONNECTS_MAX * taken_ms / STORM_MS);
    for (unsigned i = 0; i < 16; i++) {
        char *words = mem_printf("SET k%u 1", i);
        expect_within(client, words, "+OK", LATE_MS);
        mem_free(words);
    }
    client_close(client);
}

/* As after a power cut: nobody says that the connection is gone. */
// field lesson: a power-off is not noticed, clients hang
static void a_shard_that_fell_silent_keeps_no_client_waiting(void **state)
{
    (void)state;
    const struct weather silence = {.cuts_requests = true, .cuts_replies = true};
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    bool was_told = false;
    forwarder_set(cluster_link(cluster, 0), NULL, &silence);
    for (unsigned i = 0; i < 16; i++) {
        char *words = mem_printf("SET k%u 1", i);
        uint64_t began_us = clock_now_us();
        char *reply = client_ask(client, words);
        assert_true(clock_now_us() - began_us < (uint64_t)LATE_MS * 1000);
        was_told = was_told || strncmp(reply, "-UN", 3) == 0; /* -UNKNOWN, -UNAVAILABLE */
        mem_free(words);
        mem_free(reply);
    }
    forwarder_heal(cluster_link(cluster, 0));
    assert_true(was_told);
    for (unsigned i = 0; i < 16; i++) {
        char *words = mem_printf("SET k%u 1", i);
        expect_within(client, words, "+OK", LATE_MS);
        mem_free(words);
    }
    client_close(client);
}

/* --- memory ---------------------------------------------------------------------------------- */

static uint64_t resident(void)
{
    return vitals_resident_bytes(process_pid(cluster_proxy(cluster, 0)));
}

// field lesson: memory never given back
static void memory_is_given_back_after_large_values(void **state)
{
    (void)state;
    struct client *clients[LARGE_CLIENTS];
    size_t length = 16 * MEGABYTE;
    char *value = mem_alloc(length);
    memset(value, 'v', length);
    uint64_t before = resident();
    for (unsigned i = 0; i < LARGE_CLIENTS; i++) {
        clients[i] = client_connect(cluster_proxy_port(cluster, 0));
        redisReply *reply =
            redisCommand(client_context(clients[i]), "SET large%u %b", i, value, length);
        assert_non_null(reply);
        freeReplyObject(reply);
        reply = redisCommand(client_context(clients[i]), "GET large%u", i);
        assert_non_null(reply);
        assert_int_equal(reply->len, length);
        freeReplyObject(reply);
    }
    /* The connections stay open: it is not their end that gives it back. */
    WAIT_UNTIL(resident() < before + KEPT_BYTES_MAX, LATE_MS);
    for (unsigned i = 0; i < LARGE_CLIENTS; i++) {
        client_close(clients[i]);
    }
    mem_free(value);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stage_clear)
    const struct CMUnitTest tests[] = {
        TEST(the_handshakes_of_the_libraries_leave_an_open_connection),
        TEST(an_unknown_command_gets_an_error_on_an_open_connection),
        TEST(a_shard_that_comes_back_slowly_is_not_stormed),
        TEST(a_shard_that_fell_silent_keeps_no_client_waiting),
        cmocka_unit_test_setup_teardown(memory_is_given_back_after_large_values, start_patient,
                                        stage_clear),
    };
    return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
