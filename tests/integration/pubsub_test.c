/* Publish/subscribe as one Redis has it: the same to Sluice over two shards and to one plain
 * server, every byte the same. And what only a proxy has: connections that end with their clients,
 * readers that are too slow. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/command/command.h"
#include "tests/support/client.h"
#include "tests/support/duel.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define WAIT_MS    60000
#define MIB        ((size_t)1 << 20)
#define SOCKET_MIB 24 /* more than sockets and shards keep for a reader that does not read */

static int start(void **state)
{
    /* On a busy machine a shard that answers late would count as one that does not: a subscription
     * is then answered without it. */
    static const char *const arguments[] = {"--connect-timeout", "20s", "--wait-max", "20s", NULL};
    (void)state;
    duel = duel_start(arguments);
    return 0;
}

static int start_resp3(void **state)
{
    (void)start(state);
    duel_set_protocol(duel, 3);
    return 0;
}

static uint64_t metric(const char *name)
{
    return http_metric(cluster_proxy_admin_port(duel_cluster(duel), 0), name);
}

/* --- as Redis --------------------------------------------------------------------------------- */

static void messages_come_to_who_subscribed(void **state)
{
    (void)state;
    DUEL(duel, "B: PUBLISH news 0", "A> SUBSCRIBE news weather", "A<", "A<", "B: PUBLISH news 1",
         "A<", "B: PUBLISH weather 2", "A<", "B: PUBLISH sports 3", "C: SUBSCRIBE news",
         "B: PUBLISH news 4", "A<", "C<", "A: UNSUBSCRIBE news", "B: PUBLISH news 5", "C<",
         "A: UNSUBSCRIBE weather", "B: PUBLISH weather 6", "C: UNSUBSCRIBE", "B: PUBLISH news 7",
         "C: GET k");
}

static void patterns_match_as_in_redis(void **state)
{
    (void)state;
    DUEL(duel, "A: PSUBSCRIBE n*", "A: SUBSCRIBE news", "B: PUBLISH news 1", "A<", "A<",
         "B: PUBLISH none 2", "A<", "A> PSUBSCRIBE h?llo h[ae]llo", "A<", "A<",
         "B: PUBLISH hxllo 3", "A<", "A: PUNSUBSCRIBE n*", "B: PUBLISH none 4", "B: PUBLISH news 5",
         "A<", "A> PUNSUBSCRIBE", "A<", "A<", "A: UNSUBSCRIBE", "A: SET k v");
}

static void shard_channels_are_apart(void **state)
{
    (void)state;
    DUEL(duel, "A: SSUBSCRIBE news", "A: SUBSCRIBE news", "B: SPUBLISH news 1", "A<",
         "B: PUBLISH news 2", "A<", "A: SSUBSCRIBE other", "A: PSUBSCRIBE *", "B: SPUBLISH other 3",
         "A<", "B: PUBSUB SHARDNUMSUB news other none", "B: PUBSUB SHARDCHANNELS o*",
         "A: SUNSUBSCRIBE other", "A: SUNSUBSCRIBE other", "A: SUNSUBSCRIBE", "A: SUNSUBSCRIBE",
         "B: SPUBLISH news 4", "A: UNSUBSCRIBE", "A: PUNSUBSCRIBE", "A: GET k");
}

static void confirmations_count_as_in_redis(void **state)
{
    (void)state;
    DUEL(duel, "A: UNSUBSCRIBE", "A: UNSUBSCRIBE x", "A: PUNSUBSCRIBE", "A> UNSUBSCRIBE x y", "A<",
         "A<", "A: SUNSUBSCRIBE", "A> SUBSCRIBE x x y", "A<", "A<", "A<", "A: SUBSCRIBE x",
         "A> PSUBSCRIBE x x", "A<", "A<", "A: PUNSUBSCRIBE none", "A> UNSUBSCRIBE none x", "A<",
         "A<", "A: SSUBSCRIBE x", "A: UNSUBSCRIBE y", "A: PUNSUBSCRIBE x", "A: PUNSUBSCRIBE",
         "A: UNSUBSCRIBE", "A: GET k", "A: SUNSUBSCRIBE x", "A: GET k");
}

