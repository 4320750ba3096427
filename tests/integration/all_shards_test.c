/* Commands that name no key and concern all shards: as one Redis answers them, and never at the
 * price of what fences the shards. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/duel.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define WAIT_MS 60000
#define SHARDS  3 /* once the spare is added */

static int start_duel(void **state)
{
    (void)state;
    duel = duel_start(NULL);
    return 0;
}

/* --- as Redis -------------------------------------------------------------------------------- */

static void a_flush_empties_everything(void **state)
{
    (void)state;
    DUEL(duel, "A: FLUSHALL", "A: DBSIZE", "A: RANDOMKEY",
         "A: MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", "A: DBSIZE", "A: FLUSHALL", "A: DBSIZE",
         "A: MGET a b c d e f g h", "A: KEYS *", "A: MSET a 1 b 2 c 3 d 4", "A: FLUSHDB ASYNC",
         "A: DBSIZE", "A: MSET a 1 b 2 c 3 d 4", "A: FLUSHALL SYNC", "A: DBSIZE", "A: FLUSHALL NOW",
         "A: FLUSHDB SYNC ASYNC", "A: SET a 1", "A: GET a");
}

/* Behind what its client has sent before, whatever the protocol. */
static void a_flush_comes_in_the_order_of_its_client(void **state)
{
    static const char bytes[] =
        "SET p1 x\r\nSET p2 x\r\nFLUSHALL\r\nSET p3 x\r\nDBSIZE\r\nGET p1\r\n"
        "FLUSHALL\r\nGET p3\r\nRANDOMKEY\r\n";
    for (int round = 0; round < 20; round++) {
        duel_bytes(duel, 'B', (struct slice){bytes, sizeof(bytes) - 1}, 9);
    }
    (void)state;
    duel_close_clients(duel);
}

static void the_only_key_is_the_random_one(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        char set[64];
        (void)snprintf(set, sizeof(set), "A: SET only%d 1", i);
        DUEL(duel, "A: FLUSHALL", set, "A: RANDOMKEY", "A: RANDOMKEY", "A: RANDOMKEY x");
    }
}

static void wait_answers_what_redis_answers(void **state)
{
    (void)state;
    DUEL(duel, "A: SET w 1", "A: WAIT 0 0", "A: WAIT 1 50", "A: WAIT -1 0", "A: WAIT x 0",
         "A: WAIT 1 x", "A: WAIT 1 -1", "A: WAIT 1", "A: PING");
}

static void scan_refuses_what_redis_refuses(void **state)
{
    (void)state;
    DUEL(duel, "A: FLUSHALL", "A: SCAN", "A: SCAN x", "A: SCAN 0 COUNT 0", "A: SCAN 0 COUNT x",
         "A: SCAN 0 NOSUCH 1", "A: SCAN 0 MATCH", "A: SCAN -1 COUNT 0", "A: SCAN \" 1\"",
         "A: SCAN 1x", "A: SCAN 99999999999999999999", "A: SCAN +0 COUNT x",
         "A: SCAN 0 TYPE nosuch COUNT 0", "A: KEYS", "A: KEYS a b", "A: DBSIZE 1");
}

static void an_operator_is_answered_in_redis_words(void **state)
{
    (void)state;
    DUEL(duel, "A: SLOWLOG RESET", "A: SLOWLOG HELP", "A: SLOWLOG GET x", "A: SLOWLOG GET -2",
         "A: SLOWLOG LEN x", "A: SLOWLOG", "A: LATENCY RESET", "A: LATENCY HELP",
         "A: LATENCY LATEST", "A: LATENCY HISTORY nosuch", "A: LATENCY GRAPH nosuch",
         "A: LATENCY GRAPH", "A: LATENCY HISTOGRAM nosuch", "A: MEMORY PURGE", "A: MEMORY PURGE x",
         "A: MEMORY HELP", "A: MEMORY USAGE nosuch", "A: CONFIG RESETSTAT", "A: CONFIG RESETSTAT x",
         "A: LASTSAVE x", "A: BGSAVE NOW", "A: PING");
}

