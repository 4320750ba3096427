#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/chaos/trend.h"

#define SAMPLES 50

static const struct tolerance five_percent = {.percent = 5, .margin = 10};

static void a_flat_series_with_peaks_does_not_grow(void **state)
{
    (void)state;
    uint64_t values[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        values[i] = i % 7 == 0 ? 5000 : 1000;
    }
    struct trend trend = trend_of(values, SAMPLES, five_percent);
    assert_false(trend.grows);
    assert_int_equal(trend.medians[0], 1000);
    assert_int_equal(trend.medians[TREND_PARTS - 1], 1000);
    assert_int_equal(trend.limit, 1060);
}

static void warming_up_is_no_growth(void **state)
{
    (void)state;
    uint64_t values[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        values[i] = i < SAMPLES / TREND_PARTS ? 100 * i : 1000;
    }
    assert_false(trend_of(values, SAMPLES, five_percent).grows);
}

static void a_slow_leak_grows(void **state)
{
    (void)state;
    uint64_t values[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        values[i] = 1000 + 3 * i;
    }
    assert_true(trend_of(values, SAMPLES, five_percent).grows);
}

static void what_stays_at_the_limit_is_tolerated_and_one_more_is_not(void **state)
{
    (void)state;
    uint64_t values[TREND_SAMPLES_MIN] = {0, 0, 100, 100, 0, 0, 0, 0, 115, 115};
    assert_false(trend_of(values, TREND_SAMPLES_MIN, five_percent).grows);
    values[8] = values[9] = 116;
    assert_true(trend_of(values, TREND_SAMPLES_MIN, five_percent).grows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_series_with_peaks_does_not_grow),
        cmocka_unit_test(warming_up_is_no_growth),
        cmocka_unit_test(a_slow_leak_grows),
        cmocka_unit_test(what_stays_at_the_limit_is_tolerated_and_one_more_is_not),
    };
    return cmocka_run_group_tests_name("trend", tests, NULL, NULL);
}
