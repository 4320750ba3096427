/* A process that dies between two steps, by fail points: what it leaves is closed, and the next
 * call completes it. Release builds have no fail points: skipped there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "lib/topology/migration_state.h"
#include "tests/support/ask.h"
#include "tests/support/test_store.h"

#define F METADATA_FENCE

static struct test_store test;
static struct redis_server *server;

static int start(void **state)
{
    (void)state;
    script_init();
    test_store_init(&test);
    server = redis_server_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(server);
    test_store_fini(&test);
    return 0;
}

#ifdef SLUICE_FAIL_POINTS
static bool init(struct error *err)
{
    struct topology_shard shard = {
        .name = "s1", .host = "127.0.0.1", .port = redis_server_port(server), .weight = 100};
    struct init_options options = {.shards = &shard, .nshards = 1, .nslots = 16};
    return cluster_init(test.store, &options, err);
}

static void init_that_died_before_the_fence_is_completed(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct shard_link *link = ask_open(server);
    assert_false(init(&err)); /* init.fence, the first time */
    assert_non_null(strstr(err.text, "fail point init.fence"));
    assert_int_equal(test_store_epoch(&test), 1);
    expect_script(link, SCRIPT_HELLO, F, "$ 1 p:1 7", "-UNFENCED the fence is absent");
    if (!init(&err)) {
        fail_msg("%s", err.text);
    }
    shard_close(link); /* killed before the fence was written */
    link = ask_open(server);
    expect_script(link, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    shard_close(link);
}

/* The fence names the process already: once the topology does too, nobody sees that anything is
 * left to do. So stale proxies were thrown off and shut out before. */
static void a_takeover_that_died_after_the_naming_left_no_stale_proxy(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct shard_identity other = {"1111111111111111111111111111111111111111",
                                   "2222222222222222222222222222222222222222"};
    if (!init(&err)) {
        fail_msg("%s", err.text);
    }
    struct shard_link *stale = ask_open(server);
    expect_script(stale, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    topology_replace_process(next, 0, &other);
    test_store_write(&test, next);
    topology_free(present);
    /* The first try ends at takeover.named, as a crash would; the second finds all in order. */
    assert_int_equal(cluster_takeover(test.store, "s1", false, &err), TAKEOVER_DONE);
    assert_int_equal(test_store_epoch(&test), 3);
    assert_null(shard_commandf(stale, NULL, "PING"));
    shard_close(stale);
    stale = ask_open(server);
    expect_script(stale, SCRIPT_HELLO, F, "$ 1 p:1 8", "-FENCED 2");
    expect_script(stale, SCRIPT_HELLO, F, "$ 3 p:1 8", "+OK");
    shard_close(stale);
}

#else
static void there_are_no_fail_points_in_this_build(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
#define WITH_SHARD(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
#ifdef SLUICE_FAIL_POINTS
        WITH_SHARD(init_that_died_before_the_fence_is_completed),
        WITH_SHARD(a_takeover_that_died_after_the_naming_left_no_stale_proxy),
#else
        WITH_SHARD(there_are_no_fail_points_in_this_build),
#endif
    };
    (void)setenv("SLUICE_FAIL", "init.fence=error@1,takeover.named=error@1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
