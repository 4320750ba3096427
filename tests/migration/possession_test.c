/* A shard that took slots over and was set back by a crash to before that: Redis may lose its last
 * second, and a replica what it had not received. The former owner's keys are then the only ones,
 * and nothing may remove them: neither the repair of the copy, nor the purge. */
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
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define KEYS         200
#define LONG_MS      60000
#define A_WHILE_MS   1500
#define FORMER_OWNER 0
#define OWNER        1

static char moved[32]; /* one of the former owner's keys */

static int start(void **state)
{
    (void)state;
    cluster = cluster_start(
        &(const struct cluster_options){.shards = 2, .has_migrator = true, .nslots = 64});
    return 0;
}

static void run(const char *const *argv)
{
    struct output output = process_run(argv, NULL, LONG_MS);
    if (output.code != 0) {
        fail_msg("%s: %s", argv[0], output.err);
    }
    output_free(&output);
}

static char *ask_shard(unsigned shard, const char *words)
{
    struct client *client = client_connect(cluster_shard_port(cluster, shard));
    char *answer = client_ask(client, words);
    client_close(client);
    return answer;
}

static bool shard_has(unsigned shard, const char *key)
{
    char *words = mem_printf("EXISTS %s", key);
    char *answer = ask_shard(shard, words);
    bool has_key = strcmp(answer, ":1") == 0;
    mem_free(answer);
    mem_free(words);
    return has_key;
}

static void write_keys(void)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    for (unsigned i = 0; i < KEYS; i++) {
        char words[64], key[32];
        (void)snprintf(key, sizeof(key), "key-%u", i);
        (void)snprintf(words, sizeof(words), "SET %s value-%u", key, i);
        expect(client, words, "+OK");
        if (shard_has(FORMER_OWNER, key)) {
            memcpy(moved, key, sizeof(moved));
        }
    }
    client_close(client);
    assert_true(moved[0] != '\0');
}

static bool all_keys_are_there(void)
{
    bool is_whole = true;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    for (unsigned i = 0; i < KEYS && is_whole; i++) {
        char words[64], value[64];
        (void)snprintf(words, sizeof(words), "GET key-%u", i);
        (void)snprintf(value, sizeof(value), "value-%u", i);
        is_whole = client_gets(client, words, value);
    }
    client_close(client);
    return is_whole;
}

static bool is_refused(void)
{
    char *words = mem_printf("GET %s", moved);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *answer = client_ask(client, words);
    bool is_unavailable = strncmp(answer, "-UNAVAILABLE ", 13) == 0;
    client_close(client);
    mem_free(answer);
    mem_free(words);
    return is_unavailable;
}

static bool migrator_says(const char *text)
{
    const char *argv[] = {"grep", "-q", text, process_log_path(cluster_migrator(cluster)), NULL};
    struct output output = process_run(argv, NULL, LONG_MS);
    bool says = output.code == 0;
    output_free(&output);
    return says;
}

/* The files of the shard `from` -> `to`, whatever was there. */
static void copy_files(const char *from, const char *to)
{
    run((const char *[]){"rm", "-rf", to, NULL});
    run((const char *[]){"cp", "-a", from, to, NULL});
}

static bool status_says(const char *id, const char *text)
{
    char *words = mem_printf("status %s", id);
    struct output output = cluster_ctl(cluster, words);
    bool says = output.code == 0 && strstr(output.out, text) != NULL;
    output_free(&output);
    mem_free(words);
    return says;
}

/* For the repair: no operator is thrown off a shard that is refused. */
static void expect_peace(void)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, OWNER));
    uint64_t end_us = deadline_after_ms(A_WHILE_MS);
    while (!deadline_is_over(end_us)) {
        expect(direct, "PING", "+PONG");
        clock_sleep_ms(WAIT_POLL_MS);
    }
    client_close(direct);
}

static void who_lost_what_it_took_over_is_not_believed(void **state)
{
    (void)state;
    struct redis_server *owner = cluster_shard(cluster, OWNER);
    char *files = mem_printf("%s/appendonlydir", redis_server_folder(owner));
    char *before = mem_printf("%s/before", cluster_folder(cluster));
    char *after = mem_printf("%s/after", cluster_folder(cluster));
    write_keys();
    copy_files(files, before);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --hold-max 1s");
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), LONG_MS);
    redis_server_kill(owner);
    copy_files(files, after);
    copy_files(before, files);
    redis_server_restart(owner, false);
    WAIT_UNTIL(migrator_says("has lost keys that it took over"), LONG_MS);
    assert_true(is_refused());
    assert_true(shard_has(FORMER_OWNER, moved));
    expect_peace();

    redis_server_kill(owner);
    copy_files(after, files);
    redis_server_restart(owner, false);
    WAIT_UNTIL(all_keys_are_there(), LONG_MS);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "verify %s --wait --timeout 60s", id);
    assert_false(status_says(id, "requested: verify"));
    cluster_tell(cluster, "finalize %s --wait", id);
    char *report = cluster_ctl_ok(cluster, "report"); /* of the newest */
    assert_non_null(strstr(report, id));
    mem_free(report);
    assert_true(all_keys_are_there());
    assert_false(shard_has(FORMER_OWNER, moved));
    cluster_compare(cluster, "");
    mem_free(id);
    mem_free(files);
    mem_free(before);
    mem_free(after);
}

static void become(struct redis_server *server, const char *of, uint16_t port, const char *link)
{
    char *words =
        port != 0 ? mem_printf("REPLICAOF %s %u", of, port) : mem_strdup("REPLICAOF NO ONE");
    struct client *direct = client_connect(redis_server_port(server));
    expect(direct, words, "+OK");
    mem_free(words);
    for (bool is_so = port == 0; !is_so;) {
        char *info = client_ask(direct, "INFO replication");
        is_so = strstr(info, link) != NULL;
        mem_free(info);
    }
    client_close(direct);
}

