/* Disks that are full or hang, two migrators at work at once, and one that hangs for longer than
 * its lease: a few cells of the matrix that every run has, at the steps where each hurts most.
 * `make chaos` has them at all steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/chaos/cell.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"

#define HANG_MS 1500

static struct cell_result expect_well_in(struct cluster *place, const char *step,
                                         enum cell_fault fault)
{
    struct cell_result result;
    cluster = place;
    cell_run(cluster, step, fault, HANG_MS, scratch_seed(), &result);
    assert_true(result.was_passed);
    assert_true(result.is_well);
    cluster_stop(cluster);
    cluster = NULL;
    return result;
}

static struct cell_result expect_well(const char *step, enum cell_fault fault)
{
    return expect_well_in(cell_cluster_start(), step, fault);
}

/* The first cuts the journal's next record short, the second lets nobody write an epoch. */
static void a_full_store_stops_the_migration_and_nobody_else(void **state)
{
    static const char *const steps[] = {"journal.before-append", "change.before-cas"};
    (void)state;
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct cell_result result =
            expect_well_in(cell_cluster_start_patient(), steps[i], CELL_FULL_STORE);
        assert_true(result.took_ms >= HANG_MS); /* it did stop */
        assert_int_equal(result.refused, 0);
    }
}

/* Nobody can undo the hold: those who are held are told so, and all goes on afterwards. */
static void a_store_that_hangs_in_the_hold_is_outlived(void **state)
{
    (void)state;
    struct cell_result result = expect_well("hold.after-barrier", CELL_HUNG_STORE);
    assert_true(result.took_ms >= HANG_MS);
}

// field lesson: the server refused half of a step
static void a_shard_whose_disk_is_full_loses_nothing(void **state)
{
    (void)state;
    struct cell_result result = expect_well("hold.before-owner-guard", CELL_FULL_TARGET);
    assert_true(result.refused > 0); /* -MISCONF has reached clients */
}

/* It refuses writes with -READONLY, and then counts as another process. */
// field lesson: the server refused half of a step
static void a_shard_that_becomes_a_replica_for_a_while_loses_nothing(void **state)
{
    (void)state;
    struct cell_result result = expect_well("hold.after-owner-guard", CELL_READONLY_TARGET);
    assert_true(result.refused > 0);
}

static void two_migrators_at_the_same_migration_do_no_harm(void **state)
{
    (void)state;
    (void)expect_well("hold.after-owner-guard", CELL_RIVAL);
}

static void a_migrator_that_hangs_past_its_lease_and_wakes_beside_another_does_no_harm(void **state)
{
    (void)state;
    (void)expect_well("hold.before-owner-guard", CELL_OVERTAKEN);
}

#define TEST(test) cmocka_unit_test_teardown(test, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_store_stops_the_migration_and_nobody_else),
        TEST(a_store_that_hangs_in_the_hold_is_outlived),
        TEST(a_shard_whose_disk_is_full_loses_nothing),
        TEST(a_shard_that_becomes_a_replica_for_a_while_loses_nothing),
        TEST(two_migrators_at_the_same_migration_do_no_harm),
        cmocka_unit_test_teardown(
            a_migrator_that_hangs_past_its_lease_and_wakes_beside_another_does_no_harm,
            stage_clear),
    };
    return cmocka_run_group_tests_name("disks", tests, NULL, NULL);
}
