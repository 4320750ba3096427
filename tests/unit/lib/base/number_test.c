#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/number.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void unsigned_numbers_are_read_strictly(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0}, {"007", 7}, {"18446744073709551615", UINT64_MAX}};

    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "1x", "0x1", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t value = 1;
        assert_true(number_parse_u64(slice_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t value = 77;
        assert_false(number_parse_u64(slice_of(bad[i]), &value));
        assert_int_equal(value, 77);
    }
}

static void only_the_slice_is_read(void **state)
{
    (void)state;
    uint64_t value;
    assert_true(number_parse_u64((struct slice){"123456", 3}, &value));
    assert_int_equal(value, 123);
    assert_false(number_parse_u64((struct slice){"1\0", 2}, &value));
}

static void signed_numbers_are_read_to_both_ends(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"-0", 0},
                {"-7", -7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};

    static const char *const bad[] = {
        "", "-", "--1", "+1", "9223372036854775808", "- 1", "1.0", "-9223372036854775809"};
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t value = 1;
        assert_true(number_parse_i64(slice_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t value;
        assert_false(number_parse_i64(slice_of(bad[i]), &value));
    }
}

static void doubles_are_finite_decimals(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        double value;
    } good[] = {{"0.5", 0.5}, {"-1.5e3", -1500.0}, {"3", 3.0}, {".25", 0.25}};

    static const char *const bad[] = {"",    " 1",   "1 ",    "inf", "nan", "0x10", "1e999",
                                      "1,5", "1..2", "0.5.5", "e",   "-",   "1e"};
    for (size_t i = 0; i < COUNT(good); i++) {
        double value = 0;
        assert_true(number_parse_double(slice_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        double value;
        if (number_parse_double(slice_of(bad[i]), &value)) {
            fail_msg("taken: \"%s\"", bad[i]);
        }
    }
    char longest[65];
    double value;
    memset(longest, '1', sizeof(longest));
    assert_true(number_parse_double((struct slice){longest, 63}, &value));
    assert_false(number_parse_double((struct slice){longest, 64}, &value));
}

static void durations_have_units(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"250ms", 250},  {"10s", 10000}, {"10", 10000}, {"5m", 300000},
                {"2h", 7200000}, {"0", 0},       {"3S", 3000}};

    static const char *const bad[] = {"",    "ms",  "1d",   "1.5s",
                                      "-1s", "1 s", "1mss", "18446744073709551615s"};
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t ms = 1;
        assert_true(number_parse_duration_ms(slice_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t ms;
        assert_false(number_parse_duration_ms(slice_of(bad[i]), &ms));
    }
}

static void sizes_have_units(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        uint64_t size_bytes;
    } good[] = {{"1", 1}, {"1b", 1}, {"64kb", 65536}, {"1MB", 1048576}, {"2gb", 2147483648}};

    static const char *const bad[] = {"", "kb", "1k", "1tb", "18446744073709551615kb"};
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t size_bytes = 7;
        assert_true(number_parse_size(slice_of(good[i].text), &size_bytes));
        assert_int_equal(size_bytes, good[i].size_bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t size_bytes;
        assert_false(number_parse_size(slice_of(bad[i]), &size_bytes));
    }
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 9, 10, 12345, UINT64_MAX};
    for (size_t i = 0; i < COUNT(values); i++) {
        char text[20];
        uint64_t back;
        unsigned length = number_format_u64(text, values[i]);
        assert_true(number_parse_u64((struct slice){text, length}, &back));
        assert_true(back == values[i]);
        assert_true(length == 1 || text[0] != '0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_numbers_are_read_strictly),
        cmocka_unit_test(only_the_slice_is_read),
        cmocka_unit_test(signed_numbers_are_read_to_both_ends),
        cmocka_unit_test(doubles_are_finite_decimals),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
