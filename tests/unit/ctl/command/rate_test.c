/* How long a plan says that a move takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/command/rate.h"

static void add(struct rate_reading *reading, const char *id, const char *kind, uint64_t keys,
                uint64_t ms, bool is_throttled)
{
    json_t *record = json_object();
    set_text(record, "migration", id);
    set_text(record, "kind", kind);
    set_number(record, "keys", keys);
    set_number(record, "ms", ms);
    set_flag(record, "throttled", is_throttled);
    rate_note(reading, record);
    json_decref(record);
}

static void without_a_migration_it_says_so(void **state)
{
    (void)state;
    struct rate_reading reading;
    rate_init(&reading);
    assert_string_equal(reading.rate.migration, "");
    assert_int_equal(reading.rate.copied, RATE_COPIED_DEFAULT);
    add(&reading, "m3", "phase", 5000, 1, false);
    add(&reading, "m3", "verify", 5000, 1000, false); /* copied before the journal began */
    assert_string_equal(reading.rate.migration, "");
}

static void the_last_migration_that_copied_and_verified_counts(void **state)
{
    (void)state;
    struct rate_reading reading;
    rate_init(&reading);
    add(&reading, "m3", "backfill", 20000, 1000, false);
    add(&reading, "m3", "verify", 20000, 500, false);
    assert_string_equal(reading.rate.migration, "m3");
    assert_int_equal(reading.rate.copied, 20000);
    assert_int_equal(reading.rate.verified, 40000);
    add(&reading, "m9", "backfill", 10000, 1000, false);
    assert_string_equal(reading.rate.migration, "m3");
    add(&reading, "m3", "verify", 20000, 1, false); /* again, in its rollback window */
    assert_int_equal(reading.rate.verified, 40000);
    add(&reading, "m9", "verify", 10000, 1000, false);
    assert_string_equal(reading.rate.migration, "m9");
    assert_int_equal(reading.rate.copied, 10000);
}

static void what_a_throttle_held_back_or_is_too_little_shows_nothing(void **state)
{
    (void)state;
    struct rate_reading reading;
    rate_init(&reading);
    add(&reading, "m3", "backfill", 20000, 20000, true);
    add(&reading, "m3", "verify", 20000, 20000, false);
    add(&reading, "m4", "backfill", RATE_KEYS_MIN - 1, 0, false);
    add(&reading, "m4", "verify", RATE_KEYS_MIN - 1, 0, false);
    assert_string_equal(reading.rate.migration, "");
    add(&reading, "m5", "backfill", RATE_KEYS_MIN, 0, false);
    add(&reading, "m5", "verify", RATE_KEYS_MIN, 0, false);
    assert_string_equal(reading.rate.migration, "m5");
}

static void copying_and_verifying_take_their_times(void **state)
{
    (void)state;
    struct migration_options options;
    migration_options_default(&options);
    const struct rate rate = {.copied = 10000, .verified = 20000};
    assert_int_equal(rate_estimate_ms(&rate, 100000, 1000000, &options), 15000);
    options.keys_per_second = 5000;
    assert_int_equal(rate_estimate_ms(&rate, 100000, 1000000, &options), 40000);
    options.keys_per_second = 15000; /* holds back the quicker of the two */
    assert_int_equal(rate_estimate_ms(&rate, 100000, 1000000, &options), 16666);
    options.bytes_per_second = 10000;
    assert_int_equal(rate_estimate_ms(&rate, 100000, 1000000, &options), 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_migration_it_says_so),
        cmocka_unit_test(the_last_migration_that_copied_and_verified_counts),
        cmocka_unit_test(what_a_throttle_held_back_or_is_too_little_shows_nothing),
        cmocka_unit_test(copying_and_verifying_take_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
