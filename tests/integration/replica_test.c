/* Reads from replicas, with real ones: s1 has two that want a password, behind wires that can be
 * slow, and which follow their primary over a wire that can be cut. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/topology/slot.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define PATIENCE_MS 60000
#define LAG_MAX_MS  1000
#define READS       40
#define SLOW_US     20000
#define REPLICAS    2

struct replica {
    struct redis_server *server;
    struct forwarder *link; /* the address that it announces */
    struct client *direct;
};

static char *folder, *conf;
static struct forwarder *upstream; /* from the primary to both */
static struct replica replicas[REPLICAS];
static struct client *primary; /* s1, straight */
static struct client *client;
static char key[32]; /* of s1 */

/* --- setting up ------------------------------------------------------------------------------- */

static void write_conf(const char *policy, unsigned lag_max_ms)
{
    struct error err;
    char *text =
        mem_printf("read-from = %s\nreplica-lag-max = %ums\nwait-max = 60s\n", policy, lag_max_ms);
    assert_true(file_write(conf, slice_of(text), &err));
    mem_free(text);
}

static void start_replica(struct replica *replica)
{
    char command[64];
    const char *const options[] = {"--repl-diskless-load",
                                   "swapdb",
                                   "--user",
                                   "sluice",
                                   "on",
                                   ">secret",
                                   "~*",
                                   "&*",
                                   "+@all",
                                   NULL};
    replica->server = redis_server_start(options);
    replica->link = forwarder_start(redis_server_port(replica->server));
    replica->direct = client_connect(redis_server_port(replica->server));
    (void)snprintf(command, sizeof(command), "CONFIG SET replica-announce-port %u",
                   forwarder_port(replica->link));
    expect(replica->direct, command, "+OK");
    (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u", forwarder_port(upstream));
    expect(replica->direct, command, "+OK");
    expect(replica->direct, "ACL SETUSER default off", "+OK"); /* as whom we stay logged in */
}

static unsigned slot_of(const char *name)
{
    return slot_of_key(slice_of(name), CLUSTER_NSLOTS);
}

/* A key that is s1's, as "explain" has it, and has a slot of its own. */
static void find_key(char *name, size_t size, unsigned other_slot)
{
    for (unsigned i = 0;; i++) {
        char command[64];
        (void)snprintf(name, size, "k%u", i);
        (void)snprintf(command, sizeof(command), "SET %s old", name);
        expect_within(client, command, "+OK", PATIENCE_MS); /* s1 may be let in just now */
        (void)snprintf(command, sizeof(command), "EXISTS %s", name);
        if (client_gets(primary, command, ":1") && slot_of(name) != other_slot) {
            return;
        }
    }
}

static bool proxy_knows(const char *line)
{
    char *body = NULL;
    bool is_known = http_get(cluster_proxy_admin_port(cluster, 0), "/metrics", &body) == 200 &&
                    strstr(body, line) != NULL;
    mem_free(body);
    return is_known;
}

static bool is_usable(const struct replica *replica)
{
    char text[128];
    (void)snprintf(text, sizeof(text),
                   "sluice_replica_usable{shard=\"s1\",replica=\"127.0.0.1:%u\"} 1\n",
                   forwarder_port(replica->link));
    return proxy_knows(text);
}

static int start(void **state)
{
    static const char *const redis_options[] = {"--repl-diskless-sync-delay",
                                                "0",
                                                "--user",
                                                "sluice",
                                                "on",
                                                ">secret",
                                                "~*",
                                                "&*",
                                                "+@all",
                                                NULL};
    static const char *const login[] = {"SLUICE_SHARD_USER=sluice", "SLUICE_SHARD_PASSWORD=secret",
                                        NULL};
    (void)state;
    folder = scratch_folder("replica");
    conf = mem_printf("%s/proxy.conf", folder);
    const char *const arguments[] = {"--config", conf, NULL};
    write_conf("prefer-replica", LAG_MAX_MS);
    cluster = cluster_start(&(const struct cluster_options){.shards = 2,
                                                            .has_migrator = true,
                                                            .has_links = true,
                                                            .redis_options = redis_options,
                                                            .proxy_environment = login,
                                                            .proxy_arguments = arguments});
    upstream = forwarder_start(cluster_shard_port(cluster, 0));
    for (unsigned i = 0; i < REPLICAS; i++) {
        start_replica(&replicas[i]);
    }
    /* The first one's coming makes s1 another process, whose connections are all ended. */
    WAIT_UNTIL(is_usable(&replicas[0]) && is_usable(&replicas[1]), PATIENCE_MS);
    primary = client_connect(cluster_shard_port(cluster, 0));
    client = client_connect(cluster_proxy_port(cluster, 0));
    find_key(key, sizeof(key), UINT32_MAX);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    client_close(client);
    client_close(primary);
    for (unsigned i = 0; i < REPLICAS; i++) {
        client_close(replicas[i].direct);
        redis_server_stop(replicas[i].server);
        forwarder_stop(replicas[i].link);
    }
    forwarder_stop(upstream);
    cluster_stop(cluster);
    mem_free(conf);
    scratch_remove(folder);
    process_stop_all();
    return 0;
}

/* --- who answers ------------------------------------------------------------------------------ */

static unsigned long calls(struct client *server, const char *command)
{
    char label[64];
    (void)snprintf(label, sizeof(label), "\ncmdstat_%s:calls=", command);
    char *text = client_ask(server, "INFO commandstats");
    const char *found = strstr(text, label);
    unsigned long count = found != NULL ? strtoul(found + strlen(label), NULL, 10) : 0;
    mem_free(text);
    return count;
}

static unsigned long calls_of_replicas(const char *command)
{
    return calls(replicas[0].direct, command) + calls(replicas[1].direct, command);
}

/* Some reads of the key, each of which gives the value; how many of them that server answered. */
static unsigned long reads_by(struct client *server, const char *name, const char *value)
{
    char command[64];
    unsigned long before = calls(server, "get");
    (void)snprintf(command, sizeof(command), "GET %s", name);
    for (unsigned i = 0; i < READS; i++) {
        expect(client, command, value);
    }
    return calls(server, "get") - before;
}

static bool is_read_from(struct client *server, const char *name, const char *value)
{
    return reads_by(server, name, value) > 0;
}

static void wait_for_replicas(const char *value)
{
    WAIT_UNTIL(is_read_from(replicas[0].direct, key, value), PATIENCE_MS);
    WAIT_UNTIL(is_read_from(replicas[1].direct, key, value), PATIENCE_MS);
}

static void put(const char *name, const char *value)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "SET %s %s", name, value);
    expect(client, command, "+OK");
    (void)snprintf(command, sizeof(command), "GET %s", name);
    for (unsigned i = 0; i < REPLICAS; i++) {
        expect_within(replicas[i].direct, command, value, PATIENCE_MS);
    }
}

