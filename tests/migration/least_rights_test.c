/* The rules of config/shard-users.acl are enough: shards on which the default user is off, a proxy
 * and a migrator that have those rights and no others, and a live migration under writes. No shard
 * has denied anything at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/migrations.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define KEYS        300
#define PATIENCE_MS 60000
#define LARGE_BYTES (2 << 20)

static char *folder, *users;         /* users: the ACL file */
static struct redis_server *replica; /* of s1; null: not yet */
static struct redis_server *spare;   /* s3; null: not yet */

/* The users as they are documented, and one for the test. */
static char *write_users(void)
{
    struct buffer text;
    struct error err;
    char *path = mem_printf("%s/users.acl", folder);
    buffer_init(&text, SIZE_MAX);
    assert_true(file_read("config/shard-users.acl", &text, NULL, &err));
    buffer_add_text(&text, "user probe on >probe ~* &* +@all\n");
    assert_true(file_write(path, buffer_slice(&text), &err));
    buffer_fini(&text);
    return path;
}

static int set_up(void **state)
{
    static const char *const proxy[] = {"SLUICE_SHARD_USER=sluice-proxy",
                                        "SLUICE_SHARD_PASSWORD=change-this-proxy-password", NULL};
    static const char *const replicas_too[] = {"--read-from", "prefer-replica", NULL};
    (void)state;
    folder = scratch_folder("rights");
    users = write_users();
    const char *redis[] = {"--aclfile", users, NULL};
    /* The migrator's and sluicectl's, who inherit them. */
    assert_int_equal(setenv("SLUICE_SHARD_USER", "sluice-migrator", 1), 0);
    assert_int_equal(setenv("SLUICE_SHARD_PASSWORD", "change-this-migrator-password", 1), 0);
    cluster = cluster_start(&(const struct cluster_options){.shards = 2,
                                                            .has_migrator = true,
                                                            .redis_options = redis,
                                                            .proxy_environment = proxy,
                                                            .proxy_arguments = replicas_too});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cluster_stop(cluster);
    redis_server_stop(replica);
    redis_server_stop(spare);
    process_stop_all();
    mem_free(users);
    scratch_remove(folder);
    return 0;
}

static void write_values(struct client *client, unsigned round)
{
    char command[128];
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(command, sizeof(command), "SET key:%u value:%u:%u", i, i, round);
        expect(client, command, "+OK");
        (void)snprintf(command, sizeof(command), "RPUSH list:%u %u", i, round);
        expect_prefix(client, command, ":");
    }
}

static void expect_values(struct client *client, unsigned round)
{
    char command[64], value[64];
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(command, sizeof(command), "GET key:%u", i);
        (void)snprintf(value, sizeof(value), "value:%u:%u", i, round);
        expect(client, command, value);
    }
}

/* As the test's own user. */
static struct client *probe(uint16_t port)
{
    struct client *client = client_connect(port);
    expect(client, "AUTH probe probe", "+OK");
    return client;
}

static void expect_nothing_denied(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct client *client = probe(cluster_shard_port(cluster, i));
        expect(client, "ACL LOG", "[]");
        client_close(client);
    }
}

static void a_live_migration_needs_no_more_rights_than_are_documented(void **state)
{
    (void)state;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    write_values(client, 1);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2");
    for (unsigned round = 2; round < 5; round++) {
        write_values(client, round);
        expect_values(client, round);
    }
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), PATIENCE_MS);
    expect_values(client, 4);
    cluster_tell(cluster, "finalize %s --force --wait", id);
    mem_free(id);
    expect_values(client, 4);
    expect(client, "EVAL \"return redis.call('GET', KEYS[1])\" 1 key:7", "value:7:4");
    expect_prefix(client, "KEYS list:*", "[");
    expect(client, "MULTI", "+OK");
    expect(client, "GET key:1", "+QUEUED");
    expect(client, "EXEC", "[value:1:4]");
    cluster_tell(cluster, "status");
    expect_nothing_denied();
    client_close(client);
}

