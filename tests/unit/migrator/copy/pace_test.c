#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/copy/pace.h"

#define USUAL 2000u

static uint64_t rest_of_a_second(struct pace *pace)
{
    return pace_rest_us(pace, 1000000);
}

#define LEAST (1000u * PACE_REST_LEAST_PERMILLE)

static void while_answers_are_as_usual_it_rests_a_third_of_the_time(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, USUAL);
    assert_int_equal(rest_of_a_second(&pace), 500000);
    for (unsigned i = 0; i < 10; i++) {
        pace_learn(&pace, 2 * USUAL);
        assert_int_equal(rest_of_a_second(&pace), 500000);
    }
}

static void a_short_wait_is_no_reason_to_rest_longer(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 50);
    pace_learn(&pace, PACE_LIMIT_LEAST_US);
    assert_int_equal(rest_of_a_second(&pace), LEAST);
    pace_learn(&pace, PACE_LIMIT_LEAST_US + 1);
    assert_true(rest_of_a_second(&pace) > LEAST);
}

static void slower_answers_make_it_rest_longer_and_longer_up_to_a_bound(void **state)
{
    (void)state;
    struct pace pace;
    uint64_t before = LEAST;
    pace_init(&pace, USUAL);
    for (unsigned i = 0; i < 4; i++) {
        pace_learn(&pace, 2 * USUAL + 1);
        uint64_t rest = rest_of_a_second(&pace);
        assert_true(rest > before);
        before = rest;
    }
    for (unsigned i = 0; i < 100; i++) {
        pace_learn(&pace, 100 * USUAL);
    }
    assert_int_equal(pace_rest_us(&pace, 1000), PACE_REST_MAX_PERMILLE);
}

static void it_works_as_much_again_when_answers_are_as_before(void **state)
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
    assert_int_equal(rest_of_a_second(&pace), LEAST);
}

static void short_rests_are_put_together_and_none_is_lost(void **state)
{
    (void)state;
    struct pace pace;
    uint64_t rested = 0;
    pace_init(&pace, USUAL);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t rest = pace_rest_us(&pace, 400);
        assert_int_equal(rest % 1000, 0); /* what is slept is milliseconds */
        rested += rest;
    }
    assert_in_range(rested, 199000, 200000);
}

static void a_wait_of_an_hour_is_no_work(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, USUAL);
    assert_int_equal(pace_rest_us(&pace, UINT64_C(3600000000)),
                     PACE_WORK_MOST_US * PACE_REST_LEAST_PERMILLE / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_answers_are_as_usual_it_rests_a_third_of_the_time),
        cmocka_unit_test(a_short_wait_is_no_reason_to_rest_longer),
        cmocka_unit_test(slower_answers_make_it_rest_longer_and_longer_up_to_a_bound),
        cmocka_unit_test(it_works_as_much_again_when_answers_are_as_before),
        cmocka_unit_test(short_rests_are_put_together_and_none_is_lost),
        cmocka_unit_test(a_wait_of_an_hour_is_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
