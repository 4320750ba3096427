/* Fail points act on the whole process, and read the environment once: each case is a child. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"

/* The child's exit code has a bit for each time that the point "here" was to fail. */
static int pass_three_times(const char *environment, int *stopped)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        log_init("child", LOG_ERROR);
        (void)close(STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        (void)setenv("SLUICE_FAIL", environment, 1);
        int code = 0;
        for (int i = 0; i < 3; i++) {
            code |= FAIL_POINT("here") ? 1 << i : 0;
        }
        _exit(code);
    }
    *stopped = 0;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    while (WIFSTOPPED(status)) {
        (*stopped)++;
        assert_int_equal(kill(child, SIGCONT), 0);
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    }
    return status;
}

#ifdef SLUICE_FAIL_POINTS

static void a_point_that_is_not_named_does_nothing(void **state)
{
    (void)state;
    int stopped;
    assert_int_equal(pass_three_times("", &stopped), 0);
    assert_int_equal(pass_three_times("there=error,her=kill,heree=kill", &stopped), 0);
}

static void an_error_is_told_each_time_or_only_once(void **state)
{
    (void)state;
    int stopped;
    int status = pass_three_times("here=error", &stopped);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = pass_three_times("there=kill,here=error@2", &stopped);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void kill_and_stop_are_signals(void **state)
{
    (void)state;
    int stopped;
    int status = pass_three_times("here=kill@3", &stopped);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = pass_three_times("here=stop@1", &stopped);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(stopped, 1);
}

static void a_pause_takes_its_time(void **state)
{
    (void)state;
    int stopped;
    uint64_t start_us = clock_now_us();
    int status = pass_three_times("here=pause:60@2", &stopped);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(clock_now_us() - start_us >= 60000);
}

static void a_misspelt_environment_is_no_silent_pass(void **state)
{
    (void)state;
    static const char *const bad[] = {"here",         "here=",        "=kill",
                                      "here=explode", "here=pause:x", "here=error@x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int stopped;
        int status = pass_three_times(bad[i], &stopped);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_that_is_not_named_does_nothing),
        cmocka_unit_test(an_error_is_told_each_time_or_only_once),
        cmocka_unit_test(kill_and_stop_are_signals),
        cmocka_unit_test(a_pause_takes_its_time),
        cmocka_unit_test(a_misspelt_environment_is_no_silent_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void a_release_build_has_none(void **state)
{
    (void)state;
    int stopped;
    assert_int_equal(pass_three_times("here=kill", &stopped), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_release_build_has_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
