#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/resp/command_parser.h"
#include "lib/resp/framer.h"
#include "lib/resp/writer.h"

static struct buffer out;

static int begin(void **state)
{
    (void)state;
    buffer_init(&out, SIZE_MAX);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buffer_fini(&out);
    return 0;
}

/* What was written is that text, and one whole value where it claims to be. */
static void expect_written(struct slice text, bool is_value)
{
    struct slice written = buffer_slice(&out);
    assert_int_equal(written.len, text.len);
    assert_memory_equal(written.data, text.data, text.len);
    if (is_value) {
        struct framer framer = {.values_left = 0};
        size_t used = 0;
        assert_int_equal(framer_feed(&framer, written.data, written.len, &used), PARSE_OK);
        assert_int_equal(used, text.len);
    }
    buffer_clear(&out);
}

static void each_kind_is_written_as_redis_writes_it(void **state)
{
    (void)state;
    write_status(&out, "OK");
    expect_written(SLICE("+OK\r\n"), true);
    write_error(&out, "ERR no");
    expect_written(SLICE("-ERR no\r\n"), true);
    write_nil(&out);
    expect_written(SLICE("$-1\r\n"), true);
    write_bulk(&out, SLICE(""));
    expect_written(SLICE("$0\r\n\r\n"), true);
    write_bulk(&out, (struct slice){NULL, 0});
    expect_written(SLICE("$0\r\n\r\n"), true);
    write_bulk(&out, SLICE("a\0\r\nb"));
    expect_written(SLICE("$5\r\na\0\r\nb\r\n"), true);
    write_array(&out, 0);
    expect_written(SLICE("*0\r\n"), true);
    write_array(&out, UINT64_MAX);
    expect_written(SLICE("*18446744073709551615\r\n"), false);
}

static void integers_keep_their_sign_and_all_their_digits(void **state)
{
    (void)state;

    static const struct {
        int64_t value;
        const char *text;
    } integers[] = {
        {0, ":0\r\n"},
        {1, ":1\r\n"},
        {-1, ":-1\r\n"},
        {10, ":10\r\n"},
        {INT64_MAX, ":9223372036854775807\r\n"},
        {INT64_MIN, ":-9223372036854775808\r\n"},
    };

    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        write_integer(&out, integers[i].value);
        expect_written(slice_of(integers[i].text), true);
    }
}

static void a_written_command_is_read_back(void **state)
{
    (void)state;
    const struct slice argv[] = {SLICE("SET"), SLICE(""), SLICE("a\r\n$1\r\n\0")};
    struct command_parser parser;
    struct command command;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    write_command(&out, argv, 3);
    struct slice bytes = buffer_slice(&out);
    assert_int_equal(command_parse(&parser, bytes.data, bytes.len, &command), PARSE_OK);
    assert_int_equal(command.raw.len, bytes.len);
    assert_int_equal(command.argc, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(slice_equal(command.argv[i], argv[i]));
    }
    command_parser_fini(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_is_written_as_redis_writes_it, begin, end),
        cmocka_unit_test_setup_teardown(integers_keep_their_sign_and_all_their_digits, begin, end),
        cmocka_unit_test_setup_teardown(a_written_command_is_read_back, begin, end),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
