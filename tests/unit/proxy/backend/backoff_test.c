#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "proxy/backend/backoff.h"

#define PROXIES 30

static void it_doubles_up_to_a_second(void **state)
{
    (void)state;
    static const uint64_t longest_us[] = {50000, 100000, 200000, 400000, 800000, 1000000, 1000000};
    for (unsigned failures = 1; failures <= 7; failures++) {
        assert_int_equal(backoff_us(failures, 0), longest_us[failures - 1]);
    }
    assert_int_equal(backoff_us(1000000, 0), 1000000);
}

static void no_wait_is_less_than_half_of_it(void **state)
{
    (void)state;
    assert_in_range(backoff_us(1, UINT64_MAX), 25001, 50000);
    assert_in_range(backoff_us(9, 499999), 500001, 500001);
    assert_in_range(backoff_us(9, 500000), 1000000, 1000000);
}

/* The chance that twelve of thirty fall into the same tenth is below one in a hundred thousand. */
static void thirty_proxies_do_not_come_back_together(void **state)
{
    (void)state;
    unsigned tenths[10] = {0};
    for (unsigned i = 0; i < PROXIES; i++) {
        uint64_t wait_us = backoff_us(9, random_system());
        tenths[(wait_us - 500001) / 50000]++;
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_in_range(tenths[i], 0, 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles_up_to_a_second),
        cmocka_unit_test(no_wait_is_less_than_half_of_it),
        cmocka_unit_test(thirty_proxies_do_not_come_back_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