/* --- not as one ------------------------------------------------------------------------------ */

static void every_key_is_drawn_at_some_time(void **state)
{
    bool was_drawn[4] = {false};
    struct client *client = client_connect(duel_proxy_port(duel));
    (void)state;
    expect(client, "FLUSHALL", "+OK");
    expect(client, "MSET draw0 x draw1 x draw2 x draw3 x", "+OK");
    for (int i = 0; i < 1000; i++) {
        char *key = client_ask(client, "RANDOMKEY");
        assert_int_equal(strncmp(key, "draw", 4), 0);
        was_drawn[key[4] - '0'] = true;
        mem_free(key);
    }
    assert_true(was_drawn[0] && was_drawn[1] && was_drawn[2] && was_drawn[3]);
    expect(client, "SWAPDB 0 1",
           "-ERR not supported by this Sluice: SWAPDB; there is only database 0");
    client_close(client);
}

static int start_cluster(void **state)
{
    struct cluster_options options = {.shards = 2, .spares = 1, .proxies = 2, .has_migrator = true};
    (void)state;
    cluster = cluster_start(&options);
    return 0;
}

static void fill(struct client *client, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char set[64];
        (void)snprintf(set, sizeof(set), "SET fill%u x", i);
        expect(client, set, "+OK");
    }
}

static char *fence_of(unsigned shard)
{
    struct client *client = client_connect(cluster_shard_port(cluster, shard));
    char *fence = client_ask(client, "HMGET __sluice:fence cluster shard run_id replid epoch born");
    client_close(client);
    return fence;
}

static void a_flush_keeps_the_fence_and_every_connection(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    struct client *other = client_connect(cluster_proxy_port(cluster, 1));
    char *before[2] = {fence_of(0), fence_of(1)};
    (void)state;
    expect(client, "EVAL \"return 'kept'\" 1 k", "kept");
    for (int i = 0; i < 20; i++) {
        fill(client, 50);
        expect(i % 2 == 0 ? client : other, i % 3 == 0 ? "FLUSHALL ASYNC" : "FLUSHDB", "+OK");
        expect(other, "DBSIZE", ":0");
    }
    for (unsigned i = 0; i < 2; i++) {
        char *after = fence_of(i);
        assert_string_equal(before[i], after);
        mem_free(after);
        mem_free(before[i]);
        struct client *shard = client_connect(cluster_shard_port(cluster, i));
        expect(shard, "HLEN __sluice:scripts", ":1");
        client_close(shard);
    }
    client_close(client);
    client_close(other);
}

/* --- what an operator asks ------------------------------------------------------------------- */

static void on_every_shard(const char *command, const char *expected)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct client *shard = client_connect(cluster_shard_port(cluster, i));
        expect(shard, command, expected);
        client_close(shard);
    }
}

static long long number_of(struct client *client, const char *command)
{
    char *reply = client_ask(client, command);
    assert_int_equal(reply[0], ':');
    long long number = strtoll(reply + 1, NULL, 10);
    mem_free(reply);
    return number;
}

static void the_slow_logs_of_all_shards_are_one(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    on_every_shard("CONFIG SET slowlog-log-slower-than 0", "+OK");
    expect(client, "SLOWLOG RESET", "+OK");
    fill(client, 32);
    assert_true(number_of(client, "SLOWLOG LEN") >= 32);
    for (unsigned i = 0; i < SHARDS; i++) {
        struct client *shard = client_connect(cluster_shard_port(cluster, i));
        assert_true(number_of(shard, "SLOWLOG LEN") < number_of(client, "SLOWLOG LEN"));
        client_close(shard);
    }
    redisReply *reply = redisCommand(client_context(client), "SLOWLOG GET 3");
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 3 * SHARDS);
    freeReplyObject(reply);
    on_every_shard("CONFIG SET slowlog-log-slower-than 10000", "+OK");
    expect(client, "SLOWLOG RESET", "+OK");
    client_close(client);
}