/* With the code 0 or not. */
static bool ctl_says(const char *words, const char *text)
{
    struct output output = cluster_ctl(cluster, words);
    bool is_said = strstr(output.out, text) != NULL || strstr(output.err, text) != NULL;
    output_free(&output);
    return is_said;
}

/* A command of each kind that a proxy sends, or does more than send, to shards; the replies are
 * tested elsewhere. */
static const char *const served[] = {
    "FLUSHALL",
    "SET {a}1 1",
    "SCRIPT LOAD \"return 1\"",
    "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
    "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "SCRIPT FLUSH",
    "FUNCTION LOAD \"#!lua name=lib\nredis.register_function('f', function() return 1 end)\"",
    "FCALL f 1 {a}1",
    "FUNCTION LIST",
    "FUNCTION DELETE lib",
    "BLPOP {a}none 0.01",
    "XADD {a}s 1-1 f v",
    "XREAD BLOCK 10 STREAMS {a}s $",
    "WAIT 0 10",
    "SCAN 0",
    "KEYS {a}*",
    "DBSIZE",
    "RANDOMKEY",
    "PUBLISH channel message",
    "SPUBLISH channel message",
    "PUBSUB CHANNELS",
    "PUBSUB NUMSUB channel",
    "INFO",
    "COMMAND COUNT",
    "SORT {a}s2 ALPHA",
    "DUMP {a}1",
    "COPY {a}1 {a}2",
    "OBJECT ENCODING {a}1",
    "MEMORY USAGE {a}1",
    "WATCH {a}1",
    "UNWATCH",
    "MSET {a}3 1 {b}3 1",
    "DEL {a}3 {b}3",
    "PFADD {a}hll 1",
    "PFCOUNT {a}hll",
    "GEOADD {a}geo 1 1 x",
    "SUBSCRIBE channel",
};

static void expect_served(struct client *client)
{
    for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
        char *reply = client_ask(client, served[i]);
        if (reply[0] == '-') {
            fail_msg("%s: %s", served[i], reply);
        }
        mem_free(reply);
    }
}

/* Goes to its shard piece by piece, on a connection of its own. */
static void send_large_value(struct client *client)
{
    char *value = mem_zalloc(LARGE_BYTES);
    redisReply *reply =
        redisCommand(client_context(client), "SET {a}large %b", value, (size_t)LARGE_BYTES);
    assert_non_null(reply);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    mem_free(value);
}

static bool has_answer(struct client *client, const char *command)
{
    char *reply = client_ask(client, command);
    bool has = reply[0] != '-';
    mem_free(reply);
    return has;
}

static void what_clients_and_restarts_ask_for_needs_no_more_rights(void **state)
{
    (void)state;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    expect_served(client);
    client_close(client);
    client = client_connect(cluster_proxy_port(cluster, 0)); /* that one has subscribed */
    send_large_value(client);
    write_values(client, 5);
    char *size = client_ask(client, "DBSIZE");
    expect_nothing_denied();
    /* It reads what it had written, transactions too, and is taken back by the proxy. */
    redis_server_restart(cluster_shard(cluster, 0), false);
    expect_within(client, "DBSIZE", size, PATIENCE_MS);
    expect_values(client, 5);
    mem_free(size);
    redis_server_restart(cluster_shard(cluster, 1), true);
    WAIT_UNTIL(ctl_says("shard list", "accept"), PATIENCE_MS);
    cluster_tell(cluster, "shard accept s2");
    WAIT_UNTIL(has_answer(client, "DBSIZE"), PATIENCE_MS);
    expect_nothing_denied();
    client_close(client);
}

static void tell_spare(const char *words)
{
    struct client *client = probe(redis_server_port(spare));
    expect(client, words, "+OK");
    client_close(client);
}

/* As which Redis reads its append-only file: then transactions would be gone after a restart, and
 * the fence with them. */
