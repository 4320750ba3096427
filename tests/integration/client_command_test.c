/* CLIENT and the other commands about connections and the server, over all threads of a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define OTHERS 12 /* enough that each of three threads has some, all but certainly */

static struct client *client;
static struct client *others[OTHERS];

static const char *const three_threads[] = {"--threads", "3", NULL};

static int start(void **state)
{
    (void)state;
    cluster = cluster_start(
        &(const struct cluster_options){.shards = 2, .proxy_arguments = three_threads});
    return 0;
}

static int connect_all(void **state)
{
    (void)state;
    client = client_connect(cluster_proxy_port(cluster, 0));
    for (unsigned i = 0; i < OTHERS; i++) {
        char command[64];
        others[i] = client_connect(cluster_proxy_port(cluster, 0));
        (void)snprintf(command, sizeof(command), "CLIENT SETNAME other%u", i);
        expect(others[i], command, "+OK");
    }
    return 0;
}

static int disconnect_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OTHERS; i++) {
        client_close(others[i]);
    }
    client_close(client);
    client = client_connect(cluster_proxy_port(cluster, 0));
    expect_within(client, "CLIENT LIST TYPE pubsub", "", 60000);
    client_close(client);
    return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

static unsigned count_in_reply(const char *command, const char *word)
{
    char *reply = client_ask(client, command);
    unsigned count = count_of(reply, word);
    mem_free(reply);
    return count;
}

/* The number, or the word, behind `label` in the reply. */
static char *field_of(struct client *asked, const char *command, const char *label)
{
    char *reply = client_ask(asked, command);
    const char *found = strstr(reply, label);
    if (found == NULL) {
        fail_msg("no %s in %s", label, reply);
    }
    found += strlen(label);
    char *field = mem_strndup(found, strcspn(found, " \r\n"));
    mem_free(reply);
    return field;
}

static bool field_is(const char *command, const char *label, const char *value)
{
    char *field = field_of(client, command, label);
    bool is_equal = strcmp(field, value) == 0;
    mem_free(field);
    return is_equal;
}

static void expect_with(const char *format, const char *word, const char *reply)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "%s %s", format, word);
    expect(client, command, reply);
}

static bool is_closed(struct client *other)
{
    char *reply = client_ask(other, "PING");
    bool is_closed = strcmp(reply, "closed") == 0;
    mem_free(reply);
    return is_closed;
}

/* --- CLIENT LIST, INFO ------------------------------------------------------------------------ */

static void client_list_shows_the_clients_of_all_threads(void **state)
{
    (void)state;
    assert_int_equal(count_in_reply("CLIENT LIST", " name=other"), OTHERS);
    assert_int_equal(count_in_reply("CLIENT LIST TYPE normal", " name=other"), OTHERS);
    assert_int_equal(count_in_reply("CLIENT LIST TYPE replica", "id="), 0);
    char *id = field_of(others[3], "CLIENT INFO", "id=");
    char command[64];
    (void)snprintf(command, sizeof(command), "CLIENT LIST ID %s", id);
    assert_int_equal(count_in_reply(command, "id="), 1);
    assert_int_equal(count_in_reply(command, " name=other3 "), 1);
    mem_free(id);
}

static void client_info_tells_of_the_connection(void **state)
{
    (void)state;
    expect(client, "CLIENT SETINFO LIB-NAME mine", "+OK");
    expect(client, "CLIENT SETINFO LIB-VER 1.2", "+OK");
    expect(client, "CLIENT NO-EVICT ON", "+OK");
    char port[32];
    (void)snprintf(port, sizeof(port), "127.0.0.1:%u", cluster_proxy_port(cluster, 0));
    assert_true(field_is("CLIENT INFO", "laddr=", port));
    assert_true(field_is("CLIENT INFO", "lib-name=", "mine"));
    assert_true(field_is("CLIENT INFO", "lib-ver=", "1.2"));
    assert_true(field_is("CLIENT INFO", "cmd=", "client|info"));
    assert_true(field_is("CLIENT INFO", "flags=", "e"));
    assert_true(field_is("CLIENT INFO", "multi=", "-1"));
    expect(others[0], "MULTI", "+OK");
    expect(others[0], "SET a 1", "+QUEUED");
    assert_int_equal(count_in_reply("CLIENT LIST", "flags=x "), 1);
    assert_int_equal(count_in_reply("CLIENT LIST", "multi=1 "), 1);
    expect(others[0], "DISCARD", "+OK");
}

/* --- CLIENT KILL ------------------------------------------------------------------------------ */

