#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/control/replica_choice.h"

#define COUNT 3

static const struct replica_candidate all[COUNT] = {
    {.is_level = true, .latency_us = 900},
    {.is_level = false, .latency_us = 100},
    {.is_level = true, .latency_us = 300},
};

static void expect_chosen(enum read_policy policy, uint64_t primary_us, unsigned bits)
{
    struct replica_candidate candidates[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        candidates[i] = all[i];
    }
    replica_choose(policy, primary_us, candidates, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(candidates[i].is_chosen, bits >> i & 1);
    }
}

static void only_replicas_that_are_level_are_chosen(void **state)
{
    (void)state;
    expect_chosen(READ_PREFER_REPLICA, 1, 5);
    expect_chosen(READ_PRIMARY, 1000, 0);
}

static void the_nearest_is_the_one_of_least_latency_the_primary_too(void **state)
{
    (void)state;
    expect_chosen(READ_NEAREST, 1000, 4);
    expect_chosen(READ_NEAREST, 300, 0);
    expect_chosen(READ_NEAREST, 200, 0);
}

static void without_replicas_there_is_no_choice(void **state)
{
    (void)state;
    replica_choose(READ_NEAREST, 1000, NULL, 0);
    replica_choose(READ_PREFER_REPLICA, 1000, NULL, 0);
}

static void the_words_of_the_option_are_policies(void **state)
{
    enum read_policy policy = READ_PRIMARY;
    (void)state;
    assert_true(read_policy_parse("nearest", &policy));
    assert_int_equal(policy, READ_NEAREST);
    assert_true(read_policy_parse("prefer-replica", &policy));
    assert_int_equal(policy, READ_PREFER_REPLICA);
    assert_false(read_policy_parse("replica", &policy));
    assert_int_equal(policy, READ_PREFER_REPLICA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_replicas_that_are_level_are_chosen),
        cmocka_unit_test(the_nearest_is_the_one_of_least_latency_the_primary_too),
        cmocka_unit_test(without_replicas_there_is_no_choice),
        cmocka_unit_test(the_words_of_the_option_are_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
