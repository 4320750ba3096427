#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/command/place.h"
#include "ctl/command/planning.h"

static void a_place_is_a_name_and_an_address(void **state)
{
    (void)state;
    struct topology_shard shard;
    struct error err;
    assert_true(place_parse("s1=10.0.0.1:6379", &shard, &err));
    assert_string_equal(shard.name, "s1");
    assert_string_equal(shard.host, "10.0.0.1");
    assert_int_equal(shard.port, 6379);
    assert_int_equal(shard.weight, 100);
    assert_true(place_parse("a.b-c_d=[::1]:65535", &shard, &err));
    assert_string_equal(shard.host, "::1");
    assert_int_equal(shard.port, 65535);
}

static void a_place_may_be_a_name_that_sentinels_know(void **state)
{
    (void)state;
    struct topology_shard shard;
    struct error err = {.text = ""};
    assert_true(place_parse("s1=sentinel://m1@10.0.0.1:26379,[::1]:1", &shard, &err));
    assert_string_equal(shard.name, "s1");
    assert_string_equal(shard.sentinels, "m1@10.0.0.1:26379,[::1]:1");
    assert_string_equal(shard.host, ""); /* they will tell */
    assert_false(place_parse("s1=sentinel://10.0.0.1:26379", &shard, &err));
    assert_true(strlen(err.text) > 0);
}

static void what_is_no_place_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"s1",          "=h:1",    "s1=h",    "s1=h:0",
                                        "s1=h:65536",  "s1=h:x",  "s 1=h:1", "s1=:1",
                                        "s1=::1:6379", "s1=h:1 ", "s/1=h:1", "s1=[]:1"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct topology_shard shard;
        struct error err = {.text = ""};
        assert_false(place_parse(wrong[i], &shard, &err));
        assert_true(strlen(err.text) > 0);
    }
}

static void a_name_may_have_63_bytes_and_no_more(void **state)
{
    (void)state;
    char text[80];
    struct topology_shard shard;
    memset(text, 'n', sizeof(text));
    memcpy(text + 63, "=h:1", 5);
    assert_true(place_parse(text, &shard, NULL));
    memset(text, 'n', sizeof(text));
    memcpy(text + 64, "=h:1", 5);
    assert_false(place_parse(text, &shard, NULL));
}

static void a_share_is_above_0_and_not_above_1(void **state)
{
    (void)state;
    double share;
    assert_true(planning_parse_share("0.5", &share, NULL));
    assert_true(share > 0.49 && share < 0.51);
    assert_true(planning_parse_share("1", &share, NULL));
    static const char *const wrong[] = {"0", "1.01", "-0.5", "half", "", "nan"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(planning_parse_share(wrong[i], &share, NULL));
    }
}

static void options_that_are_not_given_keep_their_defaults(void **state)
{
    (void)state;
    struct settings settings = {0};
    struct migration_options defaults;
    struct migration_options options;
    migration_options_default(&defaults);
    assert_true(planning_options(&settings, &options, NULL));
    assert_memory_equal(&options, &defaults, sizeof(options));

    char never[] = "never";
    char now[] = "0";
    char later[] = "10m";
    settings.finalize_after = now;
    settings.keys_per_second = 7;
    settings.is_manual_switch = true;
    assert_true(planning_options(&settings, &options, NULL));
    assert_int_equal(options.finalize_after_ms, 0);
    assert_int_equal(options.keys_per_second, 7);
    assert_true(options.manual_switch);
    settings.finalize_after = later;
    assert_true(planning_options(&settings, &options, NULL));
    assert_int_equal(options.finalize_after_ms, 600000);
    settings.finalize_after = never;
    assert_true(planning_options(&settings, &options, NULL));
    assert_true(options.finalize_after_ms == FINALIZE_NEVER);
}

static void the_barrier_ends_before_the_hold_does(void **state)
{
    (void)state;
    struct settings settings = {.hold_max_ms = 50};
    struct migration_options options;
    assert_true(planning_options(&settings, &options, NULL));
    assert_int_equal(options.hold_max_ms, 50);
    assert_true(options.barrier_timeout_ms < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_is_a_name_and_an_address),
        cmocka_unit_test(a_place_may_be_a_name_that_sentinels_know),
        cmocka_unit_test(what_is_no_place_is_refused),
        cmocka_unit_test(a_name_may_have_63_bytes_and_no_more),
        cmocka_unit_test(a_share_is_above_0_and_not_above_1),
        cmocka_unit_test(options_that_are_not_given_keep_their_defaults),
        cmocka_unit_test(the_barrier_ends_before_the_hold_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