static void client_kill_closes_by_address_in_both_forms(void **state)
{
    (void)state;
    char *address = field_of(others[1], "CLIENT INFO", " addr=");
    expect_with("CLIENT KILL", address, "+OK");
    assert_true(is_closed(others[1]));
    expect_with("CLIENT KILL", address, "-ERR No such client");
    expect_with("CLIENT KILL ADDR", address, ":0");
    mem_free(address);
    address = field_of(others[2], "CLIENT INFO", " addr=");
    expect_with("CLIENT KILL TYPE normal USER default ADDR", address, ":1");
    assert_true(is_closed(others[2]));
    assert_false(is_closed(others[3]));
    mem_free(address);
}

static void client_kill_closes_by_id(void **state)
{
    (void)state;
    char *id = field_of(others[4], "CLIENT INFO", "id=");
    expect_with("CLIENT KILL TYPE pubsub ID", id, ":0");
    expect_with("CLIENT KILL ID", id, ":1");
    expect_with("CLIENT KILL ID", id, ":0");
    assert_true(is_closed(others[4]));
    mem_free(id);
}

static void client_kill_spares_the_one_who_asks_unless_told(void **state)
{
    (void)state;
    char *local = field_of(client, "CLIENT INFO", "laddr=");
    char command[128], killed[16];
    (void)snprintf(command, sizeof(command), "CLIENT KILL LADDR %s", local);
    (void)snprintf(killed, sizeof(killed), ":%u", OTHERS);
    expect(client, command, killed);
    expect(client, "PING", "+PONG");
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_true(is_closed(others[i]));
    }
    (void)snprintf(command, sizeof(command), "CLIENT KILL SKIPME NO LADDR %s", local);
    expect(client, command, ":1"); /* answered, and then closed */
    assert_true(is_closed(client));
    mem_free(local);
}

static void a_client_killed_with_work_under_way_leaves_nothing_behind(void **state)
{
    (void)state;
    redisContext *context = client_context(others[5]);
    (void)redisAppendCommand(context, "BLPOP nothing 0");
    int done = 0;
    while (!done) {
        assert_int_equal(redisBufferWrite(context, &done), REDIS_OK);
    }
    WAIT_UNTIL(field_is("INFO clients", "blocked_clients:", "1"), 60000);
    assert_int_equal(count_in_reply("CLIENT LIST", "flags=b "), 1);
    expect_prefix(client, "CLIENT KILL TYPE normal", ":");
    expect(client, "RPUSH nothing x", ":1");
    expect(client, "LPOP nothing", "x");
    WAIT_UNTIL(field_is("INFO clients", "blocked_clients:", "0"), 60000);
}

/* --- CLIENT PAUSE ----------------------------------------------------------------------------- */

static void client_pause_holds_writes_back_and_lets_reads_pass(void **state)
{
    (void)state;
    expect(client, "SET paused before", "+OK");
    expect(client, "CLIENT PAUSE 60000 WRITE", "+OK");
    for (unsigned i = 0; i < OTHERS; i++) {
        expect(others[i], "GET paused", "before");
    }
    redisContext *context = client_context(others[0]);
    (void)redisAppendCommand(context, "SET paused after");
    int done = 0;
    while (!done) {
        assert_int_equal(redisBufferWrite(context, &done), REDIS_OK);
    }
    for (unsigned i = 0; i < 20; i++) {
        expect(others[1], "GET paused", "before");
    }
    expect(client, "CLIENT UNPAUSE", "+OK");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    expect(others[1], "GET paused", "after");
}

static void client_pause_ends_by_itself(void **state)
{
    (void)state;
    uint64_t start_us = clock_now_us();
    expect(client, "CLIENT PAUSE 300", "+OK");
    expect(others[0], "GET nothing", "(nil)");
    assert_true(clock_now_us() - start_us >= 300000);
    expect(others[1], "GET nothing", "(nil)");
}

/* --- the server ------------------------------------------------------------------------------- */

static void info_has_the_sections_that_are_asked_for(void **state)
{
    (void)state;
    assert_int_equal(count_in_reply("INFO server", "# "), 1);
    assert_int_equal(count_in_reply("INFO server clients KEYSPACE", "# "), 3);
    assert_int_equal(count_in_reply("INFO nosuch", "# "), 0);
    assert_int_equal(count_in_reply("INFO", "# Commandstats"), 0);
    assert_int_equal(count_in_reply("INFO default", "# Commandstats"), 0);
    assert_int_equal(count_in_reply("INFO everything", "# Commandstats"), 1);
    assert_int_equal(count_in_reply("INFO all", "cmdstat_client|setname:calls="), 1);
    assert_int_equal(count_in_reply("INFO default commandstats", "# Commandstats"), 1);
}

