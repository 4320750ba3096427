#include <float.h>
#include <math.h>
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

typedef void write_kind_fn(struct buffer *out, unsigned protocol);

static void text(struct buffer *buffer, unsigned protocol)
{
    write_verbatim(buffer, protocol, SLICE("a\r\nb"));
}

static void fraction(struct buffer *buffer, unsigned protocol)
{
    write_double(buffer, protocol, 3.1);
}

static void whole(struct buffer *buffer, unsigned protocol)
{
    write_double(buffer, protocol, -17);
}

static void infinity(struct buffer *buffer, unsigned protocol)
{
    write_double(buffer, protocol, -INFINITY);
}

static void smallest(struct buffer *buffer, unsigned protocol)
{
    write_double(buffer, protocol, -DBL_MIN);
}

static void map(struct buffer *buffer, unsigned protocol)
{
    write_map_header(buffer, protocol, 1);
    write_bulk(buffer, SLICE("k"));
    write_integer(buffer, 7);
}

static void set(struct buffer *buffer, unsigned protocol)
{
    write_set_header(buffer, protocol, 1);
    write_integer(buffer, 7);
}

static void push(struct buffer *buffer, unsigned protocol)
{
    write_push_header(buffer, protocol, 1);
    write_integer(buffer, 7);
}

static void what_is_new_in_resp3_has_its_form_of_resp2(void **state)
{
    (void)state;

    static const struct {
        write_kind_fn *write;
        const char *resp2, *resp3;
    } kinds[] = {
        {write_null, "$-1\r\n", "_\r\n"},
        {write_null_array, "*-1\r\n", "_\r\n"},
        {text, "$4\r\na\r\nb\r\n", "=8\r\ntxt:a\r\nb\r\n"},
        {fraction, "$18\r\n3.1000000000000001\r\n", ",3.1000000000000001\r\n"},
        {whole, "$3\r\n-17\r\n", ",-17\r\n"},
        {infinity, "$4\r\n-inf\r\n", ",-inf\r\n"},
        {smallest, "$24\r\n-2.2250738585072014e-308\r\n", ",-2.2250738585072014e-308\r\n"},
        {map, "*2\r\n$1\r\nk\r\n:7\r\n", "%1\r\n$1\r\nk\r\n:7\r\n"},
        {set, "*1\r\n:7\r\n", "~1\r\n:7\r\n"},
        {push, "*1\r\n:7\r\n", ">1\r\n:7\r\n"},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        kinds[i].write(&out, 2);
        expect_written(slice_of(kinds[i].resp2), true);
        kinds[i].write(&out, 3);
        expect_written(slice_of(kinds[i].resp3), true);
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
        cmocka_unit_test_setup_teardown(what_is_new_in_resp3_has_its_form_of_resp2, begin, end),
        cmocka_unit_test_setup_teardown(a_written_command_is_read_back, begin, end),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