/* REPLICAOF there and back ends no connection. The proxy does not see it happen. */
static void who_was_set_back_while_connected_is_cut_off(void **state)
{
    (void)state;
    struct redis_server *owner = cluster_shard(cluster, OWNER);
    struct redis_server *replica = redis_server_start(NULL);
    char *words;
    write_keys();
    words = mem_printf("GET %s", moved);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    become(replica, "127.0.0.1", redis_server_port(owner), "master_link_status:up");
    become(replica, NULL, 0, "");
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --hold-max 1s");
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), LONG_MS);
    assert_true(all_keys_are_there());

    process_signal(cluster_proxy(cluster, 0), SIGSTOP);
    become(owner, "127.0.0.1", redis_server_port(replica), "master_link_status:up");
    become(owner, NULL, 0, "");
    WAIT_UNTIL(migrator_says("has lost keys that it took over"), LONG_MS);
    process_signal(cluster_proxy(cluster, 0), SIGCONT);
    char *answer = client_ask(client, words);
    if (strncmp(answer, "-UNAVAILABLE ", 13) != 0 && strncmp(answer, "-UNKNOWN ", 9) != 0) {
        fail_msg("%s: %s", words, answer);
    }
    mem_free(answer);
    WAIT_UNTIL(is_refused(), LONG_MS);
    client_close(client);
    redis_server_stop(replica);
    mem_free(words);
    mem_free(id);
}

static bool has_replica(void)
{
    char *info = ask_shard(OWNER, "INFO replication");
    bool is_online = strstr(info, "state=online") != NULL;
    mem_free(info);
    return is_online;
}

/* It will not end by itself, and keeps the shard from syncing. */
static void begin_endless_rewrite(void)
{
    mem_free(ask_shard(OWNER, "CONFIG SET no-appendfsync-on-rewrite yes"));
    mem_free(ask_shard(OWNER, "CONFIG SET rdb-key-save-delay 60000000"));
    mem_free(ask_shard(OWNER, "BGREWRITEAOF"));
}

static void end_rewrite(void)
{
    char line[96];
    int pid = (int)process_pid(redis_server_process(cluster_shard(cluster, OWNER)));
    mem_free(ask_shard(OWNER, "CONFIG SET rdb-key-save-delay 0"));
    (void)snprintf(line, sizeof(line), "kill -9 $(cat /proc/%d/task/%d/children)", pid, pid);
    run((const char *[]){"sh", "-c", line, NULL});
}

static void a_purge_waits_for_replicas_and_disk_of_the_owner_and_says_so(void **state)
{
    (void)state;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", cluster_shard_port(cluster, OWNER));
    struct redis_server *replica =
        redis_server_start((const char *[]){"--replicaof", "127.0.0.1", port, NULL});
    WAIT_UNTIL(has_replica(), LONG_MS);
    write_keys();
    begin_endless_rewrite();
    process_signal(redis_server_process(replica), SIGSTOP);
    char *id = migration_open_by_ctl(cluster,
                                     "split s1 --to s2 --share 1 --finalize-after 0 --hold-max 1s");
    WAIT_UNTIL(migration_is_in(cluster, id, "finalizing"), LONG_MS);
    uint64_t end_us = deadline_after_ms(A_WHILE_MS);
    while (!deadline_is_over(end_us)) {
        assert_true(shard_has(FORMER_OWNER, moved));
        clock_sleep_ms(WAIT_POLL_MS);
    }
    WAIT_UNTIL(status_says(id, "waits for a replica of shard \"s2\" (ip=127.0.0.1,port="), LONG_MS);
    process_signal(redis_server_process(replica), SIGCONT);
    WAIT_UNTIL(status_says(id, "waits for shard \"s2\" to end the rewrite"), LONG_MS);
    assert_true(shard_has(FORMER_OWNER, moved));
    end_rewrite();
    WAIT_UNTIL(migration_is_in(cluster, id, "closed"), LONG_MS);
    char *journal = cluster_ctl_ok(cluster, "journal");
    assert_non_null(strstr(journal, "waiting epoch="));
    assert_non_null(strstr(journal, "text=\"\""));
    mem_free(journal);
    assert_false(shard_has(FORMER_OWNER, moved));
    assert_true(all_keys_are_there());
    cluster_compare(cluster, "");
    redis_server_stop(replica);
    mem_free(id);
}

/* Of one that syncs each second it sees an end. */
static void a_purge_waits_for_the_disk(void **state)
{
    (void)state;
    mem_free(ask_shard(OWNER, "CONFIG SET appendfsync everysec"));
    mem_free(ask_shard(FORMER_OWNER, "CONFIG SET appendfsync everysec"));
    write_keys();
    char *id = migration_open_by_ctl(cluster,
                                     "split s1 --to s2 --share 1 --finalize-after 0 --hold-max 1s");
    WAIT_UNTIL(migration_is_in(cluster, id, "closed"), LONG_MS);
    assert_false(shard_has(FORMER_OWNER, moved));
    assert_true(all_keys_are_there());
    cluster_compare(cluster, "");
    mem_free(id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_lost_what_it_took_over_is_not_believed),
        TEST(who_was_set_back_while_connected_is_cut_off),
        TEST(a_purge_waits_for_replicas_and_disk_of_the_owner_and_says_so),
        TEST(a_purge_waits_for_the_disk),
    };
    return cmocka_run_group_tests_name("possession", tests, NULL, NULL);
}