static void info_tells_of_all_threads_and_all_shards(void **state)
{
    (void)state;
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", OTHERS + 1);
    assert_true(field_is("INFO", "connected_clients:", number));
    assert_true(field_is("INFO", "redis_version:", "7.0.15"));
    assert_true(field_is("INFO", "maxmemory_policy:", "noeviction"));
    assert_true(field_is("INFO", "loading:", "0"));
    assert_true(field_is("INFO", "role:", "master"));
    assert_true(field_is("INFO", "cluster_enabled:", "0"));
    /* Numbers of the shards are about a second old. */
    expect(client, "DEL nothing paused", ":1");
    for (unsigned i = 0; i < 100; i++) {
        char command[32];
        (void)snprintf(command, sizeof(command), "SET counted%u x", i);
        expect(client, command, "+OK");
    }
    WAIT_UNTIL(count_in_reply("INFO", "db0:keys=100,expires=0,avg_ttl=0") == 1, 60000);
    char *memory = field_of(client, "INFO memory", "used_memory:");
    assert_true(strtoull(memory, NULL, 10) > 2 * 500000);
    mem_free(memory);
}

static void config_get_tells_the_truth(void **state)
{
    (void)state;
    expect(client, "CONFIG GET databases", "[databases, 1]");
    expect(client, "CONFIG GET maxclients timeout", "[maxclients, 10000, timeout, 0]");
    expect(client, "CONFIG GET maxmemory*", "[maxmemory, 0, maxmemory-policy, noeviction]");
    expect(client, "CONFIG GET appendonly", "[appendonly, yes]");
    expect(client, "CONFIG SET maxclients 5",
           "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - can't set "
           "immutable config");
    /* What a shard was told meanwhile is noticed. */
    for (unsigned i = 0; i < 2; i++) {
        struct client *shard = client_connect(cluster_shard_port(cluster, i));
        expect(shard, "CONFIG SET notify-keyspace-events KEA maxmemory 100mb", "+OK");
        client_close(shard);
    }
    expect_within(client, "CONFIG GET maxmemory", "[maxmemory, 209715200]", 60000);
    expect(client, "CONFIG GET notify-keyspace-events", "[notify-keyspace-events, AKE]");
}

/* While its question is with the other threads. */
static void a_client_that_resets_while_it_asks_all_leaves_the_proxy_alive(void **state)
{
    const struct linger abrupt = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        int fd = raw_connect(cluster_proxy_port(cluster, 0));
        assert_true(raw_send(fd, SLICE("PING\r\nCLIENT LIST\r\n")));
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt)), 0);
        (void)close(fd);
    }
    expect(client, "PING", "+PONG");
}

/* A late question may still close it: then another. */
static bool is_alive(void)
{
    struct client *fresh = client_connect(cluster_proxy_port(cluster, 0));
    bool answers = client_gets(fresh, "PING", "+PONG");
    client_close(fresh);
    return answers;
}

static void two_that_kill_each_other_leave_the_proxy_alive(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        int a = raw_connect(cluster_proxy_port(cluster, 0));
        int b = raw_connect(cluster_proxy_port(cluster, 0));
        (void)raw_send(a, SLICE("CLIENT KILL TYPE normal\r\n"));
        (void)raw_send(b, SLICE("CLIENT KILL TYPE normal\r\n"));
        (void)close(a);
        (void)close(b);
    }
    WAIT_UNTIL(is_alive(), 60000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_all, disconnect_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(client_list_shows_the_clients_of_all_threads),
        TEST(client_info_tells_of_the_connection),
        TEST(client_kill_closes_by_address_in_both_forms),
        TEST(client_kill_closes_by_id),
        TEST(client_kill_spares_the_one_who_asks_unless_told),
        TEST(a_client_killed_with_work_under_way_leaves_nothing_behind),
        TEST(client_pause_holds_writes_back_and_lets_reads_pass),
        TEST(client_pause_ends_by_itself),
        TEST(info_has_the_sections_that_are_asked_for),
        TEST(info_tells_of_all_threads_and_all_shards),
        TEST(config_get_tells_the_truth),
        TEST(a_client_that_resets_while_it_asks_all_leaves_the_proxy_alive),
        TEST(two_that_kill_each_other_leave_the_proxy_alive),
    };
    return cmocka_run_group_tests_name("client_command", tests, start, stage_clear);
}
