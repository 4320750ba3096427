/* A sample of what `make chaos` does for longer: a storm, and the proof that its checkers bite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/chaos/storm.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define STORM_MS   25000
#define BITE_MS    8000
#define BITE_TRIES 12

static int clean_up(void **state)
{
    (void)state;
    process_stop_all();
    return 0;
}

static void nothing_is_lost_doubled_or_stale_in_a_storm(void **state)
{
    (void)state;
    struct storm_options options = storm_defaults;
    struct storm_result result;
    options.seed = scratch_seed();
    options.duration_ms = STORM_MS;
    storm_run(&options, &result);
    storm_print(&result, stderr);
    assert_true(storm_is_well(&result));
    assert_true(result.traffic.operations > 500);
    assert_true(result.mover.opened > 0);
}

/* The checkers find what a Sluice without the rule does, sooner or later. */
static void bites(const char *switched_off, const char *faults)
{
    const char *const environment[] = {switched_off, NULL};
    struct storm_options options = storm_defaults;
    options.duration_ms = BITE_MS;
    options.faults = faults;
    options.has_bank = false;
    options.proxy_environment = options.migrator_environment = environment;
    for (unsigned i = 0; i < BITE_TRIES; i++) {
        struct storm_result result;
        options.seed = scratch_seed() + i;
        storm_run(&options, &result);
        if (result.traffic.broken > 0 || !result.compares_well) {
            return;
        }
    }
    fail_msg("%s is not noticed", switched_off);
}

static void proxies_that_ignore_the_hold_are_noticed(void **state)
{
    (void)state;
    bites("SLUICE_FAIL=rule.no-hold=error", "reset");
}

static void a_barrier_that_waits_for_nobody_is_noticed(void **state)
{
    (void)state;
    bites("SLUICE_FAIL=rule.no-barrier=error", "slow,stop-proxy");
}

static void writes_without_marks_are_noticed(void **state)
{
    (void)state;
    bites("SLUICE_FAIL=rule.no-marks=error", "cut-requests,slow,client-kill,reset");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_lost_doubled_or_stale_in_a_storm, clean_up),
        cmocka_unit_test_teardown(proxies_that_ignore_the_hold_are_noticed, clean_up),
        cmocka_unit_test_teardown(a_barrier_that_waits_for_nobody_is_noticed, clean_up),
        cmocka_unit_test_teardown(writes_without_marks_are_noticed, clean_up),
    };
    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
