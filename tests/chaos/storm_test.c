/* A sample of what `make chaos` does for longer: random faults over migrations back and forth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/chaos/storm.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"

#define STORM_MS 25000

// field lesson: a writer the barrier did not count
// field lesson: replies mixed between clients after a timeout
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
    assert_true(result.traffic.operations > 0);
    assert_true(result.mover.opened > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_lost_doubled_or_stale_in_a_storm, stage_clear),
    };
    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
