/* A taker-over that sleeps between the naming and the fence while another one finishes, the cluster
 * goes on, and the shard loses its fence once more: when it wakes it must not write the fence of
 * its own time. Takers are processes of their own, stopped by fail points; skipped without them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "lib/shard/script.h"
#include "tests/support/ask.h"
#include "tests/support/process.h"
#include "tests/support/test_store.h"
#include "tests/support/wait.h"

#define F       METADATA_FENCE
#define LONG_MS 60000

#ifdef SLUICE_FAIL_POINTS
static struct test_store test;
static struct redis_server *server;

static int start(void **state)
{
    (void)state;
    script_init();
    test_store_init(&test);
    server = redis_server_start_in_memory();
    test_store_found_on(&test, &server, 1, false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(server);
    test_store_fini(&test);
    process_stop_all();
    return 0;
}

/* This program again, as main() below says; `fail`: SLUICE_FAIL=... */
static struct process *start_taker(const char *name, const char *fail)
{
    char *log = mem_printf("%s/%s.log", test.folder, name);
    const char *argv[] = {"/proc/self/exe", "take", test.url, NULL};
    const char *environment[] = {fail, NULL};
    struct process *process = process_start(name, argv, environment, log);
    mem_free(log);
    return process;
}

static void lose_fence(void)
{
    struct shard_link *link = ask_open(server);
    expect_ask(link, "DEL " F, ":1");
    shard_close(link);
}

/* As migrations and their barriers do. */
static uint64_t go_on(unsigned changes)
{
    struct error err;
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < changes; i++) {
        struct topology *present = test_store_read(&test);
        test_store_write(&test, topology_next(present));
        topology_free(present);
    }
    uint64_t epoch = test_store_epoch(&test);
    struct shard_link *link = ask_open(server);
    assert_int_equal(fence_raise(link, shard_link_identity(link), epoch, &peers, &count, &err),
                     FENCE_OK);
    mem_free(peers);
    shard_close(link);
    return epoch;
}

static void wake_and_await(struct process *taker)
{
    int status = 0;
    process_signal(taker, SIGCONT);
    assert_true(process_wait(taker, LONG_MS, &status));
    if (status != 0) {
        process_print_log(taker, 10);
    }
    assert_int_equal(status, 0);
    (void)process_stop(taker);
}

static struct fence_state read_fence(void)
{
    struct fence_state fence;
    struct shard_link *link = ask_open(server);
    assert_true(fence_read(link, &fence, NULL));
    shard_close(link);
    return fence;
}

// field lesson: an epoch raised by a failover in the middle
static void one_that_wakes_after_a_second_loss_writes_no_old_fence(void **state)
{
    (void)state;
    lose_fence();
    struct process *writer = start_taker("writer", "SLUICE_FAIL=takeover.killed=stop@1");
    WAIT_UNTIL(process_is_stopped(writer), LONG_MS);
    /* It looks after the writer has killed everybody, and before the writer writes. */
    struct process *sleeper = start_taker("sleeper", "SLUICE_FAIL=takeover.named=stop@1");
    WAIT_UNTIL(process_is_stopped(sleeper), LONG_MS);
    wake_and_await(writer);
    assert_true(read_fence().exists);
    uint64_t epoch = go_on(5);
    lose_fence();
    wake_and_await(sleeper);
    struct fence_state fence = read_fence();
    assert_true(fence.exists);
    assert_true(fence.epoch > epoch); /* of a naming after the second loss */
}

#else
static void there_are_no_fail_points_in_this_build(void **state)
{
    (void)state;
    skip();
}
#endif

/* What a taker-over is: an operator's, for a shard that came back empty. */
static int take(const char *url)
{
    struct error err = {{0}};
    script_init();
    struct store *store = store_open(url, &err);
    bool is_done = store != NULL && cluster_takeover(store, "s1", true, &err) == TAKEOVER_DONE;
    if (!is_done) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    store_close(store);
    return is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "take") == 0) {
        return take(argv[2]);
    }
    const struct CMUnitTest tests[] = {
#ifdef SLUICE_FAIL_POINTS
        cmocka_unit_test_setup_teardown(one_that_wakes_after_a_second_loss_writes_no_old_fence,
                                        start, stop),
#else
        cmocka_unit_test(there_are_no_fail_points_in_this_build),
#endif
    };
    return cmocka_run_group_tests_name("late takeover", tests, NULL, NULL);
}
