/* SCRIPT KILL and FUNCTION KILL reach a script that does not end, whichever proxy it came through;
 * meanwhile others are told what the shard tells: BUSY. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define WAIT_MS 60000
#define SHARDS  2

static int start(void **state)
{
    static const char *const redis[] = {"--busy-reply-threshold", "50", NULL};
    static const char *const arguments[] = {"--shard-timeout", "60s", NULL};
    struct cluster_options options = {
        .shards = SHARDS, .proxies = 2, .redis_options = redis, .proxy_arguments = arguments};
    (void)state;
    cluster = cluster_start(&options);
    return 0;
}

static void send_only(struct client *client, const char *script)
{
    int done = 0;
    assert_int_equal(redisAppendCommand(client_context(client), script), REDIS_OK);
    while (done == 0) {
        assert_int_equal(redisBufferWrite(client_context(client), &done), REDIS_OK);
    }
}

static void answers(struct client *client, const char *words)
{
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(client_context(client), (void **)&reply), REDIS_OK);
    char *text = client_reply_text(reply);
    freeReplyObject(reply);
    if (strstr(text, words) == NULL) {
        fail_msg("wanted ...%s... got %s", words, text);
    }
    mem_free(text);
}

/* A key on each shard, since each is to have its turn. */
static void run_and_kill(unsigned run_through, unsigned kill_through, const char *run,
                         const char *kill)
{
    for (unsigned i = 0; i < 8; i++) {
        char script[256];
        struct client *busy = client_connect(cluster_proxy_port(cluster, run_through));
        struct client *killer = client_connect(cluster_proxy_port(cluster, kill_through));
        (void)snprintf(script, sizeof(script), "%s 1 k%u", run, i);
        send_only(busy, script);
        expect_within(killer, kill, "+OK", WAIT_MS);
        answers(busy, "killed by user");
        expect_prefix(killer, kill, "-NOTBUSY ");
        (void)snprintf(script, sizeof(script), "SET k%u 1", i);
        expect(busy, script, "+OK");
        client_close(busy);
        client_close(killer);
    }
}

static void an_endless_script_is_killed_through_its_own_proxy(void **state)
{
    (void)state;
    run_and_kill(0, 0, "EVAL repeat\tuntil(false)", "SCRIPT KILL");
}

static void an_endless_script_is_killed_through_another_proxy(void **state)
{
    (void)state;
    run_and_kill(0, 1, "EVAL repeat\tuntil(false)", "SCRIPT KILL");
}

static void an_endless_function_is_killed(void **state)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    expect(
        client,
        "FUNCTION LOAD \"#!lua name=endless\\nredis.register_function('endless', function() while "
        "true do end end)\"",
        "endless");
    client_close(client);
    run_and_kill(0, 0, "FCALL endless", "FUNCTION KILL");
}

/* The other proxy's connection is not the one that the script came through. */
static void others_are_told_that_the_shard_is_busy(void **state)
{
    struct client *busy = client_connect(cluster_proxy_port(cluster, 0));
    struct client *other = client_connect(cluster_proxy_port(cluster, 1));
    (void)state;
    expect(other, "SET k1 1", "+OK");
    send_only(busy, "EVAL repeat\tuntil(false) 1 k1");
    expect_within(other, "GET k1",
                  "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or "
                  "SHUTDOWN NOSAVE.",
                  WAIT_MS);
    expect(other, "SCRIPT KILL", "+OK");
    answers(busy, "killed by user");
    expect(other, "GET k1", "1");
    client_close(busy);
    client_close(other);
}

/* It ends by itself after some seconds. */
static void a_script_that_has_written_is_not_killed(void **state)
{
    struct client *busy = client_connect(cluster_proxy_port(cluster, 0));
    struct client *killer = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    const char *argv[] = {"EVAL",
                          "redis.call('SET', KEYS[1], 'written') "
                          "local began = redis.call('TIME')[1] "
                          "while redis.call('TIME')[1] - began < 5 do end return 'done'",
                          "1", "k1"};
    int done = 0;
    assert_int_equal(redisAppendCommandArgv(client_context(busy), 4, argv, NULL), REDIS_OK);
    while (done == 0) {
        assert_int_equal(redisBufferWrite(client_context(busy), &done), REDIS_OK);
    }
    expect_within(killer, "SCRIPT KILL",
                  "-UNKILLABLE Sorry the script already executed write commands against "
                  "the dataset. You can either wait the script termination or kill the "
                  "server in a hard way using the SHUTDOWN NOSAVE command.",
                  WAIT_MS);
    answers(busy, "done");
    expect(killer, "GET k1", "written");
    client_close(busy);
    client_close(killer);
}

/* The proxy must neither wait for it nor fall over it. */
static void an_operator_may_go_before_the_answer(void **state)
{
    struct process *shard = redis_server_process(cluster_shard(cluster, 0));
    struct client *killer = client_connect(cluster_proxy_port(cluster, 0));
    struct client *other = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    process_signal(shard, SIGSTOP);
    send_only(killer, "SCRIPT KILL");
    client_close(killer);
    expect(other, "PING", "+PONG");
    process_signal(shard, SIGCONT);
    expect_prefix(other, "SCRIPT KILL", "-NOTBUSY ");
    client_close(other);
}

static void a_shard_that_is_not_there_is_told(void **state)
{
    struct client *killer = client_connect(cluster_proxy_port(cluster, 0));
    (void)state;
    redis_server_kill(cluster_shard(cluster, 1));
    expect_prefix(killer, "SCRIPT KILL", "-UNAVAILABLE ");
    client_close(killer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endless_script_is_killed_through_its_own_proxy),
        cmocka_unit_test(an_endless_script_is_killed_through_another_proxy),
        cmocka_unit_test(an_endless_function_is_killed),
        cmocka_unit_test(others_are_told_that_the_shard_is_busy),
        cmocka_unit_test(a_script_that_has_written_is_not_killed),
        cmocka_unit_test(an_operator_may_go_before_the_answer),
        cmocka_unit_test(a_shard_that_is_not_there_is_told), /* the last: it stays away */
    };
    return cmocka_run_group_tests_name("script kill", tests, start, stage_clear);
}
