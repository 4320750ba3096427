/* A shard that the topology names by a host name: the name may come to stand for another address,
 * or for none, and nobody tells. The other shard, s2, has a number. */
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
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define FIRST   "127.0.0.7"
#define OTHER   "127.0.0.1"

static char *folder, *names;
static struct redis_server *shard, *other, *replica; /* replica: of s2; null: none */
static char key[16], other_key[16];                  /* of s1, of s2 */

static void name_stands_for(const char *address)
{
    struct error err;
    if (!file_write(names, slice_of(address), &err)) {
        fail_msg("%s", err.text);
    }
}

static bool is_kept(const char *name)
{
    char command[32];
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    (void)snprintf(command, sizeof(command), "SET %s value", name);
    bool is_good = client_gets(client, command, "+OK");
    client_close(client);
    return is_good;
}

static void find_key(struct redis_server *server, char *name, size_t size)
{
    bool is_there = false;
    struct client *direct = client_connect(redis_server_port(server));
    for (unsigned i = 0; !is_there; i++) {
        char command[32];
        (void)snprintf(name, size, "k%u", i);
        (void)snprintf(command, sizeof(command), "EXISTS %s", name);
        WAIT_UNTIL(is_kept(name), LONG_MS);
        is_there = client_gets(direct, command, ":1");
    }
    client_close(direct);
}

static int start(void **state)
{
    static const char *const proxy_arguments[] = {"--read-from", "prefer-replica", NULL};
    (void)state;
    folder = scratch_folder("names");
    names = mem_printf("%s/names", folder);
    shard = redis_server_start((const char *[]){"--bind", FIRST, OTHER, NULL});
    other = redis_server_start(NULL);
    char *library = program_path("tests/shim/fake_names.so");
    char *absolute = realpath(library, NULL);
    assert_non_null(absolute);
    assert_int_equal(setenv("FAKE_NAMES", names, 1), 0);
    assert_int_equal(setenv("LD_PRELOAD", absolute, 1), 0);
    assert_int_equal(setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1), 0);
    name_stands_for(FIRST);
    char *init = mem_printf("s1=moving.test:%u s2=127.0.0.1:%u", redis_server_port(shard),
                            redis_server_port(other));
    cluster = cluster_start(&(const struct cluster_options){
        .init = init, .nslots = 16, .proxy_arguments = proxy_arguments});
    mem_free(init);
    mem_free(library);
    free(absolute);
    find_key(shard, key, sizeof(key));
    find_key(other, other_key, sizeof(other_key));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    redis_server_stop(shard);
    redis_server_stop(other);
    redis_server_stop(replica);
    replica = NULL;
    process_stop_all();
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    assert_int_equal(unsetenv("ASAN_OPTIONS"), 0);
    mem_free(names);
    scratch_remove(folder);
    return 0;
}

static bool is_served(void)
{
    return is_kept(key);
}

static void a_shard_is_found_where_its_name_has_moved_to(void **state)
{
    (void)state;
    WAIT_UNTIL(is_served(), LONG_MS);
    name_stands_for(OTHER);
    struct client *admin = client_connect(redis_server_port(shard));
    expect(admin, "CONFIG SET bind " OTHER, "+OK");
    expect_prefix(admin, "CLIENT KILL TYPE normal", ":"); /* but for this one */
    WAIT_UNTIL(is_served(), LONG_MS);
    client_close(admin);
}

static bool proxy_says(const char *text)
{
    const char *argv[] = {"grep", "-q", text, process_log_path(cluster_proxy(cluster, 0)), NULL};
    struct output output = process_run(argv, NULL, LONG_MS);
    bool says = output.code == 0;
    output_free(&output);
    return says;
}

static void a_name_server_that_was_away_when_a_proxy_began_is_asked_again(void **state)
{
    (void)state;
    WAIT_UNTIL(is_served(), LONG_MS);
    assert_false(proxy_says("shard has no address"));
    /* It is back when the proxy has missed it. */
    char *script = mem_printf("until grep -q 'shard has no address' %s; do sleep 0.1; done; "
                              "echo " FIRST " >%s",
                              process_log_path(cluster_proxy(cluster, 0)), names);
    char *log = mem_printf("%s/log", folder);
    const char *argv[] = {"sh", "-c", script, NULL};
    process_kill(cluster_proxy(cluster, 0));
    assert_int_equal(remove(names), 0);
    struct process *name_server = process_start("name server", argv, NULL, log);
    cluster_restart_proxy(cluster, 0);
    WAIT_UNTIL(is_served(), LONG_MS);
    assert_true(process_wait(name_server, LONG_MS, NULL));
    (void)process_stop(name_server);
    mem_free(script);
    mem_free(log);
}

/* Both are other processes than the topology names, and a take-over looks for its shard first. The
 * one that has a name goes before. */
static void a_name_server_that_hangs_delays_no_other_shard(void **state)
{
    (void)state;
    name_stands_for("hangs");
    redis_server_kill(shard);
    redis_server_restart(shard, false);
    WAIT_UNTIL(proxy_says("is not served shard=s1.*has not answered"), LONG_MS);
    redis_server_kill(other);
    redis_server_restart(other, false);
    WAIT_UNTIL(is_kept(other_key), LONG_MS);
    assert_false(is_served());
    name_stands_for(FIRST);
    WAIT_UNTIL(is_served(), LONG_MS);
}

static void start_replica(void)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", redis_server_port(other));
    replica =
        redis_server_start((const char *[]){"--bind", FIRST, OTHER, "--replicaof", "127.0.0.1",
                                            port, "--replica-announce-ip", "moving.test", NULL});
}

static unsigned long reads_of(struct client *server)
{
    static const char label[] = "cmdstat_get:calls=";
    char *info = client_ask(server, "INFO commandstats");
    const char *found = strstr(info, label);
    unsigned long count = found != NULL ? strtoul(found + sizeof(label) - 1, NULL, 10) : 0;
    mem_free(info);
    return count;
}

/* By the proxy, which asks a replica or the primary. */
static bool is_read_from(struct client *server)
{
    unsigned long before = reads_of(server);
    char *get = mem_printf("GET %s", other_key);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    mem_free(client_ask(client, get));
    client_close(client);
    mem_free(get);
    return reads_of(server) > before;
}

static void a_replica_that_announces_a_name_is_read_where_that_is(void **state)
{
    (void)state;
    start_replica();
    struct client *direct = client_connect(redis_server_port(replica));
    WAIT_UNTIL(is_read_from(direct), LONG_MS);
    name_stands_for(OTHER);
    expect(direct, "CONFIG SET bind " OTHER, "+OK");
    expect_prefix(direct, "CLIENT KILL TYPE normal", ":"); /* but for this one */
    WAIT_UNTIL(is_read_from(direct), LONG_MS);
    client_close(direct);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shard_is_found_where_its_name_has_moved_to),
        TEST(a_name_server_that_was_away_when_a_proxy_began_is_asked_again),
        TEST(a_name_server_that_hangs_delays_no_other_shard),
        TEST(a_replica_that_announces_a_name_is_read_where_that_is),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
