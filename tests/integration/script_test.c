/* Scripts and functions over several shards: a client that could do something with one Redis can do
 * it here, whichever shard lacks what it loaded, through whichever proxy. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/base/sha1.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/duel.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define WAIT_MS 60000

static int start_duel(void **state)
{
    (void)state;
    duel = duel_start(NULL);
    return 0;
}

/* --- as Redis -------------------------------------------------------------------------------- */

/* 40 digits of `body`, in one of a few places that are used in turn. */
static const char *sha_of(const char *body)
{
    static char places[8][SHA1_HEX_LENGTH + 1];
    static unsigned next;
    char *place = places[next++ % 8];
    sha1_hex(slice_of(body), place);
    return place;
}

/* A DUEL line: "A: " and the format. Freed by the next round of eight. */
static const char *line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *line(const char *format, ...)
{
    static char places[16][512];
    static unsigned next;
    char *place = places[next++ % 16];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(place, sizeof(places[0]), format, args);
    va_end(args);
    return place;
}

static void script_commands_answer_what_redis_answers(void **state)
{
    const char *sha = sha_of("return 1");
    (void)state;
    DUEL(duel, line("A: SCRIPT EXISTS %s", sha), line("A: EVALSHA %s 1 k", sha),
         "A: SCRIPT LOAD \"return 1\"", line("A: SCRIPT EXISTS %s %s", sha, sha_of("return 2")),
         line("A: EVALSHA %s 1 k", sha), line("A: EVALSHA %s 1 other", sha),
         line("A: EVALSHA_RO %s 1 third", sha), "A: SCRIPT LOAD \"return (\"", "A: SCRIPT LOAD",
         "A: SCRIPT", "A: SCRIPT NOSUCH", "A: SCRIPT EXISTS", "A: SCRIPT EXISTS \"\" x",
         "A: SCRIPT HELP", "A: SCRIPT KILL", "A: SCRIPT FLUSH NOSUCH", "A: SCRIPT FLUSH SYNC ASYNC",
         line("A: SCRIPT EXISTS %s", sha), "A: SCRIPT FLUSH SYNC", line("A: SCRIPT EXISTS %s", sha),
         line("A: EVALSHA %s 1 k", sha), line("A: EVALSHA %s 0", sha), "A: SCRIPT FLUSH",
         "A: SCRIPT FLUSH ASYNC");
}

/* All in one write: nothing is answered before the next is there. */
static void loads_and_flushes_keep_their_place(void **state)
{
    static const char body[] = "return 'flushed'";
    const char *sha = sha_of(body);
    struct buffer bytes;
    (void)state;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned i = 0; i < 30; i++) {
        buffer_printf(&bytes, "EVAL \"%s\" 1 k%u\r\nSCRIPT FLUSH\r\nSCRIPT EXISTS %s\r\n", body, i,
                      sha);
        buffer_printf(&bytes, "EVAL \"%s\" 2 k%u\r\nEVALSHA %s 1 k%u\r\n", body, i, sha, i);
        buffer_printf(&bytes, "EVAL \"%s\" 1 k%u\r\nEVALSHA %s 1 l%u\r\n", body, i, sha, i);
        buffer_printf(&bytes, "SCRIPT FLUSH\r\nEVAL \"%s\" 1 m%u\r\nSCRIPT EXISTS %s\r\n", body, i,
                      sha);
        buffer_printf(&bytes, "SCRIPT FLUSH\r\nSCRIPT LOAD \"%s\"\r\nSCRIPT EXISTS %s\r\n", body,
                      sha);
    }
    duel_bytes(duel, 'A', buffer_slice(&bytes), 390);
    buffer_fini(&bytes);
}

static void wrong_calls_get_the_errors_of_redis(void **state)
{
    (void)state;
    DUEL(
        duel, "A: EVAL \"return 1\"", "A: EVAL \"return 1\" x", "A: EVAL \"return 1\" -1",
        "A: EVAL \"return 1\" 2 k", "A: EVAL \"return (\" 1 k", "A: EVALSHA x 1 k", "A: EVALSHA x",
        "A: EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 k",
        "A: EVAL \"return redis.call('GET')\" 1 k", "A: EVAL \"return {err='MY words'}\" 1 k",
        "A: FCALL nosuch 1 k", "A: FCALL nosuch x", "A: FCALL_RO nosuch 0",
        "A: EVAL_RO \"return redis.call('SET', KEYS[1], 1)\" 1 k",
        "A: EVAL \"return redis.error_reply('NOSCRIPT No matching script. Please use EVAL.')\" 1 k",
        "A: PING");
}