static void pubsub_tells_who_is_there(void **state)
{
    (void)state;
    DUEL(duel, "A: SUBSCRIBE news", "C: SUBSCRIBE news", "D> PSUBSCRIBE a* b*", "D<", "D<",
         "C: PSUBSCRIBE a*", "B: PUBSUB NUMSUB news none", "B: PUBSUB NUMSUB", "B: PUBSUB NUMPAT",
         "B: PUBSUB CHANNELS", "B: PUBSUB CHANNELS n*", "B: PUBSUB CHANNELS x*", "B: PUBSUB",
         "B: PUBSUB NUMPAT x", "B: PUBSUB FROB", "B: PUBSUB HELP", "B: PUBSUB SHARDCHANNELS",
         "B: PUBSUB SHARDNUMSUB", "B: PUBLISH news", "B: PUBLISH news a b", "B: SPUBLISH news",
         "B: SUBSCRIBE", "B: PSUBSCRIBE", "B: SSUBSCRIBE");
}

static void pipelined_commands_keep_their_order(void **state)
{
    (void)state;
    DUEL(duel,
         "A>| SET k 1\r\nGET k\r\nSUBSCRIBE a b\r\nPING\r\nSUBSCRIBE c\r\nGET k\r\nUNSUBSCRIBE "
         "a\r\nPING x\r\nSUBSCRIBE d\r\nSUBSCRIBE e\r\nUNSUBSCRIBE a b c d\r\nUNSUBSCRIBE\r\nGET k",
         "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<",
         "A<", "A<");
    DUEL(duel, "A>| SUBSCRIBE a\r\nRESET\r\nGET k\r\nSUBSCRIBE b\r\nQUIT", "A<", "A<", "A<", "A<",
         "A<", "A<");
}

static void replies_that_are_off_do_not_keep_messages_back(void **state)
{
    (void)state;
    DUEL(duel, "A> CLIENT REPLY OFF", "A: UNSUBSCRIBE", "A: SUBSCRIBE x", "A> PING",
         "B: PUBLISH x 1", "A<", "A: UNSUBSCRIBE x", "A> CLIENT REPLY SKIP", "A> PING",
         "A: CLIENT REPLY ON");
}

static void a_reset_ends_all(void **state)
{
    (void)state;
    DUEL(duel, "A: SUBSCRIBE x", "A: PSUBSCRIBE x*", "A: SSUBSCRIBE x", "A: RESET",
         "B: PUBLISH x 1", "B: SPUBLISH x 1", "A: GET k", "A: SUBSCRIBE x", "B: PUBLISH x 2", "A<",
         "A: QUIT", "A<");
}

static void transactions_and_scripts_publish(void **state)
{
    (void)state;
    DUEL(
        duel, "A: SUBSCRIBE {k}c", "A: SUBSCRIBE far", "A: SSUBSCRIBE far", "B: MULTI",
        "B: SET {k}a 1", "B: PUBLISH {k}c 1", "B: PUBLISH far 2", "B: SPUBLISH far 3",
        "B: GET {k}a", "B: EXEC", "A<", "A<", "A<", "B: MULTI", "B: PUBLISH far 4",
        "B: PUBLISH {k}c 5", "B: EXEC", "A<", "A<", "B: MULTI", "B: PUBLISH far 6", "B: DISCARD",
        "B: EVAL return{redis.call('PUBLISH','far','7'),redis.call('SPUBLISH',KEYS[1],'8')} 1 {k}a",
        "A<", "B: WATCH {k}a", "B: MULTI", "B: PUBLISH {k}c 9", "B: EXEC", "A<", "B: WATCH {k}a",
        "B: SET {k}a 2", "B: MULTI", "B: PUBLISH {k}c lost", "B: EXEC", "B: PUBLISH {k}c 10", "A<");
}

static void a_resp3_subscriber_may_do_all_else(void **state)
{
    (void)state;
    DUEL(duel, "A: UNSUBSCRIBE", "A> SUBSCRIBE news {k}c", "A<", "A<", "A: PSUBSCRIBE n*",
         "A: SSUBSCRIBE news", "B: PUBLISH news 1", "A<", "A<", "B: SPUBLISH news 2", "A<",
         "A: PING", "A: PING x", "A: SET {k}a 1", "A: GET {k}a", "A: PUBSUB NUMSUB news",
         "A: MULTI", "A: INCR {k}a", "A: GET {k}a", "A: EXEC", "A: HGETALL {k}none",
         "A: BLPOP {k}l 0.01", "B: EVAL return(redis.call('PUBLISH',KEYS[1],'3')) 1 {k}c", "A<",
         "A> UNSUBSCRIBE news x", "A<", "A<", "A: SUNSUBSCRIBE", "A: PUNSUBSCRIBE x",
         "A: PUNSUBSCRIBE", "A: UNSUBSCRIBE", "A: UNSUBSCRIBE", "A: PUNSUBSCRIBE",
         "A: SUNSUBSCRIBE", "A: GET {k}a");
}

