#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/metrics/histogram.h"

static int setup(void **state)
{
    *state = mem_zalloc(sizeof(struct histogram));
    return 0;
}

static int teardown(void **state)
{
    mem_free(*state);
    return 0;
}

static void the_buckets_are_contiguous_and_in_order(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket_low(0), 0);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket_high(i) + 1, histogram_bucket_low(i + 1));
    }
    assert_int_equal(histogram_bucket_high(HISTOGRAM_BUCKETS - 1), HISTOGRAM_MAX_US);
}

static void the_ends_of_a_bucket_fall_into_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket(histogram_bucket_low(i)), i);
        assert_int_equal(histogram_bucket(histogram_bucket_high(i)), i);
    }
}

static void a_bucket_is_at_most_a_sixteenth_wide(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_bucket_low(i);
        assert_true((histogram_bucket_high(i) - low) * 16 < low || histogram_bucket_high(i) == low);
    }
}

static void a_run_counts_as_its_values_one_by_one(void **state)
{
    static const uint64_t values[] = {7, 7, 7, 0, 0, 90, 7, 90, 90};
    struct histogram *histogram = *state;
    struct histogram *single = mem_zalloc(sizeof(*single));
    struct histogram_run run = {.histogram = histogram};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        histogram_run_record(&run, values[i]);
        histogram_record(single, values[i]);
    }
    assert_memory_not_equal(histogram, single, sizeof(*single)); /* the last ones wait */
    histogram_run_end(&run);
    histogram_run_end(&run);
    assert_memory_equal(histogram, single, sizeof(*single));
    mem_free(single);
}

static void an_empty_histogram_answers_zero(void **state)
{
    struct histogram *histogram = *state;
    assert_int_equal(histogram_count(histogram), 0);
    assert_int_equal(histogram_quantile_us(histogram, 0.0), 0);
    assert_int_equal(histogram_quantile_us(histogram, 0.99), 0);
    assert_int_equal(histogram_quantile_us(histogram, 1.0), 0);
    assert_int_equal(histogram_count_within(histogram, UINT64_MAX), 0);
}

static void one_record_is_every_quantile(void **state)
{
    struct histogram *histogram = *state;
    histogram_record(histogram, 7);
    assert_int_equal(histogram_quantile_us(histogram, 0.0), 7);
    assert_int_equal(histogram_quantile_us(histogram, 0.5), 7);
    assert_int_equal(histogram_quantile_us(histogram, 1.0), 7);
    assert_int_equal(histogram_sum_us(histogram), 7);
    assert_int_equal(histogram_max_us(histogram), 7);
}

static void a_quantile_is_the_smallest_value_that_enough_records_do_not_exceed(void **state)
{
    struct histogram *histogram = *state;
    histogram_record(histogram, 1);
    histogram_record(histogram, 2);
    histogram_record(histogram, 3);
    histogram_record(histogram, 4);
    assert_int_equal(histogram_quantile_us(histogram, 0.0), 1);
    assert_int_equal(histogram_quantile_us(histogram, 0.25), 1);
    assert_int_equal(histogram_quantile_us(histogram, 0.26), 2);
    assert_int_equal(histogram_quantile_us(histogram, 0.5), 2);
    assert_int_equal(histogram_quantile_us(histogram, 0.75), 3);
    assert_int_equal(histogram_quantile_us(histogram, 0.76), 4);
}

static void quantiles_of_a_ramp_are_within_the_error(void **state)
{
    struct histogram *histogram = *state;
    for (uint64_t us = 1; us <= 100000; us++) {
        histogram_record(histogram, us);
    }
    static const double quantiles[] = {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        double exact = quantiles[i] * 100000;
        double told = (double)histogram_quantile_us(histogram, quantiles[i]);
        assert_true(told > exact * 0.968 && told < exact * 1.032);
    }
    assert_int_equal(histogram_count(histogram), 100000);
    assert_int_equal(histogram_sum_us(histogram), UINT64_C(100000) * 100001 / 2);
    assert_int_equal(histogram_quantile_us(histogram, 1.0), 100000);
}

static void a_value_beyond_the_range_is_counted_and_kept_as_the_largest(void **state)
{
    struct histogram *histogram = *state;
    histogram_record(histogram, UINT64_C(500) * 1000000);
    histogram_record(histogram, UINT64_MAX / 4);
    assert_int_equal(histogram_count(histogram), 2);
    assert_int_equal(histogram_quantile_us(histogram, 0.5), UINT64_MAX / 4);
    assert_int_equal(histogram_max_us(histogram), UINT64_MAX / 4);
}

static void a_count_within_a_bound_is_never_too_good(void **state)
{
    struct histogram *histogram = *state;
    struct random random;
    random_seed(&random, 1);
    uint64_t within = 0, clearly_within = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t us = random_below(&random, 20000);
        histogram_record(histogram, us);
        within += us <= 10000;
        clearly_within += us <= 9375;
    }
    uint64_t told = histogram_count_within(histogram, 10000);
    assert_in_range(told, clearly_within, within);
}

static void a_merge_is_the_sum_of_both(void **state)
{
    struct histogram *histogram = *state;
    struct histogram other = {0};
    histogram_record(histogram, 10);
    histogram_record(&other, 10);
    histogram_record(&other, 5000);
    histogram_merge(histogram, &other);
    assert_int_equal(histogram_count(histogram), 3);
    assert_int_equal(histogram_sum_us(histogram), 5020);
    assert_int_equal(histogram_max_us(histogram), 5000);
    assert_int_equal(histogram_count_within(histogram, 10), 2);
    assert_int_equal(histogram_count(&other), 2);
}

static void a_cleared_histogram_is_empty(void **state)
{
    struct histogram *histogram = *state;
    histogram_record(histogram, 77);
    histogram_clear(histogram);
    assert_int_equal(histogram_count(histogram), 0);
    assert_int_equal(histogram_max_us(histogram), 0);
    assert_int_equal(histogram_sum_us(histogram), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_buckets_are_contiguous_and_in_order),
        TEST(the_ends_of_a_bucket_fall_into_it),
        TEST(a_bucket_is_at_most_a_sixteenth_wide),
        TEST(a_run_counts_as_its_values_one_by_one),
        TEST(an_empty_histogram_answers_zero),
        TEST(one_record_is_every_quantile),
        TEST(a_quantile_is_the_smallest_value_that_enough_records_do_not_exceed),
        TEST(quantiles_of_a_ramp_are_within_the_error),
        TEST(a_value_beyond_the_range_is_counted_and_kept_as_the_largest),
        TEST(a_count_within_a_bound_is_never_too_good),
        TEST(a_merge_is_the_sum_of_both),
        TEST(a_cleared_histogram_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