static void has_parts(const char *text)
{
    for (unsigned i = 1; i <= SHARDS; i++) {
        char heading[32];
        (void)snprintf(heading, sizeof(heading), "# shard s%u\n", i);
        const char *part = strstr(text, heading);
        assert_non_null(part);
        assert_true(strlen(part) > 40); /* which has something to say */
    }
    assert_null(strstr(text, "(not a text)"));
}

static void a_text_has_a_part_of_every_shard(void **state)
{
    static const char *const commands[] = {"MEMORY DOCTOR", "MEMORY MALLOC-STATS",
                                           "LATENCY DOCTOR"};
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char *text = client_ask(client, commands[i]);
        assert_int_equal(strncmp(text, "# shard s1\n", 11), 0);
        has_parts(text);
        mem_free(text);
    }
    client_close(client);
}

static void in_resp3_a_text_is_one(void **state)
{
    int fd = raw_connect(cluster_proxy_port(cluster, 0));
    struct buffer pending, reply;
    (void)state;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_send(fd, SLICE("HELLO 3\r\nMEMORY DOCTOR\r\n")));
    assert_true(raw_read_reply(fd, &pending, &reply));
    buffer_clear(&reply);
    assert_true(raw_read_reply(fd, &pending, &reply));
    assert_int_equal(buffer_slice(&reply).data[0], '=');
    buffer_add(&reply, "", 1);
    has_parts(buffer_slice(&reply).data);
    buffer_fini(&pending);
    buffer_fini(&reply);
    (void)close(fd);
}

/* Only one of the shards has a sample. */
static void what_one_shard_has_to_tell_is_told(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    struct client *shard = client_connect(cluster_shard_port(cluster, 1));
    (void)state;
    expect(shard, "CONFIG SET latency-monitor-threshold 1", "+OK");
    mem_free(client_ask(shard, "EVAL \"for i = 1, 3000000 do end\" 0"));
    redisReply *latest = redisCommand(client_context(client), "LATENCY LATEST");
    assert_true(latest->elements >= 1);
    freeReplyObject(latest);
    redisReply *history = redisCommand(client_context(client), "LATENCY HISTORY command");
    assert_true(history->elements >= 1);
    freeReplyObject(history);
    char *graph = client_ask(client, "LATENCY GRAPH command");
    assert_non_null(strstr(graph, "# shard s1\nERR No samples available"));
    assert_non_null(strstr(graph, "# shard s2\ncommand - high"));
    mem_free(graph);
    expect(shard, "CONFIG SET latency-monitor-threshold 0", "+OK");
    mem_free(client_ask(client, "LATENCY RESET"));
    expect(client, "LATENCY LATEST", "[]");
    client_close(shard);
    client_close(client);
}

static void calls_are_counted_over_all_shards(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char command[64];
    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(command, sizeof(command), "SETRANGE counted%u 0 x", i);
        expect(client, command, ":1");
    }
    expect_prefix(client, "LATENCY HISTOGRAM setrange nosuch",
                  "[setrange, [calls, :30, histogram_usec, [:");
    client_close(client);
}

static bool has_saved_since(struct client *client, long long since)
{
    return number_of(client, "LASTSAVE") > since;
}

