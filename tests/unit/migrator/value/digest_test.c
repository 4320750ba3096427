#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/value/digest.h"
#include "migrator/value/value.h"

static void a_sum_carries_into_its_high_half(void **state)
{
    (void)state;
    struct value_digest sum = {.low = UINT64_MAX, .high = 1};
    struct value_digest one = {.low = 2, .high = 3};
    value_digest_add(&sum, &one);
    assert_true(sum.low == 1 && sum.high == 5);
}

static void a_sum_does_not_depend_on_order(void **state)
{
    (void)state;
    struct value_digest parts[] = {digest_text(SLICE("a")), digest_text(SLICE("b")),
                                   digest_text(SLICE("c"))};
    struct value_digest forwards = {0};
    struct value_digest backwards = {0};
    for (size_t i = 0; i < 3; i++) {
        value_digest_add(&forwards, &parts[i]);
        value_digest_add(&backwards, &parts[2 - i]);
    }
    assert_true(value_digest_equal(forwards, backwards));
}

static void hex_has_the_high_half_first(void **state)
{
    (void)state;
    struct value_digest digest = {.low = 0x1, .high = UINT64_C(0xabcdef0000000000)};
    char text[33];
    value_digest_hex(&digest, text);
    assert_string_equal(text, "abcdef00000000000000000000000001");
}

/* XXH3-128 of the empty text, as its authors publish it. */
static void a_text_has_the_digest_the_world_knows(void **state)
{
    (void)state;
    struct value_digest digest = digest_text((struct slice){NULL, 0});
    char text[33];
    value_digest_hex(&digest, text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
}

static void a_pair_has_an_order(void **state)
{
    (void)state;
    struct value_digest a = digest_text(SLICE("a"));
    struct value_digest b = digest_text(SLICE("b"));
    assert_false(value_digest_equal(digest_pair(a, b), digest_pair(b, a)));
}

static void numbers_differ_by_purpose_and_by_how_many_they_are(void **state)
{
    (void)state;
    const uint64_t numbers[] = {1, 0};
    struct value_digest one = digest_numbers(7, numbers, 1);
    assert_false(value_digest_equal(one, digest_numbers(8, numbers, 1)));
    assert_false(value_digest_equal(one, digest_numbers(7, numbers, 2)));
    assert_true(value_digest_equal(one, digest_numbers(7, numbers, 1)));
}

static void a_key_differs_by_name_type_value_and_expiry(void **state)
{
    (void)state;
    struct value_summary base = {VALUE_SET, {1, 2}, 3};
    struct value_digest digest = value_key_digest(SLICE("k"), &base, -1);
    assert_true(value_digest_equal(digest, value_key_digest(SLICE("k"), &base, -1)));
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("l"), &base, -1)));
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("k"), &base, 0)));
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("k"), &base, 1700000000000)));
    struct value_summary type = {VALUE_LIST, {1, 2}, 3};
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("k"), &type, -1)));
    struct value_summary low = {VALUE_SET, {2, 2}, 3};
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("k"), &low, -1)));
    struct value_summary high = {VALUE_SET, {1, 3}, 3};
    assert_false(value_digest_equal(digest, value_key_digest(SLICE("k"), &high, -1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_carries_into_its_high_half),
        cmocka_unit_test(a_sum_does_not_depend_on_order),
        cmocka_unit_test(hex_has_the_high_half_first),
        cmocka_unit_test(a_text_has_the_digest_the_world_knows),
        cmocka_unit_test(a_pair_has_an_order),
        cmocka_unit_test(numbers_differ_by_purpose_and_by_how_many_they_are),
        cmocka_unit_test(a_key_differs_by_name_type_value_and_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
