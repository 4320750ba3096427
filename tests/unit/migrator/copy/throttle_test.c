#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/copy/throttle.h"

#define SECOND UINT64_C(1000000)
#define START  (100 * SECOND)

static void without_limits_nothing_waits(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 0, 0);
    assert_int_equal(throttle_take(&throttle, START, UINT32_MAX, UINT64_C(1) << 40), 0);
}

static void a_second_s_keys_take_a_second_less_the_burst(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 1000, 0);
    assert_int_equal(throttle_take(&throttle, START, 1000, 1), SECOND - THROTTLE_BURST_US);
    assert_int_equal(throttle_take(&throttle, START, 500, 1), SECOND * 3 / 2 - THROTTLE_BURST_US);
}

static void the_scarcer_of_keys_and_bytes_decides(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 1000, 1000000);
    assert_int_equal(throttle_take(&throttle, START, 1, 3000000), 3 * SECOND - THROTTLE_BURST_US);
    throttle_init(&throttle, 1000, 1000000);
    assert_int_equal(throttle_take(&throttle, START, 4000, 1), 4 * SECOND - THROTTLE_BURST_US);
}

static void the_rate_is_kept_over_many_small_batches(void **state)
{
    (void)state;
    struct throttle throttle;
    uint64_t now_us = START;
    throttle_init(&throttle, 1000, 0);
    for (unsigned i = 0; i < 100; i++) {
        now_us += throttle_take(&throttle, now_us, 64, 0);
    }
    assert_int_equal(now_us - START, UINT64_C(6400) * 1000 - THROTTLE_BURST_US);
}

static void a_pause_gives_no_flood(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 1000, 0);
    (void)throttle_take(&throttle, START, 10, 0);
    uint64_t later = START + 3600 * SECOND;
    assert_int_equal(throttle_take(&throttle, later, 1000, 0), SECOND - THROTTLE_BURST_US);
}

static void huge_numbers_do_not_overflow(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 0, 1);
    assert_int_equal(throttle_take(&throttle, START, 0, UINT64_C(1) << 40),
                     (UINT64_C(1) << 40) * SECOND - THROTTLE_BURST_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_nothing_waits),
        cmocka_unit_test(a_second_s_keys_take_a_second_less_the_burst),
        cmocka_unit_test(the_scarcer_of_keys_and_bytes_decides),
        cmocka_unit_test(the_rate_is_kept_over_many_small_batches),
        cmocka_unit_test(a_pause_gives_no_flood),
        cmocka_unit_test(huge_numbers_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
