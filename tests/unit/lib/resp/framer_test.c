#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/slice.h"
#include "lib/resp/framer.h"

/* As SLICE, for static tables. */
#define BYTES(literal)                 \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

/* A value is whole when exactly all of its bytes are there: each of these is fed whole, with bytes
 * of the next reply behind it, byte by byte, and split at every position. */
static const struct slice whole_values[] = {
    BYTES("+OK\r\n"),
    BYTES("+\r\n"),
    BYTES("-ERR no\r\n"),
    BYTES(":1\r\n"),
    BYTES(":-9223372036854775808\r\n"),
    BYTES("$0\r\n\r\n"),
    BYTES("$5\r\nhello\r\n"),
    BYTES("$4\r\n\r\n\r\n\r\n"),
    BYTES("$9\r\n*1\r\n$1\r\na\r\n"),
    BYTES("$3\r\n\0\n\xff\r\n"),
    BYTES("$-1\r\n"),
    BYTES("*-1\r\n"),
    BYTES("*0\r\n"),
    BYTES("*1\r\n*0\r\n"),
    BYTES("*2\r\n*2\r\n:1\r\n$1\r\na\r\n*-1\r\n"),
    BYTES("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n$-1\r\n"),
    BYTES("*3\r\n-ERR x\r\n+OK\r\n$2\r\n\r\n\r\n"),
    /* RESP3 */
    BYTES("_\r\n"),
    BYTES("#t\r\n"),
    BYTES(",3.25\r\n"),
    BYTES(",inf\r\n"),
    BYTES("(3492890328409238509324850943850943825024385\r\n"),
    BYTES("!5\r\nERR x\r\n"),
    BYTES("=7\r\ntxt:abc\r\n"),
    BYTES("%0\r\n"),
    BYTES("%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n"),
    BYTES("~3\r\n:1\r\n:2\r\n%1\r\n:3\r\n:4\r\n"),
    BYTES(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"),
    /* Attributes belong to the value behind them. */
    BYTES("|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n"),
    BYTES("|0\r\n:1\r\n"),
    BYTES("|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n:3\r\n"),
    BYTES("*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n"),
    BYTES("*1\r\n|2\r\n+a\r\n*1\r\n:0\r\n+b\r\n:1\r\n*1\r\n$1\r\nx\r\n"),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Feeds a piece; all of it must be taken while the value is not whole. */
static enum parse_status feed(struct framer *framer, struct slice piece)
{
    size_t used = 0;
    enum parse_status status = framer_feed(framer, piece.data, piece.len, &used);
    if (status == PARSE_OK) {
        assert_int_equal(used, piece.len);
    } else if (status == PARSE_MORE) {
        assert_int_equal(used, piece.len);
    }
    return status;
}

static void a_value_ends_where_it_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whole_values); i++) {
        char bytes[256];
        struct slice value = whole_values[i];
        static const char next[] = "+NEXT\r\n$1\r\nx\r\n";
        memcpy(bytes, value.data, value.len);
        memcpy(bytes + value.len, next, sizeof(next));
        struct framer framer = {.values_left = 0};
        size_t used = 0;
        assert_int_equal(framer_feed(&framer, bytes, value.len + sizeof(next) - 1, &used),
                         PARSE_OK);
        assert_int_equal(used, value.len);
        /* And the framer is at the start of the next. */
        assert_int_equal(framer_feed(&framer, next, sizeof(next) - 1, &used), PARSE_OK);
        assert_int_equal(used, 7);
    }
}

static void a_value_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whole_values); i++) {
        struct slice value = whole_values[i];
        for (size_t cut = 0; cut < value.len; cut++) {
            struct framer framer = {.values_left = 0};
            assert_int_equal(feed(&framer, (struct slice){value.data, cut}), PARSE_MORE);
            assert_int_equal(feed(&framer, (struct slice){value.data + cut, value.len - cut}),
                             PARSE_OK);
        }
    }
}

static void a_value_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct framer framer = {.values_left = 0};
    for (size_t i = 0; i < COUNT(whole_values); i++) {
        struct slice value = whole_values[i];
        for (size_t at = 0; at < value.len; at++) {
            enum parse_status status = feed(&framer, (struct slice){value.data + at, 1});
            assert_int_equal(status, at + 1 == value.len ? PARSE_OK : PARSE_MORE);
        }
    }
}

