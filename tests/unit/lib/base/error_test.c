#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/error.h"

static void an_error_is_false_and_has_its_text(void **state)
{
    (void)state;
    struct error err;
    assert_false(error_set(&err, "line %d: %s", 12, "no"));
    assert_string_equal(err.text, "line 12: no");
    assert_false(error_set(NULL, "nobody asked"));
    assert_false(error_prefix(NULL, "nobody asked"));
}

static void a_prefix_stands_in_front(void **state)
{
    (void)state;
    struct error err;
    (void)error_set(&err, "it broke");
    assert_false(error_prefix(&err, "shard \"%s\"", "s1"));
    assert_string_equal(err.text, "shard \"s1\": it broke");
}

static void an_error_may_quote_the_one_it_replaces(void **state)
{
    (void)state;
    struct error err;
    (void)error_set(&err, "it broke");
    (void)error_set(&err, "a longer beginning, because %s", err.text);
    assert_string_equal(err.text, "a longer beginning, because it broke");
}

static void a_text_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct error err;
    char large[2000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    (void)error_set(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    (void)error_prefix(&err, "front");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(strncmp(err.text, "front: xxx", 10), 0);
    (void)error_prefix(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_false_and_has_its_text),
        cmocka_unit_test(a_prefix_stands_in_front),
        cmocka_unit_test(an_error_may_quote_the_one_it_replaces),
        cmocka_unit_test(a_text_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
