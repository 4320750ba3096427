#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/copy/pace.h"

#define USUAL 2000u

static void while_answers_are_as_usual_nothing_rests(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, USUAL);
    for (unsigned i = 0; i < 10; i++) {
        pace_learn(&pace, 2 * USUAL);
        assert_int_equal(pace_rest_us(&pace, 1000000), 0);
    }
}

static void a_short_wait_is_no_reason_to_rest(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 50);
    pace_learn(&pace, PACE_LIMIT_LEAST_US);
    assert_int_equal(pace_rest_us(&pace, 1000000), 0);
    pace_learn(&pace, PACE_LIMIT_LEAST_US + 1);
    assert_true(pace_rest_us(&pace, 1000000) > 0);
}

static void slower_answers_make_it_rest_longer_and_longer_up_to_a_bound(void **state)
{
    (void)state;
    struct pace pace;
    uint64_t before = 0;
    pace_init(&pace, USUAL);
    for (unsigned i = 0; i < 4; i++) {
        pace_learn(&pace, 2 * USUAL + 1);
        uint64_t rest = pace_rest_us(&pace, 1000000);
        assert_true(rest > before);
        before = rest;
    }
    for (unsigned i = 0; i < 100; i++) {
        pace_learn(&pace, 100 * USUAL);
    }
    assert_int_equal(pace_rest_us(&pace, 1000), PACE_REST_MAX_PERMILLE);
}

static void it_works_fully_again_when_answers_are_as_before(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, USUAL);
    for (unsigned i = 0; i < 100; i++) {
        pace_learn(&pace, 100 * USUAL);
    }
    for (unsigned i = 0; i < 30; i++) {
        pace_learn(&pace, USUAL);
    }
    assert_int_equal(pace_rest_us(&pace, 1000000), 0);
}

static void short_rests_are_put_together_and_none_is_lost(void **state)
{
    (void)state;
    struct pace pace;
    uint64_t rested = 0;
    pace_init(&pace, USUAL);
    pace_learn(&pace, 3 * USUAL);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t rest = pace_rest_us(&pace, 400);
        assert_true(rest == 0 || rest >= 1000);
        rested += rest;
    }
    assert_in_range(rested, 99000, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_answers_are_as_usual_nothing_rests),
        cmocka_unit_test(a_short_wait_is_no_reason_to_rest),
        cmocka_unit_test(slower_answers_make_it_rest_longer_and_longer_up_to_a_bound),
        cmocka_unit_test(it_works_fully_again_when_answers_are_as_before),
        cmocka_unit_test(short_rests_are_put_together_and_none_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
