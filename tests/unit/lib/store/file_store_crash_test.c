/* A writer that dies, hangs or loses its answer around link(2), the one step that decides. Needs
 * the fail points, so every flavour but release. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/sample_topology.h"
#include "tests/support/store_place.h"

/* In a process of its own, since fail points are read from the environment once. Never returns. */
static void write_epoch(const struct store_place *fixture, uint64_t epoch, const char *fail_points)
{
    (void)setenv("SLUICE_FAIL", fail_points, 1);
    (void)close(STDERR_FILENO);
    struct store *store = store_open(fixture->url, NULL);
    struct topology *next = sample_topology(2, 64);
    next->epoch = epoch;
    _exit(epoch == 1 ? (int)store_create(store, next, NULL) : (int)store_cas(store, next, NULL));
}

/* The status of waitpid. */
static int run_writer(const struct store_place *fixture, uint64_t epoch, const char *fail_points)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_epoch(fixture, epoch, fail_points);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int result_of(const struct store_place *fixture, uint64_t epoch, const char *fail_points)
{
    int status = run_writer(fixture, epoch, fail_points);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static uint64_t newest(const struct store_place *fixture)
{
    struct store *store = store_open(fixture->url, NULL);
    struct topology *topology = store_read(store, NULL, NULL);
    assert_non_null(topology);
    uint64_t epoch = topology->epoch;
    topology_free(topology);
    store_close(store);
    return epoch;
}

static int set_up(void **state)
{
    (void)store_place_set_up(state);
    return result_of(*state, 1, "") == CAS_DONE ? 0 : -1;
}

static void a_writer_that_dies_before_the_link_has_done_nothing(void **state)
{
    const struct store_place *fixture = *state;
    int status = run_writer(fixture, 2, "store.cas.before_link=kill");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(newest(fixture), 1);
    assert_int_equal(result_of(fixture, 2, ""), CAS_DONE);
}

static void a_writer_that_dies_behind_the_link_has_done_it(void **state)
{
    const struct store_place *fixture = *state;
    int status = run_writer(fixture, 2, "store.cas.linked=kill");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(newest(fixture), 2);
    assert_int_equal(result_of(fixture, 2, ""), CAS_LOST);
    assert_int_equal(result_of(fixture, 3, ""), CAS_DONE);
}

static void a_lost_answer_is_unknown_and_settled_by_reading(void **state)
{
    const struct store_place *fixture = *state;
    assert_int_equal(result_of(fixture, 2, "store.cas.linked=error"), CAS_UNKNOWN);
    assert_int_equal(newest(fixture), 2);
    assert_int_equal(result_of(fixture, 3, "store.cas.before_link=error"), CAS_FAILED);
    assert_int_equal(newest(fixture), 2);
}

static void a_writer_that_was_stopped_before_the_link_loses(void **state)
{
    const struct store_place *fixture = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_epoch(fixture, 2, "store.cas.before_link=stop");
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    for (uint64_t epoch = 2; epoch <= 70; epoch++) {
        assert_int_equal(result_of(fixture, epoch, ""), CAS_DONE);
    }
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), CAS_LOST);
    assert_int_equal(newest(fixture), 70);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, store_place_tear_down)

int main(void)
{
#ifndef SLUICE_FAIL_POINTS
    (void)printf("skipped: this build has no fail points\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        TEST(a_writer_that_dies_before_the_link_has_done_nothing),
        TEST(a_writer_that_dies_behind_the_link_has_done_it),
        TEST(a_lost_answer_is_unknown_and_settled_by_reading),
        TEST(a_writer_that_was_stopped_before_the_link_loses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
