#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cluster/failover.h"
#include "lib/shard/metadata.h"
#include "migrator/run/formers.h"
#include "tests/support/ask.h"
#include "tests/support/process.h"
#include "tests/support/trio.h"
#include "tests/support/wait.h"

#define LONG_MS 60000

static struct test_store test;
static struct trio trio;

/* A shard whose primary hung when its replica took its place: the topology remembers it. */
static int start(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct failover_view view;
    script_init();
    test_store_init(&test);
    trio_start(&trio);
    struct topology_shard replica = trio_place(&trio, 1);
    trio_found(&trio, &test);
    process_signal(redis_server_process(trio.servers[0]), SIGSTOP);
    if (!failover_run(test.store, "s1", &replica, false, &view, &err)) {
        fail_msg("%s", err.text);
    }
    process_signal(redis_server_process(trio.servers[0]), SIGCONT);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    trio_stop(&trio);
    test_store_fini(&test);
    process_stop_all();
    return 0;
}

/* Until the topology remembers none. */
static bool all_are_closed(unsigned *turn)
{
    struct topology *topology = test_store_read(&test);
    bool is_done = topology->nformers == 0;
    formers_try_next(test.store, topology, turn);
    topology_free(topology);
    return is_done;
}

static void a_former_primary_that_answers_again_is_closed_and_forgotten(void **state)
{
    (void)state;
    unsigned turn = 0;
    WAIT_UNTIL(all_are_closed(&turn), LONG_MS);
    trio_expect_closed(&trio, 0);
}

/* As when a first replica attaches to it: by run id and replication id it would be a stranger, and
 * be forgotten with its fence open to the proxies that have not heard. */
static void a_former_primary_is_known_by_its_run_id(void **state)
{
    (void)state;
    unsigned turn = 0;
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->nformers, 1);
    struct shard_identity identity = topology->formers[0].identity;
    trio_tell(&trio, 0, "DEBUG CHANGE-REPL-ID");
    memset(identity.replid, 'f', RUN_ID_LENGTH);
    assert_int_equal(topology_find_former(topology, &identity), 0);
    topology_free(topology);
    WAIT_UNTIL(all_are_closed(&turn), LONG_MS);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_former_primary_that_answers_again_is_closed_and_forgotten),
        TEST(a_former_primary_is_known_by_its_run_id),
    };
    return cmocka_run_group_tests_name("migrator/run/formers", tests, NULL, NULL);
}