static void a_save_is_one_of_every_shard(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    struct client *first = client_connect(cluster_shard_port(cluster, 0));
    (void)state;
    expect(first, "SAVE", "+OK");
    long long before = number_of(client, "LASTSAVE"); /* of the others, since their start */
    WAIT_UNTIL(time(NULL) > before + 1, WAIT_MS);
    expect(first, "SAVE", "+OK");
    assert_true(number_of(first, "LASTSAVE") > before);
    assert_int_equal(number_of(client, "LASTSAVE"), before); /* the other has not */
    expect(client, "BGSAVE", "+Background saving started");
    WAIT_UNTIL(has_saved_since(client, before), WAIT_MS);
    /* Started, or scheduled behind a save that has not ended. */
    expect_prefix(client, "BGREWRITEAOF", "+Background append only file rewriting ");
    expect_prefix(client, "SAVE", "-ERR not supported by this Sluice: SAVE; use BGSAVE");
    client_close(first);
    client_close(client);
}

static uint64_t waits_of(unsigned shard)
{
    struct client *client = client_connect(cluster_shard_port(cluster, shard));
    char *stats = client_ask(client, "INFO commandstats");
    const char *calls = strstr(stats, "cmdstat_wait:calls=");
    uint64_t count = calls != NULL ? strtoull(strchr(calls, '=') + 1, NULL, 10) : 0;
    mem_free(stats);
    client_close(client);
    return count;
}

/* Replicas tell how far they are once a second, or when they are asked, which the shards' own WAIT
 * does: whoever polled would wait for half a second each time. */
static void each_wait_asks_the_replicas(struct client *client)
{
    uint64_t before[] = {waits_of(0), waits_of(1)};
    for (unsigned i = 0; i < 20; i++) {
        fill(client, 8);
        expect(client, "WAIT 1 0", ":1");
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(waits_of(i), before[i] + 20);
    }
}

/* What a client has sent in the same write is waited for. */
static void wait_counts_what_stands_before_it(struct client *client)
{
    redisContext *context = client_context(client);
    for (unsigned i = 0; i < 32; i++) {
        (void)redisAppendCommand(context, "SET before%d x", (int)i);
    }
    (void)redisAppendCommand(context, "WAIT 1 0");
    for (unsigned i = 0; i < 33; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, i < 32 ? REDIS_REPLY_STATUS : REDIS_REPLY_INTEGER);
        freeReplyObject(reply);
    }
}

/* A replica of each shard, so that there is something to wait for. */
static void wait_counts_the_replicas_of_every_shard(void **state)
{
    struct redis_server *replicas[SHARDS];
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    for (unsigned i = 0; i < SHARDS; i++) {
        char replicaof[64];
        (void)snprintf(replicaof, sizeof(replicaof), "REPLICAOF 127.0.0.1 %u",
                       cluster_shard_port(cluster, i));
        replicas[i] = redis_server_start(NULL);
        struct client *replica = client_connect(redis_server_port(replicas[i]));
        expect(replica, replicaof, "+OK");
        client_close(replica);
        if (i == 0) {
            /* The fewest of any shard: the other has none. */
            expect_within(client, "SET w 1", "+OK", WAIT_MS);
            expect(client, "WAIT 1 300", ":0");
        }
    }
    expect_within(client, "WAIT 1 1000", ":1", WAIT_MS);
    fill(client, 32);
    expect(client, "WAIT 1 0", ":1");
    each_wait_asks_the_replicas(client);
    wait_counts_what_stands_before_it(client);
    expect_within(client, "WAIT 2 300", ":1", WAIT_MS); /* none has told in time: 0 */
    for (unsigned i = 0; i < SHARDS; i++) {
        redis_server_stop(replicas[i]);
    }
    struct client *waiter = client_connect(cluster_proxy_port(cluster, 0));
    assert_int_equal(redisAppendCommand(client_context(waiter), "WAIT 1 0"), REDIS_OK);
    int done = 0;
    while (done == 0) {
        assert_int_equal(redisBufferWrite(client_context(waiter), &done), REDIS_OK);
    }
    client_close(waiter); /* it would have waited for ever */
    expect(client, "PING", "+PONG");
    client_close(client);
}