static void pushes_come_while_a_resp3_client_waits(void **state)
{
    (void)state;
    DUEL(duel, "A: SUBSCRIBE news", "A> BLPOP {w}l 0", "blocked 1", "B: PUBLISH news 1", "A<",
         "B: PUBLISH news 2", "A<", "B: RPUSH {w}l x", "A<", "B: PUBLISH news 3", "A<");
}

static void a_subscriber_may_change_its_protocol(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: SUBSCRIBE news", "A: HELLO 2", "A: GET k", "A: PING",
         "B: PUBLISH news 1", "A<", "A: HELLO 3", "A: RESET", "A: GET k");
}

/* Redis' documented error for everything that a RESP2 subscriber must not do, word for word. */
static void forbid(const struct command_info *info)
{
    /* What is allowed, and what Redis' default configuration forbids before it looks. */
    static const char *const others[] = {"subscribe",  "unsubscribe",  "psubscribe", "punsubscribe",
                                         "ssubscribe", "sunsubscribe", "ping",       "quit",
                                         "reset",      "module"};
    char line[256] = "A: ";
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(info->name, others[i]) == 0) {
            return;
        }
    }
    for (unsigned i = 0; i < info->nsubcommands; i++) {
        forbid(&info->subcommands[i]);
    }
    if (info->nsubcommands > 0) {
        return;
    }
    strncat(line, info->name, sizeof(line) - strlen(line) - 1);
    bool is_part = strchr(line, '|') != NULL;
    if (is_part) {
        *strchr(line, '|') = ' ';
    }
    for (int i = is_part ? 2 : 1; i < abs(info->arity); i++) {
        strncat(line, " x", sizeof(line) - strlen(line) - 1);
    }
    DUEL(duel, line);
}

static void a_resp2_subscriber_may_do_little_else(void **state)
{
    (void)state;
    const struct command_table *table = command_table_builtin();
    DUEL(duel, "A: SUBSCRIBE x");
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        if (strchr(info->name, '|') == NULL) {
            forbid(info);
        }
    }
    DUEL(duel, "A: GET", "A: FROB", "A: CONFIG FROB", "A: PING", "A: PING x", "A: PING x y",
         "A: UNSUBSCRIBE x", "A: PING", "A: PING x", "A: SSUBSCRIBE x", "A: GET k", "A: PING",
         "A: SUNSUBSCRIBE x", "A: PSUBSCRIBE x", "A: GET k", "A: PING", "A: PUNSUBSCRIBE");
}

static void names_and_messages_may_be_any_bytes(void **state)
{
    (void)state;
    static const char subscribe[] = "*3\r\n$9\r\nsubscribe\r\n$4\r\n\0\r\n\xff\r\n$0\r\n\r\n";
    static const char publish[] = "*3\r\n$7\r\nPUBLISH\r\n$4\r\n\0\r\n\xff\r\n$5\r\n\r\n\0$1\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$0\r\n\r\n$0\r\n\r\n";
    duel_bytes(duel, 'A', (struct slice){subscribe, sizeof(subscribe) - 1}, 2);
    duel_bytes(duel, 'B', (struct slice){publish, sizeof(publish) - 1}, 2);
    DUEL(duel, "A<", "A<");
}

static void add_publish(struct buffer *bytes, const char *channel, size_t size)
{
    char *text = mem_alloc(size);
    memset(text, 'x', size);
    struct slice argv[] = {SLICE("PUBLISH"), slice_of(channel), {text, size}};
    raw_add_command(bytes, 3, argv);
    mem_free(text);
}

static void messages_may_be_large(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    add_publish(&bytes, "large", 4 * MIB);
    add_publish(&bytes, "large", 65536);
    add_publish(&bytes, "large", 65500);
    DUEL(duel, "A: SUBSCRIBE large");
    duel_bytes(duel, 'B', buffer_slice(&bytes), 3);
    DUEL(duel, "A<", "A<", "A<");
    buffer_fini(&bytes);
}

static void many_channels_are_one_client_s(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_text(&bytes, "*5001\r\n$9\r\nSUBSCRIBE\r\n");
    for (unsigned i = 0; i < 5000; i++) {
        buffer_printf(&bytes, "$5\r\nc%04u\r\n", i);
    }
    duel_bytes(duel, 'A', buffer_slice(&bytes), 5000);
    DUEL(duel, "B: PUBLISH c0000 a", "A<", "B: PUBLISH c4999 b", "A<", "A: UNSUBSCRIBE c0000",
         "B: PUBLISH c0000 a", "B: PUBLISH c0001 a", "A<");
    buffer_fini(&bytes);
}

/* --- what a proxy has to see to --------------------------------------------------------------- */

