#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/engine/journal.h"
#include "tests/support/test_store.h"

#define ID 7

static struct test_store test;

static int start(void **state)
{
    (void)state;
    test_store_init(&test);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_store_fini(&test);
    return 0;
}

static void note_phase(enum phase phase, uint64_t entry_epoch)
{
    struct journal_place place = {ID, entry_epoch, phase};
    assert_true(journal_append(test.store, &place, NULL, "phase", "{s:s, s:I}", "to",
                               phase_name(phase), "entry_epoch", (journal_int)entry_epoch));
}

static void note_base(uint64_t base, int64_t evicted)
{
    struct journal_place place = {ID, base, PHASE_DUAL_WRITE};
    assert_true(journal_append(test.store, &place, NULL, "base", "{s:I, s:I, s:I}", "base",
                               (journal_int)base, "evicted_source", (journal_int)evicted,
                               "evicted_target", (journal_int)evicted));
}

static struct recollection recall(void)
{
    struct recollection memory;
    assert_true(journal_recall(test.store, ID, &memory, NULL));
    return memory;
}

/* One migrator switches and is stopped before it has noted the hold; a second one notes `switched`;
 * then the first one wakes up and notes its hold. A third one must not take that for a rollback
 * that was asked for. */
static void a_hold_noted_late_is_no_request_to_go_back(void **state)
{
    (void)state;
    note_phase(PHASE_DUAL_WRITE, 3);
    note_phase(PHASE_SWITCHED, 6);
    note_phase(PHASE_HOLD, 5);
    struct recollection memory = recall();
    assert_true(memory.was_switched);
    assert_int_equal(memory.entry_epoch, 6);
    assert_int_equal(memory.requested, REQUEST_NONE);
}

static void note_begun(enum migration_request request)
{
    struct journal_place place = {ID, 4, PHASE_DUAL_WRITE};
    assert_true(journal_append(test.store, &place, NULL, "begun", "{s:s}", "request",
                               migration_request_name(request)));
}

static void a_request_that_was_begun_is_recalled_without_its_hold(void **state)
{
    (void)state;
    note_begun(REQUEST_SWITCH);
    assert_int_equal(recall().requested, REQUEST_SWITCH);
    note_phase(PHASE_SWITCHED, 6);
    note_begun(REQUEST_ROLLBACK);
    note_phase(PHASE_SWITCHED, 9); /* its hold was undone */
    note_begun(REQUEST_SWITCH);    /* by one that was stopped, late */
    assert_int_equal(recall().requested, REQUEST_ROLLBACK);
}

/* A migrator that was stopped before it noted its base wakes up after the next base has begun, or
 * after another has noted, and made, the same one: what was counted first is what counts. */
static void the_newest_base_and_its_first_counts_are_recalled(void **state)
{
    (void)state;
    note_base(9, 4);
    note_base(3, 1);
    note_base(9, 7);
    struct recollection memory = recall();
    assert_int_equal(memory.base, 9);
    assert_int_equal(memory.former_base, 0);
    note_base(12, 4);
    memory = recall();
    assert_int_equal(memory.former_base, 9);
    assert_int_equal(memory.evicted[0], 4);
    assert_int_equal(memory.evicted[1], 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hold_noted_late_is_no_request_to_go_back),
        TEST(a_request_that_was_begun_is_recalled_without_its_hold),
        TEST(the_newest_base_and_its_first_counts_are_recalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