static void a_flush_is_refused_while_a_migration_is_open(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    fill(client, 200);
    cluster_add_spare(cluster, 2);
    cluster_tell(cluster, "split s1 --to s3 --wait");
    expect_prefix(client, "FLUSHALL", "-ERR a migration is open");
    expect_prefix(client, "FLUSHDB", "-ERR a migration is open");
    for (int i = 0; i < 100; i++) {
        char *key = client_ask(client, "RANDOMKEY");
        assert_int_equal(strncmp(key, "fill", 4), 0);
        mem_free(key);
    }
    cluster_tell(cluster, "finalize --wait");
    expect(client, "DBSIZE", ":200");
    expect_within(client, "FLUSHALL", "+OK", WAIT_MS);
    expect(client, "DBSIZE", ":0");
    cluster_compare(cluster, "");
    client_close(client);
}

/* The migrator raises the fence before the first dual write of a migration. */
static void a_flush_of_an_older_topology_is_refused_by_the_shard(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    struct client *shard = client_connect(cluster_shard_port(cluster, 0));
    (void)state;
    fill(client, 32);
    char *size = client_ask(shard, "DBSIZE");
    char *epoch = client_ask(shard, "HGET __sluice:fence epoch");
    expect(shard, "HSET __sluice:fence epoch 1000000", ":0");
    expect_prefix(client, "FLUSHALL", "-UNKNOWN"); /* the other shard was flushed */
    expect(shard, "DBSIZE", size);
    char *words = mem_printf("HSET __sluice:fence epoch %s", epoch);
    expect(shard, words, ":0");
    expect_within(client, "FLUSHALL", "+OK", WAIT_MS);
    mem_free(words);
    mem_free(epoch);
    mem_free(size);
    client_close(shard);
    client_close(client);
}

static void a_flush_that_did_not_reach_every_shard_is_no_success(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    fill(client, 32);
    redis_server_kill(cluster_shard(cluster, 1));
    char *reply = client_ask(client, "FLUSHALL");
    if (strncmp(reply, "-UNKNOWN", 8) != 0 && strncmp(reply, "-UNAVAILABLE", 12) != 0) {
        fail_msg("FLUSHALL without a shard: %s", reply);
    }
    mem_free(reply);
    redis_server_restart(cluster_shard(cluster, 1), false);
    expect_within(client, "FLUSHALL", "+OK", WAIT_MS);
    expect(client, "DBSIZE", ":0");
    client_close(client);
}

static int run_duel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flush_empties_everything),
        cmocka_unit_test(a_flush_comes_in_the_order_of_its_client),
        cmocka_unit_test(the_only_key_is_the_random_one),
        cmocka_unit_test(wait_answers_what_redis_answers),
        cmocka_unit_test(scan_refuses_what_redis_refuses),
        cmocka_unit_test(an_operator_is_answered_in_redis_words),
        cmocka_unit_test(every_key_is_drawn_at_some_time),
    };
    return cmocka_run_group_tests_name("all shards, as Redis", tests, start_duel, stage_clear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flush_keeps_the_fence_and_every_connection),
        cmocka_unit_test(a_flush_is_refused_while_a_migration_is_open),
        cmocka_unit_test(a_flush_of_an_older_topology_is_refused_by_the_shard),
        cmocka_unit_test(a_flush_that_did_not_reach_every_shard_is_no_success),
        cmocka_unit_test(the_slow_logs_of_all_shards_are_one),
        cmocka_unit_test(a_text_has_a_part_of_every_shard),
        cmocka_unit_test(in_resp3_a_text_is_one),
        cmocka_unit_test(what_one_shard_has_to_tell_is_told),
        cmocka_unit_test(calls_are_counted_over_all_shards),
        cmocka_unit_test(a_save_is_one_of_every_shard),
        cmocka_unit_test(wait_counts_the_replicas_of_every_shard), /* changes the identities */
    };
    int failed = run_duel();
    return failed + cmocka_run_group_tests_name("all shards", tests, start_cluster, stage_clear);
}
