/* Who takes a shard over, or writes its first fence, and sleeps in between while others finish, the
 * topology goes on, and the shard loses its fence once more. Each is a schedule that the model
 * (tests/model/takeover.pml) has found, or searches. Takers are processes of their own, stopped by
 * fail points; skipped without them. */
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
#include "lib/cluster/bootstrap.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "lib/shard/script.h"
#include "lib/topology/migration_state.h"
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
static struct process *start_doing(const char *what, const char *name, const char *fail)
{
    char *log = mem_printf("%s/%s.log", test.folder, name);
    const char *argv[] = {"/proc/self/exe", what, test.url, NULL};
    const char *environment[] = {fail, NULL};
    struct process *process = process_start(name, argv, environment, log);
    mem_free(log);
    return process;
}

static struct process *start_taker(const char *name, const char *fail)
{
    return start_doing("take", name, fail);
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

/* The topology that names this process from now on, at the same address. */
static uint64_t name(const struct shard_identity *identity)
{
    struct topology *present = test_store_read(&test), *next = topology_next(present);
    uint64_t epoch = next->epoch;
    topology_replace_process(next, 0, identity);
    test_store_write(&test, next);
    topology_free(present);
    return epoch;
}

static uint64_t name_another(void)
{
    struct shard_identity other;
    memset(other.run_id, 'e', RUN_ID_LENGTH + 1);
    other.run_id[RUN_ID_LENGTH] = '\0';
    memcpy(other.replid, other.run_id, sizeof(other.replid));
    return name(&other);
}

static struct shard_identity process_of_server(void)
{
    struct shard_link *link = ask_open(server);
    struct shard_identity process = *shard_link_identity(link);
    shard_close(link);
    return process;
}

static bool is_named(const struct shard_identity *process)
{
    struct topology *topology = test_store_read(&test);
    bool is_it = shard_identity_equal(&topology->shards[0].identity, process);
    topology_free(topology);
    return is_it;
}

/* A proxy that knows nothing newer than the epoch before is let in no more. */
static void expect_closed_below(uint64_t epoch, const struct shard_identity *process)
{
    struct fence_state fence = read_fence();
    assert_true(fence.exists);
    assert_true(fence.epoch >= epoch || !shard_identity_equal(&fence.identity, process));
}

static void one_that_slept_while_the_topology_came_and_went_opens_to_nobody_of_then(void **state)
{
    (void)state;
    struct shard_identity process = process_of_server();
    (void)name_another();
    struct process *sleeper =
        start_taker("sleeper", "SLUICE_FAIL=takeover.raised=stop@1,takeover.named=stop@1");
    WAIT_UNTIL(process_is_stopped(sleeper), LONG_MS);
    (void)name(&process);
    uint64_t away = name_another();
    process_signal(sleeper, SIGCONT);
    WAIT_UNTIL(is_named(&process) && process_is_stopped(sleeper), LONG_MS);
    expect_closed_below(away, &process);
    wake_and_await(sleeper);
    assert_int_equal(read_fence().epoch, test_store_epoch(&test));
}

static void close_process(uint64_t epoch)
{
    struct error err;
    struct shard_link *link = ask_open(server);
    assert_int_equal(fence_close(link, read_fence().epoch, epoch, &err), FENCE_OK);
    shard_close(link);
}

static void one_that_comes_late_writes_no_fence_of_before_a_second_move(void **state)
{
    (void)state;
    struct shard_identity process = process_of_server();
    close_process(name_another());
    struct process *late = start_taker("late", "SLUICE_FAIL=takeover.killed=stop@1");
    WAIT_UNTIL(process_is_stopped(late), LONG_MS);
    uint64_t away = name_another();
    struct process *next = start_taker("next", "SLUICE_FAIL=takeover.named=stop@1");
    WAIT_UNTIL(process_is_stopped(next), LONG_MS);
    wake_and_await(late);
    expect_closed_below(away, &process);
    wake_and_await(next);
    assert_int_equal(read_fence().epoch, test_store_epoch(&test));
}

/* Another one's fence let it in, and was lost before the last look. */
static void who_came_before_the_last_look_does_not_outlive_the_first_fence(void **state)
{
    (void)state;
    struct error err;
    lose_fence();
    struct process *founder = start_doing("init", "founder", "SLUICE_FAIL=init.alone=stop@1");
    WAIT_UNTIL(process_is_stopped(founder), LONG_MS);
    struct shard_link *link = ask_open(server);
    wake_and_await(founder);
    assert_true(read_fence().exists);
    assert_null(shard_commandf(link, &err, "PING"));
    shard_close(link);
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

/* What completes an init that a crash has cut short. */
static int init(const char *url)
{
    struct error err = {{0}};
    script_init();
    struct store *store = store_open(url, &err);
    struct topology *present = store != NULL ? store_read(store, NULL, &err) : NULL;
    bool is_done = false;
    if (present != NULL) {
        struct init_options options = {
            .shards = present->shards, .nshards = present->nshards, .nslots = present->nslots};
        is_done = cluster_init(store, &options, &err);
        topology_free(present);
    }
    if (!is_done) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    store_close(store);
    return is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "init") == 0) {
        return init(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "take") == 0) {
        return take(argv[2]);
    }
    const struct CMUnitTest tests[] = {
#ifdef SLUICE_FAIL_POINTS
        cmocka_unit_test_setup_teardown(one_that_wakes_after_a_second_loss_writes_no_old_fence,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            one_that_slept_while_the_topology_came_and_went_opens_to_nobody_of_then, start, stop),
        cmocka_unit_test_setup_teardown(one_that_comes_late_writes_no_fence_of_before_a_second_move,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            who_came_before_the_last_look_does_not_outlive_the_first_fence, start, stop),
#else
        cmocka_unit_test(there_are_no_fail_points_in_this_build),
#endif
    };
    return cmocka_run_group_tests_name("late takeover", tests, NULL, NULL);
}