static void a_shard_whose_default_user_has_no_rights_is_refused(void **state)
{
    static const char why[] = "Keep that user off, but with all rights";
    (void)state;
    spare = redis_server_start((const char *const[]){"--aclfile", users, NULL});
    char *add = mem_printf("shard add s3=127.0.0.1:%u", redis_server_port(spare));
    tell_spare("ACL SETUSER default -@all");
    assert_true(ctl_says(add, why));
    tell_spare("ACL SETUSER default +@all");
    assert_true(ctl_says(add, "s3"));
    tell_spare("ACL SETUSER default -@dangerous");
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(ctl_says("status", why), PATIENCE_MS);
    tell_spare("ACL SETUSER default +@all");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), PATIENCE_MS);
    cluster_tell(cluster, "abort %s --wait", id);
    mem_free(id);
    mem_free(add);
}

static void a_shard_is_closed_to_who_has_no_password(void **state)
{
    (void)state;
    struct client *client = client_connect(cluster_shard_port(cluster, 0));
    expect_prefix(client, "GET key:1", "-NOAUTH");
    expect(client, "AUTH sluice-migrator change-this-migrator-password", "+OK");
    expect_prefix(client, "CONFIG SET maxmemory 1", "-NOPERM");
    expect_prefix(client, "AUTH sluice-proxy change-this-proxy-password", "+OK");
    expect_prefix(client, "CONFIG SET maxmemory 1", "-NOPERM");
    expect_prefix(client, "SHUTDOWN", "-NOPERM");
    client_close(client);
}

static void start_replica(void)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", cluster_shard_port(cluster, 0));
    replica = redis_server_start((const char *const[]){"--aclfile", users, "--replicaof",
                                                       "127.0.0.1", port, "--masteruser", "probe",
                                                       "--masterauth", "probe", NULL});
}

/* Of a key that is not there, so that any type's will do. */
static const char *const reads[] = {"get",  "mget",  "strlen",  "bitcount", "exists",    "ttl",
                                    "type", "dump",  "llen",    "hgetall",  "smembers",  "zcard",
                                    "xlen", "hkeys", "sort_ro", "pttl",     "expiretime"};

/* Whom it is replicated from reads nothing. */
static bool has_run(struct client *server, const char *command)
{
    char *label = mem_printf("\ncmdstat_%s:", command);
    char *text = client_ask(server, "INFO commandstats");
    bool has = strstr(text, label) != NULL;
    mem_free(text);
    mem_free(label);
    return has;
}

static void a_replica_is_read_by_the_rights_that_are_documented(void **state)
{
    (void)state;
    start_replica();
    struct client *server = probe(redis_server_port(replica));
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        char *command = mem_printf("%s %s", reads[i], cluster_key(cluster, 0, "none:", 0));
        WAIT_UNTIL(has_answer(client, command) && has_run(server, reads[i]), PATIENCE_MS);
        mem_free(command);
    }
    expect(server, "ACL LOG", "[]");
    expect_nothing_denied();
    client_close(client);
    client_close(server);
}

static bool failover_says(const char *verb, const char *text)
{
    char words[96];
    (void)snprintf(words, sizeof(words), "%s failover s1 --to 127.0.0.1:%u", verb,
                   redis_server_port(replica));
    return ctl_says(words, text);
}

static void an_operator_fails_over_by_the_rights_that_are_documented(void **state)
{
    (void)state;
    WAIT_UNTIL(failover_says("plan", "a replica of the process"), PATIENCE_MS);
    assert_true(failover_says("shard", "NOPERM"));
    assert_int_equal(setenv("SLUICE_SHARD_USER", "sluice-operator", 1), 0);
    assert_int_equal(setenv("SLUICE_SHARD_PASSWORD", "change-this-operator-password", 1), 0);
    assert_true(failover_says("shard", "nothing: writes were held"));
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    expect_within(client, "SET key:7 after", "+OK", PATIENCE_MS);
    client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_migration_needs_no_more_rights_than_are_documented),
        cmocka_unit_test(what_clients_and_restarts_ask_for_needs_no_more_rights),
        cmocka_unit_test(a_shard_whose_default_user_has_no_rights_is_refused),
        cmocka_unit_test(a_replica_is_read_by_the_rights_that_are_documented),
        cmocka_unit_test(a_shard_is_closed_to_who_has_no_password),
        cmocka_unit_test(an_operator_fails_over_by_the_rights_that_are_documented),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
