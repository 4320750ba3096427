#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/routing/reply_cursor.h"

static void an_array_is_walked_in_both_protocols(void **state)
{
    (void)state;
    static const char *const values[] = {"_\r\n",
                                         "$1\r\na\r\n",
                                         ",1.5\r\n",
                                         "%1\r\n+k\r\n*1\r\n:1\r\n",
                                         "|1\r\n+ttl\r\n:3\r\n#t\r\n",
                                         "$-1\r\n"};
    struct slice reply = SLICE("*6\r\n_\r\n$1\r\na\r\n,1.5\r\n%1\r\n+k\r\n*1\r\n:1\r\n"
                               "|1\r\n+ttl\r\n:3\r\n#t\r\n$-1\r\n");
    struct slice elements, value;
    assert_int_equal(reply_array(reply, &elements), 6);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_true(reply_next(&elements, &value));
        assert_true(slice_equal(value, slice_of(values[i])));
    }
    assert_false(reply_next(&elements, &value));
}

static void each_null_is_one_and_nothing_else_is(void **state)
{
    (void)state;
    assert_true(reply_is_null(SLICE("_\r\n")));
    assert_true(reply_is_null(SLICE("$-1\r\n")));
    assert_true(reply_is_null(SLICE("*-1\r\n")));
    assert_false(reply_is_null(SLICE("$0\r\n\r\n")));
    assert_false(reply_is_null(SLICE("*0\r\n")));
    assert_false(reply_is_null(SLICE("#f\r\n")));
    assert_false(reply_is_null(SLICE("")));
}

static void a_null_is_no_array_no_integer_and_no_text(void **state)
{
    (void)state;
    struct slice text;
    int64_t number;
    assert_int_equal(reply_array(SLICE("_\r\n"), &text), -1);
    assert_false(reply_integer(SLICE("_\r\n"), &number));
    assert_false(reply_bulk(SLICE("_\r\n"), &text));
    assert_false(reply_bulk(SLICE("$-1\r\n"), &text));
    assert_true(reply_bulk(SLICE("$2\r\n\r\n\r\n"), &text));
    assert_true(slice_equal(text, SLICE("\r\n")));
}

static void a_verbatim_string_is_without_its_kind(void **state)
{
    (void)state;
    struct slice text;
    assert_true(reply_verbatim(SLICE("=6\r\ntxt:ab\r\n"), &text));
    assert_true(slice_equal(text, SLICE("ab")));
    assert_false(reply_verbatim(SLICE("$6\r\ntxt:ab\r\n"), &text));
    assert_false(reply_verbatim(SLICE("=3\r\ntxt\r\n"), &text));
    assert_false(reply_verbatim(SLICE(""), &text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_walked_in_both_protocols),
        cmocka_unit_test(each_null_is_one_and_nothing_else_is),
        cmocka_unit_test(a_null_is_no_array_no_integer_and_no_text),
        cmocka_unit_test(a_verbatim_string_is_without_its_kind),
    };
    return cmocka_run_group_tests_name("reply_cursor", tests, NULL, NULL);
}
