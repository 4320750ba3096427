/* What a proxy promises its clients, over two real shards: order, split commands, protocol errors,
 * a shard that dies, large values, many connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define PIPELINE     20000
#define CONNECTIONS  300
#define SCANNED_KEYS 2000
#define MEGABYTE     (UINT64_C(1024) * 1024)

static struct client *client;

static int start(void **state)
{
    (void)state;
    struct cluster_options options = {.shards = 2};
    cluster = cluster_start(&options);
    client = client_connect(cluster_proxy_port(cluster, 0));
    return 0;
}

static int stop(void **state)
{
    client_close(client);
    return stage_clear(state);
}

static uint16_t proxy_port(void)
{
    return cluster_proxy_port(cluster, 0);
}

/* --- keys of a certain shard ---------------------------------------------------------------- */

/* On the shard, and set to "here". */
static const char *key_on(unsigned shard, unsigned n)
{
    const char *key = cluster_key(cluster, shard, "k", n);
    char *set = mem_printf("SET %s here", key);
    expect(client, set, "+OK");
    mem_free(set);
    return key;
}

static char *words(const char *format, const char *a, const char *b)
{
    const char *hole = strchr(format, '%');
    const char *second = hole != NULL ? strchr(hole + 1, '%') : NULL;
    if (second == NULL) {
        return mem_printf("%.*s%s%s", (int)(hole - format), format, a, hole + 1);
    }
    return mem_printf("%.*s%s%.*s%s%s", (int)(hole - format), format, a, (int)(second - hole - 1),
                      hole + 1, b, second + 1);
}

/* As expect, with '%' in the command standing for the key `a`, then `b`. */
static void expect_with(const char *command, const char *a, const char *b, const char *reply)
{
    char *text = words(command, a, b);
    expect_prefix(client, text, reply);
    mem_free(text);
}

/* --- order ---------------------------------------------------------------------------------- */

static void replies_of_a_deep_pipeline_come_in_order(void **state)
{
    (void)state;
    redisContext *context = client_context(client);
    for (int i = 0; i < PIPELINE; i++) {
        (void)redisAppendCommand(context, i % 3 == 0 ? "SET key%d %d" : "ECHO %d-%d", i, i);
        (void)redisAppendCommand(context, "GET key%d", i - i % 3);
    }
    for (int i = 0; i < PIPELINE; i++) {
        redisReply *first = NULL;
        redisReply *second = NULL;
        char text[32];
        assert_int_equal(redisGetReply(context, (void **)&first), REDIS_OK);
        assert_int_equal(redisGetReply(context, (void **)&second), REDIS_OK);
        (void)snprintf(text, sizeof(text), "%d-%d", i, i);
        assert_string_equal(first->str, i % 3 == 0 ? "OK" : text);
        (void)snprintf(text, sizeof(text), "%d", i - i % 3);
        assert_string_equal(second->str, text);
        freeReplyObject(first);
        freeReplyObject(second);
    }
}

// field lesson: two connections to one shard reorder one client's commands
static void a_key_is_read_as_it_was_written_just_before_in_the_pipeline(void **state)
{
    (void)state;
    redisContext *context = client_context(client);
    for (int i = 0; i < PIPELINE; i++) {
        (void)redisAppendCommand(context, "INCR counter%d", i % 7);
    }
    for (int i = 0; i < PIPELINE; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        assert_int_equal(reply->integer, i / 7 + 1);
        freeReplyObject(reply);
    }
}

/* --- commands over several shards ----------------------------------------------------------- */

static void commands_over_several_shards_are_split_and_merged(void **state)
{
    (void)state;
    const char *first = key_on(0, 1);
    const char *second = key_on(1, 2);
    expect_with("MSET % 1 % 2", first, second, "+OK");
    expect_with("MGET % none %", first, second, "[1, (nil), 2]");
    expect_with("EXISTS % % none", first, second, ":2");
    expect_with("TOUCH % %", first, second, ":2");
    expect_with("DEL % %", first, second, ":2");
    expect_with("UNLINK % %", first, second, ":0");
}

