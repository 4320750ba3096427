#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <xxhash.h>

#include "lib/topology/slot.h"

static void a_hash_tag_is_cut_out_as_in_redis_cluster(void **state)
{
    (void)state;

    static const struct {
        const char *key;
        const char *tag;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"{}", "{}"},
        {"{}{a}", "{}{a}"},
        {"{a", "{a"},
        {"a}", "a}"},
        {"}{", "}{"},
        {"}{a}", "a"},
        {"a{b}c", "b"},
        {"{acct:42}:balance", "acct:42"},
        {"foo{{bar}}zap", "{bar"},
        {"foo{bar}{zap}", "bar"},
        {"foo{}{bar}", "foo{}{bar}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice tag = slot_tag_of_key(slice_of(cases[i].key));
        assert_true(slice_equal(tag, slice_of(cases[i].tag)));
    }
}

static void a_tag_is_found_wherever_it_stands(void **state)
{
    static const char neighbours[] = {'z', '|', '\xfb', '\0', '}'};
    char key[100];
    (void)state;
    for (size_t length = 3; length <= sizeof(key); length++) {
        for (size_t at = 0; at + 3 <= length; at++) {
            memset(key, neighbours[(length + at) % sizeof(neighbours)], length);
            assert_true(slice_equal(slot_tag_of_key((struct slice){key, length}),
                                    (struct slice){key, length}));
            memcpy(key + at, "{a}", 3);
            assert_true(slice_equal(slot_tag_of_key((struct slice){key, length}), SLICE("a")));
        }
    }
}

static void a_slot_is_the_low_bits_of_xxh3_of_the_tag(void **state)
{
    (void)state;
    /* From the reference: xxhsum -H3 of "acct:42" and of nothing. */
    assert_int_equal(slot_of_key(SLICE("{acct:42}:balance"), 16384),
                     XXH3_64bits("acct:42", 7) & 16383);
    assert_int_equal(slot_of_key(SLICE("{acct:42}:balance"), 16384),
                     slot_of_key(SLICE("acct:42"), 16384));
    assert_int_equal(slot_of_key((struct slice){NULL, 0}, 65536), 0x2d06800538d394c2u & 65535);
    assert_int_equal(slot_of_key(SLICE("anything"), 1), 0);
    assert_int_equal(slot_of_key((struct slice){"\0{\0}", 4}, 64),
                     slot_of_key((struct slice){"\0", 1}, 64));
}

static void check_round_trip(const char *text, const char *expected)
{
    struct slot_set set;
    struct buffer formatted;
    buffer_init(&formatted, SIZE_MAX);
    slot_set_init(&set, 300);
    assert_true(slot_set_parse(&set, slice_of(text), NULL));
    slot_set_format(&set, &formatted);
    assert_int_equal(buffer_length(&formatted), strlen(expected));
    assert_memory_equal(formatted.data, expected, strlen(expected));
    slot_set_fini(&set);
    buffer_fini(&formatted);
}

static void check_hex(unsigned nslots, const char *ranges, const char *expected)
{
    struct slot_set set, again;
    struct buffer formatted;
    buffer_init(&formatted, SIZE_MAX);
    slot_set_init(&set, nslots);
    slot_set_init(&again, nslots);
    assert_true(slot_set_parse(&set, slice_of(ranges), NULL));
    slot_set_format_hex(&set, &formatted);
    assert_int_equal(buffer_length(&formatted), strlen(expected));
    assert_memory_equal(formatted.data, expected, strlen(expected));
    assert_true(slot_set_parse(&again, buffer_slice(&formatted), NULL));
    buffer_clear(&formatted);
    slot_set_format(&again, &formatted);
    assert_int_equal(buffer_length(&formatted), strlen(ranges));
    assert_memory_equal(formatted.data, ranges, strlen(ranges));
    slot_set_fini(&set);
    slot_set_fini(&again);
    buffer_fini(&formatted);
}

static void a_digit_stands_for_four_slots(void **state)
{
    (void)state;
    check_hex(16, "", "hex:0000");
    check_hex(16, "0", "hex:1000");
    check_hex(16, "0-3,5,15", "hex:f208");
    check_hex(2, "1", "hex:2");
    check_hex(1, "0", "hex:1");
    check_hex(128, "63-64,127", "hex:00000000000000081000000000000008");
}

static void digits_that_are_no_set_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"hex:", "hex:0", "hex:000", "hex:0g", "hex:0F", "hex:04"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct slot_set set;
        struct error err = {""};
        slot_set_init(&set, 6);
        assert_false(slot_set_parse(&set, slice_of(texts[i]), &err));
        assert_true(strlen(err.text) > 0);
        slot_set_fini(&set);
    }
}

static void ranges_are_sorted_and_merged(void **state)
{
    (void)state;
    check_round_trip("", "");
    check_round_trip("0", "0");
    check_round_trip("299", "299");
    check_round_trip("0-99,200", "0-99,200");
    check_round_trip("200,50-99,0-49", "0-99,200");
    check_round_trip("5,4,3", "3-5");
    check_round_trip("1-10,5-20", "1-20");
    check_round_trip("63-64,127-128", "63-64,127-128");
    check_round_trip("0-299", "0-299");
}

static void what_is_no_set_of_slots_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "300",        "0-300", "5-4",   "-",    "1-",
        "-1",         "1,",    ",1",    "1,,2", "a",
        "1 ",         " 1",    "1-2-3", "0x1",  "18446744073709551616",
        "4294967296", "1;2",   "+1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct slot_set set;
        struct error err = {""};
        slot_set_init(&set, 300);
        assert_false(slot_set_parse(&set, slice_of(texts[i]), &err));
        assert_true(err.text[0] != '\0');
        slot_set_fini(&set);
    }
}

static void a_set_of_every_size_has_its_edges(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 63, 64, 65, 127, 128, 16384, SLOTS_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned last = sizes[i] - 1;
        struct slot_set set, copy;
        slot_set_init(&set, sizes[i]);
        assert_int_equal(slot_set_next(&set, 0), sizes[i]);
        slot_set_add(&set, last);
        slot_set_add(&set, last);
        assert_true(slot_set_has(&set, last));
        assert_int_equal(slot_set_count(&set), 1);
        assert_int_equal(slot_set_next(&set, 0), last);
        assert_int_equal(slot_set_next(&set, last), last);
        assert_int_equal(slot_set_next(&set, last + 1), sizes[i]);
        slot_set_copy(&copy, &set);
        assert_true(slot_set_intersects(&copy, &set));
        slot_set_fini(&set);
        slot_set_init(&set, sizes[i]);
        assert_false(slot_set_intersects(&copy, &set));
        assert_int_equal(slot_set_count(&set), 0);
        slot_set_fini(&set);
        slot_set_fini(&copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_tag_is_cut_out_as_in_redis_cluster),
        cmocka_unit_test(a_tag_is_found_wherever_it_stands),
        cmocka_unit_test(a_slot_is_the_low_bits_of_xxh3_of_the_tag),
        cmocka_unit_test(a_digit_stands_for_four_slots),
        cmocka_unit_test(digits_that_are_no_set_are_refused),
        cmocka_unit_test(ranges_are_sorted_and_merged),
        cmocka_unit_test(what_is_no_set_of_slots_is_refused),
        cmocka_unit_test(a_set_of_every_size_has_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
