/* A shard that the topology names by a host name: the name may come to stand for another address,
 * or for none, and nobody tells. */
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
static struct redis_server *shard;

static void name_stands_for(const char *address)
{
    struct error err;
    if (!file_write(names, slice_of(address), &err)) {
        fail_msg("%s", err.text);
    }
}

static int start(void **state)
{
    (void)state;
    folder = scratch_folder("names");
    names = mem_printf("%s/names", folder);
    shard = redis_server_start((const char *[]){"--bind", FIRST, OTHER, NULL});
    char *library = program_path("tests/shim/fake_names.so");
    char *absolute = realpath(library, NULL);
    assert_non_null(absolute);
    assert_int_equal(setenv("FAKE_NAMES", names, 1), 0);
    assert_int_equal(setenv("LD_PRELOAD", absolute, 1), 0);
    name_stands_for(FIRST);
    char *init = mem_printf("s1=moving.test:%u", redis_server_port(shard));
    cluster = cluster_start(&(const struct cluster_options){.init = init, .nslots = 16});
    mem_free(init);
    mem_free(library);
    free(absolute);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    redis_server_stop(shard);
    process_stop_all();
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    mem_free(names);
    scratch_remove(folder);
    return 0;
}

static bool is_served(void)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    bool is_good = client_gets(client, "SET key value", "+OK");
    client_close(client);
    return is_good;
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
    char *script = mem_printf("sleep 1; echo " FIRST " >%s", names);
    char *log = mem_printf("%s/log", folder);
    const char *argv[] = {"sh", "-c", script, NULL};
    WAIT_UNTIL(is_served(), LONG_MS);
    process_kill(cluster_proxy(cluster, 0));
    assert_int_equal(remove(names), 0);
    struct process *name_server = process_start("name server", argv, NULL, log);
    cluster_restart_proxy(cluster, 0);
    WAIT_UNTIL(is_served(), LONG_MS);
    assert_true(proxy_says("shard has no address"));
    (void)process_stop(name_server);
    mem_free(script);
    mem_free(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shard_is_found_where_its_name_has_moved_to),
        TEST(a_name_server_that_was_away_when_a_proxy_began_is_asked_again),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