static void keys_of_several_slots_in_one_command_are_refused(void **state)
{
    (void)state;
    const char *first = key_on(0, 1);
    const char *second = key_on(1, 2);
    expect_with("RENAME % %", first, second, "-CROSSSLOT");
    expect_with("SUNION % %", first, second, "-CROSSSLOT");
    expect_with("MSETNX % 1 % 2", first, second, "-CROSSSLOT");
    expect_with("GET %", first, NULL, "here");
    /* Slots of one shard are refused just the same: no accident of today's placement. */
    expect_with("RENAME % %", first, key_on(0, 3), "-CROSSSLOT");
    expect(client, "RPUSH {tag}a 1 2", ":2");
    expect(client, "RENAME {tag}a {tag}b", "+OK");
}

static void scan_over_the_shards_shows_every_key_once(void **state)
{
    (void)state;
    char cursor[32] = "0";
    unsigned seen = 0;
    static bool was_seen[SCANNED_KEYS];
    memset(was_seen, 0, sizeof(was_seen));
    for (unsigned i = 0; i < SCANNED_KEYS; i++) {
        (void)redisAppendCommand(client_context(client), "SET scanned:%u x", i);
    }
    for (unsigned i = 0; i < SCANNED_KEYS; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(client_context(client), (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    do {
        redisReply *reply =
            redisCommand(client_context(client), "SCAN %s MATCH scanned:* COUNT 50", cursor);
        assert_non_null(reply);
        assert_int_equal(reply->elements, 2);
        (void)snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
        for (size_t i = 0; i < reply->element[1]->elements; i++) {
            unsigned long number = strtoul(reply->element[1]->element[i]->str + 8, NULL, 10);
            assert_true(number < SCANNED_KEYS && !was_seen[number]);
            was_seen[number] = true;
            seen++;
        }
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    assert_int_equal(seen, SCANNED_KEYS);
    char *keys = client_ask(client, "KEYS __sluice:*");
    assert_string_equal(keys, "[]");
    mem_free(keys);
}

static void our_own_keys_are_out_of_reach(void **state)
{
    (void)state;
    expect_prefix(client, "GET __sluice:fence", "-");
    expect_prefix(client, "DEL __sluice:fence", "-");
    expect_prefix(client, "HSET __sluice:fence epoch 99", "-");
    expect_prefix(client, "MGET a __sluice:fence", "-");
    expect(client, "PING", "+PONG");
}

/* --- protocol ------------------------------------------------------------------------------- */

static const char *const broken[] = {
    "*1\r\n$abc\r\n",
    "*abc\r\n",
    "*1\r\nGET\r\n",
    "*1\r\n$-5\r\n",
    "*2\r\n$3\r\nGET\r\n+x\r\n",
    "*99999999999\r\n",
    "GET \"unbalanced\r\n",
};

/* What the server at `port` says to the bytes until it closes; "(open)" when it does not close. */
static void ask_bytes(uint16_t port, const char *bytes, struct buffer *answer)
{
    int fd = raw_connect(port);
    assert_true(fd >= 0);
    assert_true(raw_send(fd, slice_of(bytes)));
    if (!raw_read_to_end(fd, answer)) {
        buffer_add_text(answer, "(open)");
    }
    (void)close(fd);
}

static void broken_protocol_gets_the_error_of_redis_and_a_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct buffer sluice;
        struct buffer redis;
        buffer_init(&sluice, SIZE_MAX);
        buffer_init(&redis, SIZE_MAX);
        ask_bytes(proxy_port(), broken[i], &sluice);
        ask_bytes(cluster_shard_port(cluster, 0), broken[i], &redis);
        buffer_add(&sluice, "", 1);
        buffer_add(&redis, "", 1);
        assert_string_equal(buffer_slice(&sluice).data, buffer_slice(&redis).data);
        buffer_fini(&sluice);
        buffer_fini(&redis);
    }
    expect(client, "PING", "+PONG");
}

// field lesson: crashes on freed requests
static void half_a_command_and_a_close_harm_nobody(void **state)
{
    (void)state;
    const char *whole = "*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nvalue\r\n";
    for (size_t length = 1; length < strlen(whole); length++) {
        int fd = raw_connect(proxy_port());
        assert_true(raw_send(fd, (struct slice){whole, length}));
        (void)close(fd);
    }
    expect(client, "GET half", "(nil)");
}

static void a_command_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char *whole = "*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$5\r\nvalue\r\n";
    int fd = raw_connect(proxy_port());
    struct buffer pending;
    struct buffer reply;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    for (size_t i = 0; i < strlen(whole); i++) {
        assert_true(raw_send(fd, (struct slice){whole + i, 1}));
    }
    assert_true(raw_read_reply(fd, &pending, &reply));
    assert_true(slice_equal(buffer_slice(&reply), SLICE("+OK\r\n")));
    buffer_fini(&pending);
    buffer_fini(&reply);
    (void)close(fd);
}

static void a_value_of_64_megabytes_comes_back_whole(void **state)
{
    (void)state;
    size_t length = 64 * MEGABYTE;
    char *value = mem_alloc(length);
    for (size_t i = 0; i < length; i++) {
        value[i] = (char)(i * 31 + i / 4096);
    }
    redisReply *reply = redisCommand(client_context(client), "SET large %b", value, length);
    assert_non_null(reply);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    reply = redisCommand(client_context(client), "GET large");
    assert_non_null(reply);
    assert_int_equal(reply->len, length);
    assert_memory_equal(reply->str, value, length);
    freeReplyObject(reply);
    mem_free(value);
}

static void many_connections_are_served_at_once(void **state)
{
    (void)state;
    static struct client *clients[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = client_connect(proxy_port());
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        (void)redisAppendCommand(client_context(clients[i]), "SET many%d %d", i, i);
        (void)redisAppendCommand(client_context(clients[i]), "GET many%d", i);
        int done = 0;
        while (!done) {
            assert_int_equal(redisBufferWrite(client_context(clients[i]), &done), REDIS_OK);
        }
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        char text[16];
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(client_context(clients[i]), (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
        assert_int_equal(redisGetReply(client_context(clients[i]), (void **)&reply), REDIS_OK);
        (void)snprintf(text, sizeof(text), "%d", i);
        assert_string_equal(reply->str, text);
        freeReplyObject(reply);
        client_close(clients[i]);
    }
}

/* --- a shard that dies ---------------------------------------------------------------------- */

static bool is_unserved(const char *key)
{
    char *command = words("GET %", key, NULL);
    char *reply = client_ask(client, command);
    bool is_error = strncmp(reply, "-UNAVAILABLE ", 13) == 0;
    bool is_allowed = is_error || strncmp(reply, "-UNKNOWN ", 9) == 0;
    if (!is_allowed) {
        fail_msg("wanted -UNAVAILABLE or -UNKNOWN, got %s", reply);
    }
    mem_free(command);
    mem_free(reply);
    return is_error;
}

static bool is_served(const char *key)
{
    char *command = words("GET %", key, NULL);
    bool is_good = client_gets(client, command, "here");
    mem_free(command);
    return is_good;
}

// field lesson: one slow or dead shard stalls everything pipelined behind it
static void a_dead_shard_fails_its_own_keys_only_and_comes_back(void **state)
{
    (void)state;
    const char *dead = key_on(0, 1);
    const char *alive = key_on(1, 2);
    redis_server_kill(cluster_shard(cluster, 0));
    WAIT_UNTIL(is_unserved(dead), 60000);
    for (int i = 0; i < 50; i++) {
        expect_with("GET %", alive, NULL, "here");
    }
    assert_true(is_unserved(dead));
    expect_with("MGET % %", dead, alive, "-UN");
    redis_server_restart(cluster_shard(cluster, 0), false);
    WAIT_UNTIL(is_served(dead), 60000);
    expect_with("MGET % %", dead, alive, "[here, here]");
}

static void a_shard_that_came_back_empty_is_not_served_until_accepted(void **state)
{
    (void)state;
    const char *lost = key_on(0, 1);
    const char *alive = key_on(1, 2);
    redis_server_restart(cluster_shard(cluster, 0), true);
    WAIT_UNTIL(is_unserved(lost), 60000);
    for (int i = 0; i < 20; i++) {
        assert_true(is_unserved(lost));
        expect_with("GET %", alive, NULL, "here");
    }
    cluster_tell(cluster, "shard accept s1");
    char *command = words("GET %", lost, NULL);
    expect_within(client, command, "(nil)", 60000);
    mem_free(command);
}

static void assert_found(const char *text, const char *word)
{
    if (strstr(text, word) == NULL) {
        fail_msg("\"%s\" is not in: %s", word, text);
    }
}

/* Everything that the page reads is there, in the words that it reads. */
static void the_dashboard_and_what_it_reads_are_served(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"/", "<title>Sluice</title>"},
        {"/stats", "\"longest_hold_us\""},
        {"/stats", "\"held_requests\""},
        {"/stats", "\"dual_writes_total\""},
        {"/stats", "\"in_flight\""},
        {"/topology", "\"nslots\""},
        {"/metrics", "sluice_request_seconds_bucket{le=\"+Inf\"}"},
        {"/metrics", "sluice_log_suppressed_total "},
        {"/readyz", "ready"},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        char *body = NULL;
        uint16_t port = cluster_proxy_admin_port(cluster, 0);
        assert_int_equal(http_get(port, expected[i][0], &body), 200);
        assert_found(body, expected[i][1]);
        mem_free(body);
    }
}

static void a_proxy_that_was_killed_comes_back_on_its_port(void **state)
{
    (void)state;
    expect(client, "SET before 1", "+OK");
    assert_int_equal(http_get(cluster_proxy_admin_port(cluster, 0), "/readyz", NULL), 200);
    assert_int_equal(http_get(cluster_proxy_admin_port(cluster, 0), "/healthz", NULL), 200);
    cluster_restart_proxy(cluster, 0);
    client_close(client);
    client = client_connect(proxy_port());
    expect(client, "GET before", "1");
}

/* --- a client library ----------------------------------------------------------------------- */

// field lesson: handshakes of the client libraries
static void redis_py_works(void **state)
{
    (void)state;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", proxy_port());
    /* The system's Python is the one that python3-redis was installed for. */
    const char *python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
    const char *argv[] = {python, "tests/integration/redis_py.py", port, NULL};
    struct output output = process_run(argv, NULL, 60000);
    if (output.code != 0) {
        fail_msg("code %d\n%s%s", output.code, output.out, output.err);
    }
    output_free(&output);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replies_of_a_deep_pipeline_come_in_order),
        TEST(a_key_is_read_as_it_was_written_just_before_in_the_pipeline),
        TEST(commands_over_several_shards_are_split_and_merged),
        TEST(keys_of_several_slots_in_one_command_are_refused),
        TEST(scan_over_the_shards_shows_every_key_once),
        TEST(our_own_keys_are_out_of_reach),
        TEST(broken_protocol_gets_the_error_of_redis_and_a_close),
        TEST(half_a_command_and_a_close_harm_nobody),
        TEST(a_command_may_come_byte_by_byte),
        TEST(a_value_of_64_megabytes_comes_back_whole),
        TEST(many_connections_are_served_at_once),
        TEST(a_dead_shard_fails_its_own_keys_only_and_comes_back),
        TEST(a_shard_that_came_back_empty_is_not_served_until_accepted),
        TEST(the_dashboard_and_what_it_reads_are_served),
        TEST(a_proxy_that_was_killed_comes_back_on_its_port),
        TEST(redis_py_works),
    };
    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