/* EVAL makes a body known to EVALSHA: on one Redis for all keys, so here too. */
static void what_eval_ran_evalsha_finds_on_every_shard(void **state)
{
    const char *body = "return redis.call('INCR', KEYS[1])";
    const char *sha = sha_of(body);
    (void)state;
    DUEL(duel, line("A: EVAL \"%s\" 1 a", body));
    for (char key = 'b'; key <= 'k'; key++) {
        DUEL(duel, line("A: EVALSHA %s 1 %c", sha, key), line("B: EVALSHA %s 1 %c", sha, key));
    }
    DUEL(duel, line("A: SCRIPT EXISTS %s", sha));
}

static void scripts_without_keys_run_and_may_not_write(void **state)
{
    (void)state;
    DUEL(duel, "A: EVAL \"return ARGV[1]\" 0 hello", "A: EVAL \"return {1, 2, 'x'}\" 0",
         "A: EVAL_RO \"return 7\" 0", "A: EVAL \"return redis.sha1hex('x')\" 0");
    struct client *client = client_connect(duel_proxy_port(duel));
    expect_prefix(client, "EVAL \"return redis.call('SET', 'undeclared', 1)\" 0",
                  "-ERR Write commands are not allowed from read-only scripts.");
    expect(client, "EXISTS undeclared", ":0");
    client_close(client);
}

static void scripts_in_a_transaction_are_loaded_before_it(void **state)
{
    const char *body = "return redis.call('INCRBY', KEYS[1], 5)";
    const char *sha = sha_of(body);
    (void)state;
    DUEL(duel, line("A: SCRIPT LOAD \"%s\"", body), "A: MULTI", line("A: EVALSHA %s 1 {tx}n", sha),
         "A: GET {tx}n", "A: EVAL \"return 'new body'\" 1 {tx}n", "A: EVAL \"return 3\" 0",
         "A: EXEC", line("A: EVALSHA %s 1 {ty}n", sha_of("return 'new body'")));
}

static void a_script_may_be_loaded_in_a_transaction(void **state)
{
    const char *body = "return redis.call('INCRBY', KEYS[1], 7)";
    const char *sha = sha_of(body);
    (void)state;
    DUEL(duel, "A: MULTI", line("A: SCRIPT LOAD \"%s\"", body), line("A: EVALSHA %s 1 {tl}n", sha),
         "A: SCRIPT LOAD \"return (\"", "A: GET {tl}n", "A: SCRIPT LOAD return(12)", "A: EXEC",
         line("A: SCRIPT EXISTS %s", sha), line("A: EVALSHA %s 1 {ta}n", sha),
         line("A: EVALSHA %s 1 {tb}n", sha), line("A: EVALSHA %s 1 {td}n", sha_of("return(12)")),
         "A: MULTI", "A: SCRIPT LOAD return(13)", "A: EXEC",
         line("A: EVALSHA %s 1 {ta}n", sha_of("return(13)")), "A: MULTI", "A: SCRIPT LOAD",
         "A: EXEC");
}

static void functions_answer_what_redis_answers(void **state)
{
    static const char library[] =
        "#!lua name=bank\\nredis.register_function('put', function(k, a) return "
        "redis.call('SET', k[1], a[1]) end)\\nredis.register_function{function_name='look', "
        "callback=function(k, a) return redis.call('GET', k[1]) end, flags={'no-writes'}}";
    (void)state;
    DUEL(duel, line("A: FUNCTION LOAD \"%s\"", library), line("A: FUNCTION LOAD \"%s\"", library),
         line("A: FUNCTION LOAD REPLACE \"%s\"", library), "A: FCALL put 1 fa 1",
         "A: FCALL put 1 fb 2", "A: FCALL put 1 fc 3", "A: FCALL look 1 fa",
         "A: FCALL_RO look 1 fb", "A: FCALL_RO put 1 fa 9", "A: FUNCTION LIST LIBRARYNAME nosuch",
         "A: FUNCTION STATS", "A: FUNCTION DELETE nosuch", "A: FUNCTION KILL", "A: FUNCTION NOSUCH",
         "A: FUNCTION HELP", "A: FUNCTION RESTORE x", "A: FUNCTION DELETE bank",
         "A: FCALL look 1 fa", "A: FUNCTION FLUSH NOSUCH", "A: FUNCTION FLUSH SYNC");
}

/* --- what one shard lacks -------------------------------------------------------------------- */

static int start_cluster(void **state)
{
    struct cluster_options options = {.shards = 2, .spares = 1, .proxies = 2, .has_migrator = true};
    (void)state;
    cluster = cluster_start(&options);
    return 0;
}

