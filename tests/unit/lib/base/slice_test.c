#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/slice.h"

static const struct slice nothing = {NULL, 0};

static void slices_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE("a\0b"), (struct slice){"a\0bc", 3}));
    assert_false(slice_equal(SLICE("a\0b"), SLICE("a\0c")));
    assert_false(slice_equal(SLICE("a"), SLICE("ab")));
    assert_true(slice_equal(nothing, SLICE("")));
    assert_true(slice_equal(slice_of("abc"), SLICE("abc")));
}

static void letters_compare_without_case_when_asked(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(SLICE("hGet"), SLICE("HgeT")));
    assert_false(slice_equal(SLICE("hGet"), SLICE("HgeT")));
    assert_false(slice_equal_nocase(SLICE("hget"), SLICE("hset")));
    assert_true(slice_equal_nocase(nothing, SLICE("")));
}

static void a_slice_starts_with_its_beginnings(void **state)
{
    (void)state;
    assert_true(slice_starts_with(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts_with(SLICE("abc"), SLICE("abc")));
    assert_true(slice_starts_with(SLICE("abc"), SLICE("")));
    assert_true(slice_starts_with(nothing, nothing));
    assert_false(slice_starts_with(SLICE("abc"), SLICE("abcd")));
    assert_false(slice_starts_with(SLICE("abc"), SLICE("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_by_their_bytes),
        cmocka_unit_test(letters_compare_without_case_when_asked),
        cmocka_unit_test(a_slice_starts_with_its_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
