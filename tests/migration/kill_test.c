/* kill -9 of the migrator at each of its fail points, under load: a new one goes on from where the
 * journal, the store and the shards stand, and nothing is lost. The list of points comes from the
 * program itself, so a new step is covered on the day it is written. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/bank_run.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define ACCOUNTS 400
#define RATE     800
#define LONG_MS  60000

static struct bank_run *bank;

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {
        .shards = 2, .spares = 1, .proxies = 2, .has_migrator = true, .nslots = 64};
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
    bank = bank_run_start(cluster, ACCOUNTS, RATE);
    return 0;
}

/* Waits for the phase; starts a migrator that was killed again. True when it was. */
static bool drive(const char *id, const char *phase)
{
    bool was_killed = false;
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    while (!migration_is_in(cluster, id, phase)) {
        if (!process_is_running(cluster_migrator(cluster))) {
            was_killed = true;
            cluster_restart_migrator(cluster, NULL);
        }
        if (deadline_is_over(deadline_us)) {
            process_print_log(cluster_migrator(cluster), 30);
            fail_msg("%s does not get to %s", id, phase);
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    return was_killed;
}

/* The slots go home, so that the next point finds s1 as this one did. */
static void move_back(void)
{
    cluster_tell(cluster, "split s3 --to s1 --share 1 --wait");
    cluster_tell(cluster, "finalize --wait");
}

/* The setting that kills at the point, with what else has to happen for it to be passed. */
static char *fault_text(const char *point)
{
    /* A hold that outlasts its limit is undone. */
    if (strncmp(point, "hold", 4) == 0 && strstr(point, "-undo-") != NULL) {
        int direction = (int)strcspn(point, ".");
        return mem_printf("SLUICE_FAIL=%s=kill@1,%.*s.after-barrier=pause:1500@1", point, direction,
                          point);
    }
    return mem_printf("SLUICE_FAIL=%s=kill@1", point);
}

static void prepare(const char *point)
{
    char *setting = fault_text(point);
    const char *environment[] = {setting, NULL};
    if (strcmp(point, "barrier.after-kill") == 0) {
        /* A dead incarnation among the fence's peers is what a barrier has to kill. */
        cluster_restart_proxy(cluster, 1);
    }
    cluster_restart_migrator(cluster, environment);
    mem_free(setting);
}

/* Through a whole life of a migration; true when the migrator was killed in it. */
static bool live_through(const char *point, bool is_finalized)
{
    bool was_killed = false;
    char *id = migration_open_by_ctl(
        cluster, is_finalized ? "split s1 --to s3 --share 0.3 --hold-max 1s --finalize-after 0"
                              : "split s1 --to s3 --share 0.3 --hold-max 1s");
    if (!is_finalized) {
        was_killed = drive(id, "switched");
        cluster_tell(cluster, "rollback %s", id);
    }
    was_killed |= drive(id, "closed");
    mem_free(id);
    if (!was_killed) {
        /* The point is behind the last change. */
        was_killed = process_wait(cluster_migrator(cluster), LONG_MS, NULL);
        cluster_restart_migrator(cluster, NULL);
    }
    if (!was_killed) {
        process_print_log(cluster_migrator(cluster), 5);
        (void)fprintf(stderr, "never passed: %s\n", point);
    }
    return was_killed;
}

static bool survive(const char *point)
{
    bool is_finalized = strstr(point, "finalizing") != NULL;
    prepare(point);
    bool was_killed = live_through(point, is_finalized);
    if (is_finalized) {
        move_back();
    }
    cluster_compare(cluster, "");
    assert_true(bank_run_is_alive(bank));
    return was_killed;
}

static void a_migrator_killed_at_any_step_is_succeeded_by_another(void **state)
{
    (void)state;
    char *program = program_path("sluice-migrator");
    const char *argv[] = {program, "--list-fail-points", NULL};
    struct output output = process_run(argv, NULL, 60000);
    unsigned points = 0;
    unsigned missed = 0;
    char *rest = NULL;
    assert_int_equal(output.code, 0);
    for (char *point = strtok_r(output.out, " \n", &rest); point != NULL;
         point = strtok_r(NULL, " \n", &rest)) {
        bool was_killed = survive(point);
        points++;
        missed += !was_killed;
    }
    output_free(&output);
    mem_free(program);
    struct bank_result result = bank_run_end(bank);
    assert_true(points > 20);
    assert_int_equal(missed, 0);
    assert_true(result.operations > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_migrator_killed_at_any_step_is_succeeded_by_another,
                                        start, stage_clear),
    };
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