/* Sluice's connections in subscribed mode on both shards. */
static unsigned lines_on_shards(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct client *direct = client_connect(cluster_shard_port(duel_cluster(duel), i));
        char *list = client_ask(direct, "CLIENT LIST TYPE pubsub");
        for (const char *at = list; (at = strstr(at, "id=")) != NULL; at++) {
            count += at == list || at[-1] == '\n' ? 1 : 0;
        }
        mem_free(list);
        client_close(direct);
    }
    return count;
}

static void connections_end_with_the_last_subscription(void **state)
{
    (void)state;
    WAIT_UNTIL(lines_on_shards() == 0, WAIT_MS);
    DUEL(duel, "A: SUBSCRIBE x", "A: PSUBSCRIBE y", "B: SUBSCRIBE z");
    assert_int_equal(lines_on_shards(), 4);
    assert_int_equal(metric("sluice_subscribers"), 2);
    assert_int_equal(metric("sluice_subscriptions"), 3);
    DUEL(duel, "A: UNSUBSCRIBE");
    assert_int_equal(lines_on_shards(), 4);
    DUEL(duel, "A: PUNSUBSCRIBE");
    WAIT_UNTIL(lines_on_shards() == 2, WAIT_MS);
    DUEL(duel, "B close");
    WAIT_UNTIL(lines_on_shards() == 0, WAIT_MS);
    WAIT_UNTIL(metric("sluice_subscribers") == 0, WAIT_MS);
    assert_int_equal(metric("sluice_subscriptions"), 0);
    DUEL(duel, "A: SUBSCRIBE x", "B: PUBLISH x 1", "A<", "A half");
    WAIT_UNTIL(lines_on_shards() == 0, WAIT_MS);
}

static void a_reader_that_does_not_read_is_cut_off(void **state)
{
    (void)state;
    struct client *publisher = client_connect(duel_proxy_port(duel));
    uint64_t cut_off = metric("sluice_slow_readers_total");
    int slow = raw_connect(duel_proxy_port(duel));
    assert_true(slow > 0 && raw_send(slow, SLICE("SUBSCRIBE flood\r\n")));
    expect_within(publisher, "PUBLISH flood x", ":1", WAIT_MS);
    char *text = mem_alloc(MIB);
    memset(text, 'x', MIB);
    const char *argv[] = {"PUBLISH", "flood", text};
    const size_t lengths[] = {7, 5, MIB};
    unsigned sent = 0;
    for (bool is_there = true; is_there; sent++) {
        char *reply = client_ask_argv(publisher, 3, argv, lengths);
        is_there = strcmp(reply, ":1") == 0;
        assert_true(is_there || strcmp(reply, ":0") == 0);
        mem_free(reply);
        assert_true(sent < 32 + SOCKET_MIB);
    }
    assert_true(sent > 32); /* not before Redis would */
    WAIT_UNTIL(metric("sluice_slow_readers_total") == cut_off + 1, WAIT_MS);
    WAIT_UNTIL(lines_on_shards() == 0, WAIT_MS);
    expect(publisher, "PING", "+PONG");
    mem_free(text);
    (void)close(slow);
    client_close(publisher);
}

#define TEST(name) cmocka_unit_test_teardown(name, stage_close_clients)

/* What holds in RESP2 and in RESP3 alike: but for the pushes' first byte. */
#define IN_BOTH                                                                             \
    TEST(messages_come_to_who_subscribed), TEST(patterns_match_as_in_redis),                \
        TEST(shard_channels_are_apart), TEST(confirmations_count_as_in_redis),              \
        TEST(pubsub_tells_who_is_there), TEST(pipelined_commands_keep_their_order),         \
        TEST(replies_that_are_off_do_not_keep_messages_back), TEST(a_reset_ends_all),       \
        TEST(transactions_and_scripts_publish), TEST(a_subscriber_may_change_its_protocol), \
        TEST(names_and_messages_may_be_any_bytes), TEST(messages_may_be_large),             \
        TEST(many_channels_are_one_client_s), TEST(connections_end_with_the_last_subscription)

int main(void)
{
    const struct CMUnitTest resp2[] = {
        IN_BOTH,
        TEST(a_resp2_subscriber_may_do_little_else),
        TEST(a_reader_that_does_not_read_is_cut_off),
    };
    const struct CMUnitTest resp3[] = {
        IN_BOTH,
        TEST(a_resp3_subscriber_may_do_all_else),
        TEST(pushes_come_while_a_resp3_client_waits),
    };
    int failed = cmocka_run_group_tests_name("pubsub", resp2, start, stage_clear);
    failed += cmocka_run_group_tests_name("pubsub in RESP3", resp3, start_resp3, stage_clear);
    return failed;
}