static void what_is_no_resp_is_refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        BYTES("x"),
        BYTES("\r\n"),
        BYTES("HTTP/1.1 400\r\n"),
        BYTES("$\r\n"),
        BYTES("*\r\n"),
        BYTES("$-\r\n"),
        BYTES("$+1\r\n"),
        BYTES("$1a\r\n"),
        BYTES("$ 1\r\n"),
        BYTES("$--1\r\n"),
        BYTES("$1-\r\n"),
        BYTES("*1\r2\r\n"),
        BYTES("*1\rx"),
        BYTES("$\r1\n"),
        BYTES("*?\r\n"),
        BYTES("*1\r\nx"),
        BYTES("*2\r\n:1\r\n\r\n"),
        BYTES("$2\r\nabc\r\n"),
        BYTES("$2\r\nabX\n"),
        BYTES("*2\r\n$1\r\naXX$1\r\n"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct framer framer = {.values_left = 0};
        size_t used = 0;
        enum parse_status status = framer_feed(&framer, bad[i].data, bad[i].len, &used);
        if (status != PARSE_BAD) {
            fail_msg("not refused: %.*s", (int)bad[i].len, bad[i].data);
        }
        framer = (struct framer){.values_left = 0};
        status = PARSE_MORE;
        for (size_t at = 0; at < bad[i].len && status == PARSE_MORE; at++) {
            status = framer_feed(&framer, bad[i].data + at, 1, &used);
        }
        assert_int_equal(status, PARSE_BAD);
    }
}

static void hostile_counts_neither_overflow_nor_end_a_value(void **state)
{
    (void)state;

    static const struct {
        struct slice bytes;
        enum parse_status status;
    } counts[] = {
        {BYTES("*2147483647\r\n"), PARSE_MORE},
        {BYTES("*1099511627776\r\n"), PARSE_MORE},
        {BYTES("*1099511627777\r\n"), PARSE_BAD},
        {BYTES("*9223372036854775807\r\n"), PARSE_BAD},
        {BYTES("*18446744073709551616\r\n"), PARSE_BAD},
        {BYTES("*18446744073709551617\r\n:1\r\n"), PARSE_BAD},
        {BYTES("%9223372036854775808\r\n"), PARSE_BAD},
        {BYTES("%549755813888\r\n"), PARSE_MORE},
        {BYTES("%549755813889\r\n"), PARSE_BAD},
        {BYTES("|9223372036854775807\r\n:1\r\n"), PARSE_BAD},
        {BYTES("$18446744073709551614\r\n"), PARSE_BAD},
        {BYTES("$18446744073709551615\r\n"), PARSE_BAD},
        {BYTES("$536870912\r\n"), PARSE_MORE},
        {BYTES("$99999999999999999999999999999999999999999\r\n"), PARSE_BAD},
    };

    for (size_t i = 0; i < COUNT(counts); i++) {
        struct framer framer = {.values_left = 0};
        size_t used = 0;
        enum parse_status status =
            framer_feed(&framer, counts[i].bytes.data, counts[i].bytes.len, &used);
        if (status != counts[i].status) {
            fail_msg("%.*s: %d", (int)counts[i].bytes.len, counts[i].bytes.data, (int)status);
        }
    }
}

/* A reply of nested arrays costs no stack, and their counts add up to a bound. */
static void arrays_in_arrays_are_counted_not_stacked(void **state)
{
    (void)state;
    struct framer framer = {.values_left = 0};
    size_t used = 0;
    for (int i = 0; i < 1000000; i++) {
        assert_int_equal(framer_feed(&framer, "*1\r\n", 4, &used), PARSE_MORE);
    }
    assert_int_equal(framer_feed(&framer, ":1\r\n", 4, &used), PARSE_OK);
    enum parse_status status = PARSE_MORE;
    for (int i = 0; i < 10 && status == PARSE_MORE; i++) {
        status = framer_feed(&framer, "*1099511627776\r\n", 16, &used);
    }
    assert_int_equal(status, PARSE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_ends_where_it_ends),
        cmocka_unit_test(a_value_may_be_cut_anywhere),
        cmocka_unit_test(a_value_may_come_byte_by_byte),
        cmocka_unit_test(what_is_no_resp_is_refused),
        cmocka_unit_test(hostile_counts_neither_overflow_nor_end_a_value),
        cmocka_unit_test(arrays_in_arrays_are_counted_not_stacked),
    };
    return cmocka_run_group_tests_name("framer", tests, NULL, NULL);
}
