#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/resp/value.h"

static void expect_refused(struct slice bytes, const char *why)
{
    struct error err = {.text = ""};
    /* A copy of the exact size, so that the address sanitizer sees a read beyond it. */
    char *copy = mem_dup(bytes.data, bytes.len);
    struct resp_value *root = resp_value_parse((struct slice){copy, bytes.len}, &err);
    assert_null(root);
    assert_non_null(strstr(err.text, why));
    mem_free(copy);
}

static struct resp_value *expect_parsed(const char *text)
{
    struct error err;
    struct resp_value *root = resp_value_parse(slice_of(text), &err);
    assert_non_null(root);
    return root;
}

static void each_type_is_read(void **state)
{
    static const struct {
        const char *bytes;
        enum resp_type type;
        const char *text;
        int64_t integer;
    } cases[] = {
        {"+OK\r\n", RESP_STATUS, "OK", 0},
        {"+\r\n", RESP_STATUS, "", 0},
        {"-ERR no\r\n", RESP_ERROR, "ERR no", 0},
        {"!6\r\nERR no\r\n", RESP_ERROR, "ERR no", 0},
        {":-12\r\n", RESP_INTEGER, "", -12},
        {"$5\r\na\r\nbc\r\n", RESP_BULK, "a\r\nbc", 0},
        {"$0\r\n\r\n", RESP_BULK, "", 0},
        {"$-1\r\n", RESP_NIL, "", 0},
        {"*-1\r\n", RESP_NIL, "", 0},
        {"_\r\n", RESP_NIL, "", 0},
        {"#t\r\n", RESP_BOOLEAN, "", 1},
        {"#f\r\n", RESP_BOOLEAN, "", 0},
        {",1.5e3\r\n", RESP_NUMBER, "1.5e3", 0},
        {"(12345678901234567890123\r\n", RESP_NUMBER, "12345678901234567890123", 0},
        {"=8\r\ntxt:some\r\n", RESP_BULK, "some", 0},
        {"*0\r\n", RESP_ARRAY, "", 0},
        {"%0\r\n", RESP_MAP, "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resp_value *root = expect_parsed(cases[i].bytes);
        assert_int_equal(root->type, cases[i].type);
        assert_int_equal(root->integer, cases[i].integer);
        assert_true(slice_equal(root->text, slice_of(cases[i].text)));
        assert_int_equal(root->count, 0);
        resp_value_free(root);
    }
}

static void nested_elements_keep_their_order(void **state)
{
    (void)state;
    struct resp_value *root =
        expect_parsed("*3\r\n*2\r\n:1\r\n:2\r\n%1\r\n+a\r\n~1\r\n:3\r\n>2\r\n$1\r\nx\r\n:4\r\n");
    assert_int_equal(root->count, 3);
    assert_int_equal(root->elements[0].elements[1].integer, 2);
    assert_int_equal(root->elements[1].type, RESP_MAP);
    assert_int_equal(root->elements[1].count, 2);
    assert_int_equal(root->elements[1].elements[1].elements[0].integer, 3);
    assert_true(slice_equal(root->elements[2].elements[0].text, SLICE("x")));
    assert_int_equal(root->elements[2].elements[1].integer, 4);
    resp_value_free(root);
}

static void what_is_not_one_whole_reply_is_refused(void **state)
{
    (void)state;
    expect_refused(SLICE(""), "too early");
    expect_refused(SLICE("+OK\r\n+OK\r\n"), "more bytes");
    expect_refused(SLICE("?x\r\n"), "unknown type");
    expect_refused(SLICE("+OK\rx\n"), "line without its end");
    expect_refused(SLICE(":1x\r\n"), "not an integer");
    expect_refused(SLICE(":99999999999999999999\r\n"), "not an integer");
    expect_refused(SLICE("#x\r\n"), "not a boolean");
    expect_refused(SLICE("$3\r\nabcde\r\n"), "bulk string without its end");
    expect_refused(SLICE("$-2\r\n"), "cannot hold");
    expect_refused(SLICE("$18446744073709551615\r\nab\r\n"), "cannot hold");
    expect_refused(SLICE("=3\r\ntxt\r\n"), "without its format");
    expect_refused(SLICE("=-1\r\n"), "without its format");
}

static void a_count_that_the_input_cannot_hold_is_refused(void **state)
{
    (void)state;
    expect_refused(SLICE("*9223372036854775807\r\n"), "cannot hold");
    expect_refused(SLICE("*3\r\n:1\r\n:2\r\n"), "can hold");
    expect_refused(SLICE("%9223372036854775807\r\n"), "cannot hold");
    expect_refused(SLICE("%2\r\n:1\r\n:2\r\n"), "can hold");
}

static void every_cut_of_a_reply_is_refused(void **state)
{
    static const char whole[] = "*3\r\n$3\r\nfoo\r\n%1\r\n+a\r\n:1\r\n=5\r\ntxt:x\r\n";
    (void)state;
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        expect_refused((struct slice){whole, length}, "cannot read a RESP reply");
    }
}

static void expect_depth(unsigned depth, bool is_fine)
{
    struct error err = {.text = ""};
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned i = 0; i < depth; i++) {
        buffer_add_text(&bytes, "*1\r\n");
    }
    buffer_add_text(&bytes, ":1\r\n");
    struct resp_value *root = resp_value_parse(buffer_slice(&bytes), &err);
    assert_int_equal(root != NULL, is_fine);
    assert_int_equal(strstr(err.text, "nested too deeply") == NULL, is_fine);
    resp_value_free(root);
    buffer_fini(&bytes);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    expect_depth(RESP_VALUE_DEPTH_MAX, true);
    expect_depth(RESP_VALUE_DEPTH_MAX + 1, false);
    expect_depth(100000, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_is_read),
        cmocka_unit_test(nested_elements_keep_their_order),
        cmocka_unit_test(what_is_not_one_whole_reply_is_refused),
        cmocka_unit_test(a_count_that_the_input_cannot_hold_is_refused),
        cmocka_unit_test(every_cut_of_a_reply_is_refused),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