static void reload(const char *policy, unsigned lag_max_ms)
{
    write_conf(policy, lag_max_ms);
    process_signal(cluster_proxy(cluster, 0), SIGHUP);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void replicas_read_by_turns_and_the_primary_writes(void **state)
{
    (void)state;
    wait_for_replicas("old");
    WAIT_UNTIL(reads_by(primary, key, "old") == 0, PATIENCE_MS);
    put(key, "new");
    assert_true(calls(primary, "set") > 0);
    WAIT_UNTIL(is_read_from(replicas[0].direct, key, "new"), PATIENCE_MS);
    put(key, "old");
}

static void clients_of_resp3_get_the_replica_s_resp3(void **state)
{
    static const char map[] = "%1\r\n$1\r\nf\r\n$1\r\nv\r\n";
    struct buffer pending, reply;
    char text[128];
    (void)state;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    int fd = raw_connect(cluster_proxy_port(cluster, 0));
    (void)snprintf(text, sizeof(text), "HELLO 3\r\nHSET {%s}h f v\r\n", key);
    assert_true(raw_send(fd, slice_of(text)));
    assert_true(raw_read_reply(fd, &pending, &reply));
    assert_true(raw_read_reply(fd, &pending, &reply));
    (void)snprintf(text, sizeof(text), "HLEN {%s}h", key);
    expect_within(replicas[0].direct, text, ":1", PATIENCE_MS);
    expect_within(replicas[1].direct, text, ":1", PATIENCE_MS);
    (void)snprintf(text, sizeof(text), "HGETALL {%s}h\r\n", key);
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (calls_of_replicas("hgetall") == 0) {
        assert_false(deadline_is_over(deadline_us));
        buffer_clear(&reply);
        assert_true(raw_send(fd, slice_of(text)));
        assert_true(raw_read_reply(fd, &pending, &reply));
        assert_true(slice_equal(buffer_slice(&reply), slice_of(map)));
    }
    (void)close(fd);
    buffer_fini(&pending);
    buffer_fini(&reply);
}

static void a_slot_in_a_migration_is_read_from_its_owner(void **state)
{
    char resting[32];
    (void)state;
    find_key(resting, sizeof(resting), slot_of(key));
    put(resting, "rests");
    wait_for_replicas("old");
    cluster_tell(cluster, "move %u --to s2 --manual-switch", slot_of(key));
    WAIT_UNTIL(proxy_knows("phase=\"dual-write\""), PATIENCE_MS);
    WAIT_UNTIL(is_read_from(replicas[0].direct, resting, "rests"), PATIENCE_MS);
    WAIT_UNTIL(reads_by(primary, key, "old") == READS, PATIENCE_MS); /* the worker knows, too */
    for (unsigned i = 0; i < 3; i++) {
        WAIT_UNTIL(is_read_from(replicas[1].direct, resting, "rests"), PATIENCE_MS);
        assert_int_equal(reads_by(primary, key, "old"), READS);
    }
    cluster_tell(cluster, "abort --wait");
    wait_for_replicas("old");
    /* There and back: nothing but the owner's replicas is read. */
    cluster_tell(cluster, "move %u --to s2 --wait", slot_of(key));
    cluster_tell(cluster, "finalize --wait");
    assert_int_equal(reads_by(primary, key, "old"), 0);
    cluster_tell(cluster, "move %u --to s1 --wait --finalize-after 0", slot_of(key));
    wait_for_replicas("old");
}

static void replicas_that_hang_are_done_without(void **state)
{
    (void)state;
    wait_for_replicas("old");
    process_signal(redis_server_process(replicas[0].server), SIGSTOP);
    process_signal(redis_server_process(replicas[1].server), SIGSTOP);
    for (unsigned i = 0; i < 3; i++) {
        unsigned long before = calls(primary, "get");
        char command[64];
        (void)snprintf(command, sizeof(command), "GET %s", key);
        for (unsigned j = 0; j < READS; j++) {
            expect(client, command, "old");
        }
        assert_int_equal(calls(primary, "get") - before, READS);
    }
    process_signal(redis_server_process(replicas[0].server), SIGCONT);
    process_signal(redis_server_process(replicas[1].server), SIGCONT);
    wait_for_replicas("old");
}

/* Their links stand, and nothing comes: they do not know that they are late. */
static void what_was_written_longer_ago_than_the_bound_is_seen(void **state)
{
    char command[64];
    (void)state;
    put(key, "old");
    wait_for_replicas("old");
    forwarder_set(upstream, NULL, &(const struct weather){.cuts_replies = true});
    (void)snprintf(command, sizeof(command), "SET %s new", key);
    expect(client, command, "+OK");
    uint64_t written_us = clock_now_us();
    (void)snprintf(command, sizeof(command), "GET %s", key);
    for (unsigned late = 0; late < READS;) {
        bool is_late = clock_now_us() > written_us + LAG_MAX_MS * 1000;
        char *value = client_ask(client, command);
        assert_true(strcmp(value, "new") == 0 || (!is_late && strcmp(value, "old") == 0));
        mem_free(value);
        late += is_late ? 1 : 0;
    }
    expect(replicas[0].direct, command, "old");
    forwarder_heal(upstream);
    wait_for_replicas("new");
}

static void set_delays(uint64_t of_primary_us, uint64_t of_first_us, uint64_t of_second_us)
{
    forwarder_set(cluster_link(cluster, 0), NULL, &(struct weather){.delay_us = of_primary_us});
    forwarder_set(replicas[0].link, NULL, &(struct weather){.delay_us = of_first_us});
    forwarder_set(replicas[1].link, NULL, &(struct weather){.delay_us = of_second_us});
}

/* It sleeps through everything: its connections to the primary are ended, those to the replicas
 * stand, and the slot's keys are gone from both. */
static void a_proxy_that_wakes_up_late_reads_nothing_that_has_moved(void **state)
{
    char command[64];
    struct buffer pending, reply;
    (void)state;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    reload("prefer-replica", PATIENCE_MS);
    put(key, "old");
    wait_for_replicas("old");
    int fd = raw_connect(cluster_proxy_port(cluster, 0));
    process_signal(cluster_proxy(cluster, 0), SIGSTOP);
    cluster_tell(cluster, "move %u --to s2 --wait", slot_of(key));
    cluster_tell(cluster, "finalize --wait");
    (void)snprintf(command, sizeof(command), "EXISTS %s", key);
    expect_within(replicas[0].direct, command, ":0", PATIENCE_MS);
    expect_within(replicas[1].direct, command, ":0", PATIENCE_MS);
    (void)snprintf(command, sizeof(command), "GET %s\r\n", key);
    for (unsigned i = 0; i < READS; i++) {
        assert_true(raw_send(fd, slice_of(command)));
    }
    process_signal(cluster_proxy(cluster, 0), SIGCONT);
    for (unsigned i = 0; i < READS; i++) {
        buffer_clear(&reply);
        assert_true(raw_read_reply(fd, &pending, &reply));
        assert_true(slice_equal(buffer_slice(&reply), SLICE("$3\r\nold\r\n")));
    }
    (void)close(fd);
    buffer_fini(&pending);
    buffer_fini(&reply);
    cluster_tell(cluster, "move %u --to s1 --wait --finalize-after 0", slot_of(key));
    reload("prefer-replica", LAG_MAX_MS);
    wait_for_replicas("old");
}

static void the_nearest_is_read_wherever_it_is(void **state)
{
    (void)state;
    put(key, "old");
    wait_for_replicas("old");
    set_delays(SLOW_US, 0, SLOW_US);
    reload("nearest", 4 * LAG_MAX_MS / 10);
    WAIT_UNTIL(reads_by(replicas[0].direct, key, "old") == READS, PATIENCE_MS);
    set_delays(SLOW_US, SLOW_US, 0);
    WAIT_UNTIL(reads_by(replicas[1].direct, key, "old") == READS, PATIENCE_MS);
    set_delays(0, SLOW_US, SLOW_US);
    WAIT_UNTIL(reads_by(primary, key, "old") == READS, PATIENCE_MS);
    set_delays(0, 0, 0);
    reload("prefer-replica", LAG_MAX_MS);
    wait_for_replicas("old");
    reload("primary", LAG_MAX_MS);
    WAIT_UNTIL(reads_by(primary, key, "old") == READS, PATIENCE_MS);
    reload("prefer-replica", LAG_MAX_MS);
    wait_for_replicas("old");
}

static void metrics_and_stats_tell_of_replicas(void **state)
{
    char *body = NULL, text[128];
    (void)state;
    wait_for_replicas("old");
    uint16_t admin = cluster_proxy_admin_port(cluster, 0);
    assert_int_equal(http_get(admin, "/metrics", &body), 200);
    assert_null(strstr(body, "sluice_replica_reads_total{shard=\"s1\"} 0\n"));
    assert_non_null(strstr(body, "sluice_replica_reads_total{shard=\"s2\"} 0\n"));
    mem_free(body);
    assert_int_equal(http_get(admin, "/stats", &body), 200);
    (void)snprintf(text, sizeof(text), "\"address\": \"127.0.0.1:%u\"",
                   forwarder_port(replicas[1].link));
    assert_non_null(strstr(body, text));
    mem_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_read_by_turns_and_the_primary_writes),
        cmocka_unit_test(clients_of_resp3_get_the_replica_s_resp3),
        cmocka_unit_test(a_slot_in_a_migration_is_read_from_its_owner),
        cmocka_unit_test(replicas_that_hang_are_done_without),
        cmocka_unit_test(what_was_written_longer_ago_than_the_bound_is_seen),
        cmocka_unit_test(a_proxy_that_wakes_up_late_reads_nothing_that_has_moved),
        cmocka_unit_test(the_nearest_is_read_wherever_it_is),
        cmocka_unit_test(metrics_and_stats_tell_of_replicas),
    };
    return cmocka_run_group_tests_name("replica", tests, start, stop);
}