static struct client *to_proxy(unsigned i)
{
    return client_connect(cluster_proxy_port(cluster, i));
}

static struct client *to_shard(unsigned i)
{
    return client_connect(cluster_shard_port(cluster, i));
}

/* Every one of many keys, which lie on all shards. */
static void expect_runs(struct client *client, const char *sha, const char *reply)
{
    for (int i = 0; i < 32; i++) {
        expect(client, line("EVALSHA %s 1 run%d", sha, i), reply);
    }
}

static void a_script_loaded_through_one_proxy_runs_through_another(void **state)
{
    struct client *first = to_proxy(0), *second = to_proxy(1);
    (void)state;
    expect(first, "SCRIPT LOAD \"return 'two proxies'\"", sha_of("return 'two proxies'"));
    expect_runs(second, sha_of("return 'two proxies'"), "two proxies");
    expect(second, "EVAL \"return 'by eval'\" 1 x", "by eval");
    expect_runs(first, sha_of("return 'by eval'"), "by eval");
    client_close(first);
    client_close(second);
}

static void a_shard_whose_scripts_an_operator_flushed_gets_them_again(void **state)
{
    const char *sha = sha_of("return 'flushed'");
    struct client *client = to_proxy(0);
    (void)state;
    expect(client, "SCRIPT LOAD \"return 'flushed'\"", sha);
    expect_runs(client, sha, "flushed");
    for (unsigned i = 0; i < 2; i++) {
        struct client *shard = to_shard(i);
        expect(shard, "SCRIPT FLUSH", "+OK");
        client_close(shard);
    }
    expect_runs(client, sha, "flushed");
    struct client *shard = to_shard(1);
    expect(shard, "SCRIPT FLUSH", "+OK");
    expect(client, "MULTI", "+OK");
    expect(client, line("EVALSHA %s 1 run0", sha_of("return 'by eval'")), "+QUEUED");
    expect_prefix(client, "EXEC", "[");
    client_close(shard);
    client_close(client);
}

/* What was flushed through a proxy stays so, through the other as well. */
static void a_flush_through_one_proxy_is_a_flush_through_all(void **state)
{
    const char *sha = sha_of("return 'gone'");
    struct client *first = to_proxy(0), *second = to_proxy(1);
    (void)state;
    expect(first, "SCRIPT LOAD \"return 'gone'\"", sha);
    expect_runs(second, sha, "gone");
    expect(first, "SCRIPT FLUSH", "+OK");
    for (int i = 0; i < 8; i++) {
        expect_prefix(first, line("EVALSHA %s 1 run%d", sha, i), "-NOSCRIPT");
        expect_prefix(second, line("EVALSHA %s 1 run%d", sha, i), "-NOSCRIPT");
    }
    expect(second, line("SCRIPT EXISTS %s", sha), "[:0]");
    client_close(first);
    client_close(second);
}

static bool serves(struct client *client, unsigned keys)
{
    for (unsigned i = 0; i < keys; i++) {
        if (!client_gets(client, line("SET serves%u 1", i), "+OK")) {
            return false;
        }
    }
    return true;
}

static void a_restarted_shard_gets_the_scripts_again(void **state)
{
    const char *sha = sha_of("return 'restarted'");
    struct client *client = to_proxy(0);
    (void)state;
    expect(client, "SCRIPT LOAD \"return 'restarted'\"", sha);
    expect_runs(client, sha, "restarted");
    redis_server_restart(cluster_shard(cluster, 0), false);
    WAIT_UNTIL(serves(client, 32), WAIT_MS);
    expect_runs(client, sha, "restarted");
    client_close(client);
}

static void a_shard_that_came_back_empty_gets_scripts_and_functions(void **state)
{
    const char *sha = sha_of("return 'empty'");
    struct client *client = to_proxy(0);
    (void)state;
    expect(client, "SCRIPT LOAD \"return 'empty'\"", sha);
    expect(client,
           "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('hi', function(k) return "
           "'hi' end)\"",
           "lib");
    redis_server_restart(cluster_shard(cluster, 0), true);
    struct output output = cluster_ctl(cluster, "shard accept s1");
    output_free(&output);
    WAIT_UNTIL((output = cluster_ctl(cluster, "shard accept s1"), output_free(&output),
                serves(client, 32)),
               WAIT_MS);
    expect_runs(client, sha, "empty");
    for (int i = 0; i < 32; i++) {
        expect(client, line("FCALL hi 1 run%d", i), "hi");
    }
    client_close(client);
}

