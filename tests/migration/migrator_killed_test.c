/* The migrator is killed at every one of its fail points, at every change of the topology and at
 * every record of the journal, under the writes of two stand-ins for proxies, whose every
 * acknowledged write an oracle knows: the next one goes on, and brings it to the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/cluster.h"
#include "tests/support/wait.h"
#include "tests/support/writers.h"

enum way {
    WAY_FORWARD, /* switched, then finalized */
    WAY_BACK     /* switched, then rolled back */
};

/* An operator who finalizes at once takes the migrator past these. */
static bool is_before_operator(const char *fail)
{
    return strncmp(fail, "switched.", 9) == 0 && strstr(fail, "-open-guard") != NULL;
}

/* Goes the whole way with a migrator that dies at the point, once it passes it for the nth time.
 * Whether it was seen dead on the way. */
static bool go(struct migration_rig *rig, enum way way, const char *fail)
{
    bool is_restarted = false;
    bool is_asked = false;
    uint64_t deadline_us = deadline_after_ms(RIG_LONG_MS);
    rig_start_migrator(rig, fail);
    while (rig_phase(rig) != RIG_CLOSED) {
        if (!is_restarted && !process_is_running(rig->migrator)) {
            rig_start_migrator(rig, NULL);
            is_restarted = true;
        }
        bool may_ask = !is_asked && (is_restarted || !is_before_operator(fail));
        if (may_ask && rig_phase(rig) == PHASE_SWITCHED) {
            is_asked = true;
            if (way == WAY_BACK) {
                rig_request(rig, REQUEST_ROLLBACK);
            } else {
                rig_enter(rig, PHASE_FINALIZING);
            }
        }
        if (deadline_is_over(deadline_us)) {
            process_print_log(rig->migrator, 30);
            fail_msg("killed by %s, it does not come to an end; phase %d", fail, rig_phase(rig));
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    return is_restarted;
}

/* Forward, the slots go to and fro: the next round starts where this one ended. Fails the test when
 * the point is not passed, if it is sure to be: the last ones are behind the end. */
static void one_life(struct migration_rig *rig, enum way way, const char *fail, unsigned round,
                     bool is_sure)
{
    struct proxy_stand_in *writers[WRITERS];
    rig_open_migration(rig);
    writers_start(rig, writers);
    bool was_killed = go(rig, way, fail);
    if (is_sure && !was_killed && !process_wait(rig->migrator, RIG_LONG_MS, NULL)) {
        fail_msg("never passed: %s", fail);
    }
    writers_stop(writers);
    rig_expect_equal(rig, way == WAY_FORWARD && round % 2 == 0);
    rig_expect_clean(rig);
}

/* The names that the program itself prints. */
static char *fail_points(void)
{
    char *program = program_path("sluice-migrator");
    const char *const argv[] = {program, "--list-fail-points", NULL};
    struct output output = process_run(argv, NULL, 60000);
    assert_int_equal(output.code, 0);
    char *names = mem_strdup(output.out);
    output_free(&output);
    mem_free(program);
    return names;
}

/* No hold is undone here, and the test finalizes as an operator would: kill_test has the rest. */
static bool is_on(enum way way, const char *name)
{
    return strstr(name, "-undo-") == NULL && strstr(name, "-finalizing-cas") == NULL &&
           (way == WAY_BACK || strstr(name, "-hold-back-cas") == NULL);
}

static bool is_chosen(const char *name, enum way way, const char *const *prefixes)
{
    const char *only = getenv("SLUICE_ONLY_POINT");
    if (only != NULL) {
        return strcmp(only, name) == 0;
    }
    for (unsigned i = 0; prefixes[i] != NULL; i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return is_on(way, name);
        }
    }
    return false;
}

/* At all points whose names begin with one of the prefixes, there at the first to the last time
 * they are passed. */
static void killed_at(struct migration_rig *rig, enum way way, const char *const *prefixes,
                      unsigned last)
{
    char *names = fail_points();
    char *rest = NULL;
    unsigned round = 0;
    rig_load_all_types(rig, 1);
    for (char *name = strtok_r(names, "\n", &rest); name != NULL;
         name = strtok_r(NULL, "\n", &rest)) {
        for (unsigned nth = 1; nth <= last && is_chosen(name, way, prefixes); nth++) {
            char *fail = mem_printf("%s=kill@%u", name, nth);
            one_life(rig, way, fail, round++, nth == 1);
            mem_free(fail);
        }
    }
    mem_free(names);
}

static void killed_at_every_step_on_the_way_forward_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"barrier.",  "planned.",    "base.",
                                           "copy.",     "dual-write.", "hold.",
                                           "switched.", "purge.",      NULL};
    killed_at(*state, WAY_FORWARD, prefixes, 1);
}

static void killed_at_every_step_on_the_way_back_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"hold.", "switched.", "hold-back.", "purge.", NULL};
    killed_at(*state, WAY_BACK, prefixes, 1);
}

static void killed_at_every_change_of_the_topology_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"change.", NULL};
    killed_at(*state, WAY_BACK, prefixes, 8);
}

static void killed_at_every_journal_record_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"journal.before-append", NULL};
    killed_at(*state, WAY_FORWARD, prefixes, 16);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, writers_set_up, writers_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_at_every_step_on_the_way_forward_it_goes_on),
        TEST(killed_at_every_step_on_the_way_back_it_goes_on),
        TEST(killed_at_every_change_of_the_topology_it_goes_on),
        TEST(killed_at_every_journal_record_it_goes_on),
    };
    return cmocka_run_group_tests_name("migrator killed", tests, NULL, NULL);
}