static void scripts_go_on_while_slots_move_to_a_shard_that_never_had_them(void **state)
{
    const char *body = "return redis.call('INCR', KEYS[1])";
    const char *sha = sha_of(body);
    struct client *client = to_proxy(0);
    (void)state;
    expect(client, line("SCRIPT LOAD \"%s\"", body), sha);
    cluster_add_spare(cluster, 2);
    cluster_tell(cluster, "split s1 --to s3 --share 0.5 --wait");
    for (int i = 0; i < 64; i++) {
        expect(client, line("EVALSHA %s 1 moved%d", sha, i), ":1");
    }
    /* In the rollback window every write goes to both. */
    expect(client, "SCRIPT FLUSH", "+OK");
    expect_prefix(client, line("EVALSHA %s 1 moved0", sha), "-NOSCRIPT");
    expect(client, line("SCRIPT LOAD \"%s\"", body), sha);
    for (int i = 0; i < 64; i++) {
        expect(client, line("EVALSHA %s 1 moved%d", sha, i), ":2");
    }
    for (unsigned i = 0; i < 3; i++) {
        struct client *shard = to_shard(i);
        expect(shard, "SCRIPT FLUSH", "+OK");
        client_close(shard);
    }
    for (int i = 0; i < 64; i++) {
        expect(client, line("EVALSHA %s 1 moved%d", sha, i), ":3");
    }
    cluster_tell(cluster, "finalize --wait");
    cluster_compare(cluster, "");
    for (int i = 0; i < 64; i++) {
        expect(client, line("EVALSHA %s 1 moved%d", sha, i), ":4");
    }
    client_close(client);
}

#define LONG_UNIT 40000
#define BATCH     100

/* Hiredis' format knows no quotes: the script is one word. */
static void queue_scripts(struct client *client, unsigned tag)
{
    const char *eval = line("EVAL return(%u) 1 {t%u}", tag, tag);
    expect(client, "MULTI", "+OK");
    for (unsigned i = 0; i < LONG_UNIT; i += BATCH) {
        for (unsigned j = 0; j < BATCH; j++) {
            assert_int_equal(redisAppendCommand(client_context(client), eval), REDIS_OK);
        }
        for (unsigned j = 0; j < BATCH; j++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(client_context(client), (void **)&reply), REDIS_OK);
            assert_string_equal(reply->str, "QUEUED");
            freeReplyObject(reply);
        }
    }
}

/* That no shard supplies the scripts is known for one after the other, not one within the other. */
static void a_long_transaction_of_scripts_for_a_dead_shard_is_refused(void **state)
{
    struct client *client = to_proxy(0);
    unsigned refused = 0;
    (void)state;
    redis_server_kill(cluster_shard(cluster, 0));
    for (unsigned tag = 0; tag < 4; tag++) {
        queue_scripts(client, tag);
        char *answer = client_ask(client, "EXEC");
        refused += strncmp(answer, "-UNAVAILABLE", 12) == 0;
        mem_free(answer);
    }
    assert_true(refused > 0);
    expect(client, "PING", "+PONG");
    redis_server_restart(cluster_shard(cluster, 0), false);
    WAIT_UNTIL(serves(client, 32), WAIT_MS);
    client_close(client);
}

static int run_duel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_commands_answer_what_redis_answers),
        cmocka_unit_test(loads_and_flushes_keep_their_place),
        cmocka_unit_test(wrong_calls_get_the_errors_of_redis),
        cmocka_unit_test(what_eval_ran_evalsha_finds_on_every_shard),
        cmocka_unit_test(scripts_without_keys_run_and_may_not_write),
        cmocka_unit_test(scripts_in_a_transaction_are_loaded_before_it),
        cmocka_unit_test(a_script_may_be_loaded_in_a_transaction),
        cmocka_unit_test(functions_answer_what_redis_answers),
    };
    return cmocka_run_group_tests_name("script, as Redis", tests, start_duel, stage_clear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_loaded_through_one_proxy_runs_through_another),
        cmocka_unit_test(a_shard_whose_scripts_an_operator_flushed_gets_them_again),
        cmocka_unit_test(a_flush_through_one_proxy_is_a_flush_through_all),
        cmocka_unit_test(a_restarted_shard_gets_the_scripts_again),
        cmocka_unit_test(a_long_transaction_of_scripts_for_a_dead_shard_is_refused),
        cmocka_unit_test(scripts_go_on_while_slots_move_to_a_shard_that_never_had_them),
        cmocka_unit_test(a_shard_that_came_back_empty_gets_scripts_and_functions),
    };
    int failed = run_duel();
    return failed +
           cmocka_run_group_tests_name("script, many shards", tests, start_cluster, stage_clear);
}
