#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/resp/command_parser.h"
#include "lib/resp/writer.h"
#include "tests/support/process.h"
#include "tests/support/raw.h"
#include "tests/support/redis.h"
#include "tests/support/scratch.h"

/* As SLICE, for static tables. */
#define BYTES(literal)                 \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define RANDOM_LINES 3000

static struct redis_server *server;

static int start(void **state)
{
    (void)state;
    server = redis_server_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(server);
    process_stop_all();
    return 0;
}

/* --- whole, in pieces ------------------------------------------------------------------------ */

static const struct {
    struct slice bytes;
    unsigned argc;
    struct slice argv[4];
    bool is_inline;
} commands[] = {
    {BYTES("*1\r\n$4\r\nPING\r\n"), 1, {BYTES("PING")}, false},
    {BYTES("*2\r\n$3\r\nGET\r\n$0\r\n\r\n"), 2, {BYTES("GET"), BYTES("")}, false},
    {BYTES("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\n\r\n*1\r\n\r\n"),
     3,
     {BYTES("SET"), BYTES("k"), BYTES("\r\n*1\r\n")},
     false},
    {BYTES("*2\r\n$4\r\nECHO\r\n$3\r\n\0\xff\0\r\n"), 2, {BYTES("ECHO"), BYTES("\0\xff\0")}, false},
    /* Redis looks neither at the bytes behind an argument nor at the second of a line's end. */
    {BYTES("*1\r\n$4\r\nPINGXX"), 1, {BYTES("PING")}, false},
    {BYTES("*1\rX$4\rXPING\r\n"), 1, {BYTES("PING")}, false},
    /* Nothing asked, nothing answered. */
    {BYTES("*0\r\n"), 0, {BYTES("")}, false},
    {BYTES("*-1\r\n"), 0, {BYTES("")}, false},
    {BYTES("*-2147483649\r\n"), 0, {BYTES("")}, false},
    {BYTES("\r\n"), 0, {BYTES("")}, true},
    {BYTES("\n"), 0, {BYTES("")}, true},
    {BYTES("  \t \r\n"), 0, {BYTES("")}, true},
    /* Inline. */
    {BYTES("PING\r\n"), 1, {BYTES("PING")}, true},
    {BYTES("PING\n"), 1, {BYTES("PING")}, true},
    {BYTES(" *1\r\n"), 1, {BYTES("*1")}, true},
    {BYTES("  set  a\tb \r\n"), 3, {BYTES("set"), BYTES("a"), BYTES("b")}, true},
    {BYTES("set \"a b\" 'c d'\r\n"), 3, {BYTES("set"), BYTES("a b"), BYTES("c d")}, true},
    {BYTES("set \"\" ''\r\n"), 3, {BYTES("set"), BYTES(""), BYTES("")}, true},
    {BYTES("\"\"\r\n"), 1, {BYTES("")}, true},
    {BYTES("x \"\\x41\\xfF\\n\\r\\t\\b\\a\\\"\\\\\\q\" '\\'\\n'\r\n"),
     3,
     {BYTES("x"), BYTES("A\xff\n\r\t\b\a\"\\q"), BYTES("'\\n")},
     true},
    {BYTES("x \"\\xZZ\\x4\" a\\x41\r\n"), 3, {BYTES("x"), BYTES("xZZx4"), BYTES("a\\x41")}, true},
    {BYTES("a\"b c\"\r\n"), 1, {BYTES("ab c")}, true},
    {BYTES("a\vb\fc \v d\r\n"), 2, {BYTES("a\vb\fc"), BYTES("d")}, true},
    {BYTES("\"a\"\vb\r\n"), 2, {BYTES("a"), BYTES("b")}, true},
    {BYTES("a\rb\r\r\n"), 2, {BYTES("a"), BYTES("b")}, true},
};

static void expect_command(const struct command *command, size_t index)
{
    if (command->argc != commands[index].argc) {
        fail_msg("%zu: %u arguments", index, command->argc);
    }
    assert_int_equal(command->raw.len, commands[index].bytes.len);
    assert_int_equal(command->is_inline, commands[index].is_inline);
    for (unsigned i = 0; i < command->argc; i++) {
        if (!slice_equal(command->argv[i], commands[index].argv[i])) {
            fail_msg("%zu: argument %u is \"%.*s\"", index, i, (int)command->argv[i].len,
                     command->argv[i].data);
        }
    }
}

/* The bytes at another address each time, and not one readable byte behind them. */
static enum parse_status parse_copy(struct command_parser *parser, struct slice bytes, char **copy,
                                    struct command *command)
{
    mem_free(*copy);
    *copy = mem_dup(bytes.data, bytes.len > 0 ? bytes.len : 1);
    return command_parse(parser, *copy, bytes.len, command);
}

static void a_command_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct slice bytes = commands[i].bytes;
        for (size_t cut = 0; cut < bytes.len; cut++) {
            struct command_parser parser;
            struct command command;
            char *copy = NULL;
            command_parser_init(&parser, COMMAND_BULK_MAX);
            enum parse_status status =
                parse_copy(&parser, (struct slice){bytes.data, cut}, &copy, &command);
            assert_int_equal(status, PARSE_MORE);
            assert_int_equal(parse_copy(&parser, bytes, &copy, &command), PARSE_OK);
            expect_command(&command, i);
            mem_free(copy);
            command_parser_fini(&parser);
        }
    }
}

static void commands_may_come_byte_by_byte_one_behind_the_other(void **state)
{
    (void)state;
    struct command_parser parser;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct slice bytes = commands[i].bytes;
        char *copy = NULL;
        for (size_t length = 1; length <= bytes.len; length++) {
            struct command command;
            enum parse_status status =
                parse_copy(&parser, (struct slice){bytes.data, length}, &copy, &command);
            assert_int_equal(status, length == bytes.len ? PARSE_OK : PARSE_MORE);
            if (status == PARSE_OK) {
                expect_command(&command, i);
            }
        }
        mem_free(copy);
    }
    command_parser_trim(&parser);
    command_parser_fini(&parser);
}

static void what_stands_behind_a_command_is_left_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct command_parser parser;
        struct command command;
        struct buffer bytes;
        buffer_init(&bytes, SIZE_MAX);
        buffer_add(&bytes, commands[i].bytes.data, commands[i].bytes.len);
        buffer_add_text(&bytes, "*1\r\n$1\r\nx\r\n");
        command_parser_init(&parser, COMMAND_BULK_MAX);
        struct slice all = buffer_slice(&bytes);
        assert_int_equal(command_parse(&parser, all.data, all.len, &command), PARSE_OK);
        expect_command(&command, i);
        command_parser_fini(&parser);
        buffer_fini(&bytes);
    }
}

static void many_arguments_are_all_there(void **state)
{
    (void)state;
    struct command_parser parser;
    struct command command;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    write_array(&bytes, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        char text[16];
        int length = snprintf(text, sizeof(text), "%u", i);
        write_bulk(&bytes, (struct slice){text, (size_t)length});
    }
    command_parser_init(&parser, COMMAND_BULK_MAX);
    struct slice all = buffer_slice(&bytes);
    assert_int_equal(command_parse(&parser, all.data, all.len - 1, &command), PARSE_MORE);
    assert_int_equal(command_parse(&parser, all.data, all.len, &command), PARSE_OK);
    assert_int_equal(command.argc, 100000);
    assert_true(slice_equal(command.argv[99999], SLICE("99999")));
    command_parser_trim(&parser);
    assert_int_equal(parser.capacity, 0);
    command_parser_fini(&parser);
    buffer_fini(&bytes);
}

/* Neither a count nor a length makes it take memory before the bytes are there. */
static void announced_sizes_cost_nothing(void **state)
{
    (void)state;
    struct command_parser parser;
    struct command command;
    static const char bytes[] = "*2147483647\r\n$536870912\r\nabc";
    command_parser_init(&parser, COMMAND_BULK_MAX);
    assert_int_equal(command_parse(&parser, bytes, sizeof(bytes) - 1, &command), PARSE_MORE);
    assert_int_equal(parser.capacity, 0);
    assert_int_equal(command_parser_needs(&parser), 25 + ((size_t)512 << 20) + 2);
    command_parser_fini(&parser);
}

/* --- beside a real server -------------------------------------------------------------------- */

static const struct slice errors[] = {
    BYTES("*2147483648\r\n"),
    BYTES("*9223372036854775808\r\n"),
    BYTES("*abc\r\n"),
    BYTES("*\r\n"),
    BYTES("*+1\r\n"),
    BYTES("*01\r\n"),
    BYTES("*-0\r\n"),
    BYTES("*-01\r\n"),
    BYTES("* 1\r\n"),
    BYTES("*1 \r\n"),
    BYTES("*1\n\r\n"),
    BYTES("*0x1\r\n"),
    BYTES("*-9223372036854775809\r\n"),
    BYTES("*1\r\n$536870913\r\n"),
    BYTES("*1\r\n$9223372036854775808\r\n"),
    BYTES("*1\r\n$-1\r\n"),
    BYTES("*1\r\n$-2\r\n"),
    BYTES("*1\r\n$01\r\n"),
    BYTES("*1\r\n$+1\r\n"),
    BYTES("*1\r\n$\r\n"),
    BYTES("*1\r\n$a\r\n"),
    BYTES("*1\r\n$ 1\r\n"),
    BYTES("*1\r\n$1 \r\n"),
    BYTES("*1\r\n$-0\r\n"),
    BYTES("*1\r\nPING\r\n"),
    BYTES("*1\r\n*1\r\n"),
    BYTES("*1\r\n:1\r\n"),
    BYTES("*1\r\n\r\n"),
    BYTES("*1\r\n\n\r\n"),
    BYTES("*1\r\n \r\n"),
    BYTES("*1\r\n\xff\r\n"),
    BYTES("*2\r\n$4\r\nECHO\r\n+a\r\n"),
    BYTES("*2\r\n$4\r\nECHO\r\n$4294967296\r\n"),
    BYTES("GET \"a\r\n"),
    BYTES("GET 'a\r\n"),
    BYTES("GET \"a\"b\r\n"),
    BYTES("GET 'a'b\r\n"),
    BYTES("\"\\\"\r\n"),
    BYTES("GET \"a\\\r\n"),
    BYTES("'\\'\r\n"),
};

/* Our error for the bytes, as a server would send it. */
static char *our_error(struct slice bytes)
{
    struct command_parser parser;
    struct command command;
    char *text;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    enum parse_status status = command_parse(&parser, bytes.data, bytes.len, &command);
    if (status == PARSE_BAD) {
        text = mem_printf("-ERR Protocol error: %s\r\n", parser.error);
    } else {
        text = mem_printf(status == PARSE_OK ? "(a command)" : "(more)");
    }
    command_parser_fini(&parser);
    return text;
}

static void expect_error_of_redis(struct slice bytes)
{
    struct buffer answer;
    buffer_init(&answer, SIZE_MAX);
    int fd = raw_connect(redis_server_port(server));
    assert_true(raw_send(fd, bytes));
    bool is_closed = raw_read_to_end(fd, &answer);
    buffer_add(&answer, "", 1);
    char *ours = our_error(bytes);
    if (!is_closed || strcmp(buffer_slice(&answer).data, ours) != 0) {
        fail_msg("for %.40s redis says %s, we say %s", bytes.data, buffer_slice(&answer).data,
                 ours);
    }
    mem_free(ours);
    (void)close(fd);
    buffer_fini(&answer);
}

static void every_protocol_error_is_worded_as_by_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        expect_error_of_redis(errors[i]);
    }
}

static void expect_restricted(struct slice bytes, const char *error)
{
    struct command_parser parser;
    struct command command;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    command_parser_restrict(&parser, true);
    /* Byte by byte, and none behind the header is waited for. */
    for (size_t size = 1; size <= bytes.len; size++) {
        enum parse_status status = command_parse(&parser, bytes.data, size, &command);
        bool is_whole = size == bytes.len;
        assert_int_equal(status, !is_whole ? PARSE_MORE : error != NULL ? PARSE_BAD : PARSE_OK);
    }
    if (error != NULL) {
        assert_string_equal(parser.error, error);
    }
    command_parser_fini(&parser);
}

static void a_restricted_parser_takes_few_and_small_arguments(void **state)
{
    (void)state;
    static char largest[16384 + 32] = "*1\r\n$16384\r\n";
    expect_restricted(SLICE("*11\r\n"), "unauthenticated multibulk length");
    expect_restricted(SLICE("*2\r\n$0\r\n\r\n$16385\r\n"), "unauthenticated bulk length");
    expect_restricted(SLICE("*1\r\n$536870913\r\n"), "invalid bulk length");
    expect_restricted(SLICE("*2147483648\r\n"), "invalid multibulk length");
    expect_restricted(SLICE("*10\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"
                            "$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"),
                      NULL);
    expect_restricted((struct slice){largest, strlen(largest) + 16384 + 2}, NULL);
}

static void a_parser_is_restricted_from_one_command_to_another(void **state)
{
    (void)state;
    struct command_parser parser;
    struct command command;
    struct slice twelve =
        SLICE("*12\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"
              "$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n");
    command_parser_init(&parser, COMMAND_BULK_MAX);
    for (unsigned i = 0; i < 2; i++) {
        command_parser_restrict(&parser, true);
        assert_int_equal(command_parse(&parser, "PING\r\n", 6, &command), PARSE_OK);
        command_parser_restrict(&parser, false);
        assert_int_equal(command_parse(&parser, twelve.data, twelve.len, &command), PARSE_OK);
        assert_int_equal(command.argc, 12);
    }
    /* One that had begun goes on. */
    assert_int_equal(command_parse(&parser, twelve.data, 20, &command), PARSE_MORE);
    command_parser_restrict(&parser, true);
    assert_int_equal(command_parse(&parser, twelve.data, twelve.len, &command), PARSE_OK);
    assert_int_equal(command_parse(&parser, twelve.data, twelve.len, &command), PARSE_BAD);
    command_parser_fini(&parser);
}

/* A line without an end: an error once it is longer than 64 kB. */
static void endless_lines_are_refused_as_by_redis(void **state)
{
    (void)state;

    static const struct {
        const char *begin;
        char filler;
    } lines[] = {{"", 'x'}, {"*", '1'}, {"*1\r\n$", '1'}, {"*1\r\n", 'x'}};

    for (size_t i = 0; i < COUNT(lines); i++) {
        struct buffer bytes;
        buffer_init(&bytes, SIZE_MAX);
        buffer_add_text(&bytes, lines[i].begin);
        char *room = buffer_reserve(&bytes, COMMAND_INLINE_MAX);
        memset(room, lines[i].filler, COMMAND_INLINE_MAX);
        buffer_commit(&bytes, COMMAND_INLINE_MAX);
        struct slice whole = buffer_slice(&bytes);
        /* At most 64 kB behind the last line's end: it may still become something. */
        size_t at_limit = COMMAND_INLINE_MAX + (i == 2 || i == 3 ? 4 : 0);
        char *ours = our_error((struct slice){whole.data, at_limit});
        assert_string_equal(ours, "(more)");
        mem_free(ours);
        buffer_add(&bytes, &lines[i].filler, 1);
        expect_error_of_redis(buffer_slice(&bytes));
        buffer_fini(&bytes);
    }
}

/* The words of a random line, as Redis splits them and returns them from a script. */
static void read_reply(int fd, struct slice line, struct buffer *pending, struct buffer *reply)
{
    assert_true(raw_send(fd, line));
    assert_true(raw_read_reply(fd, pending, reply));
}

static void random_line(struct random *random, struct buffer *line)
{
    static const char alphabet[] = "ab \t\v\f\r\"'\\xn41Ff\x80";
    uint64_t length = random_below(random, 24);
    buffer_add_text(line, "EVAL \"return ARGV\" 0 ");
    for (uint64_t i = 0; i < length; i++) {
        buffer_add(line, &alphabet[random_below(random, sizeof(alphabet) - 1)], 1);
    }
    buffer_add_text(line, "\r\n");
}

static void write_our_answer(struct slice line, struct buffer *answer)
{
    struct command_parser parser;
    struct command command;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    if (command_parse(&parser, line.data, line.len, &command) == PARSE_OK) {
        assert_int_equal(command.raw.len, line.len);
        write_array(answer, command.argc - 3);
        for (unsigned i = 3; i < command.argc; i++) {
            write_bulk(answer, command.argv[i]);
        }
    } else {
        buffer_printf(answer, "-ERR Protocol error: %s\r\n", parser.error);
    }
    command_parser_fini(&parser);
}

static void inline_words_are_split_as_by_redis(void **state)
{
    (void)state;
    struct random random;
    random_seed(&random, scratch_seed());
    struct buffer pending, line, reply, ours;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&line, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    buffer_init(&ours, SIZE_MAX);
    int fd = raw_connect(redis_server_port(server));
    for (int i = 0; i < RANDOM_LINES; i++) {
        buffer_clear(&line);
        buffer_clear(&reply);
        buffer_clear(&ours);
        random_line(&random, &line);
        read_reply(fd, buffer_slice(&line), &pending, &reply);
        write_our_answer(buffer_slice(&line), &ours);
        if (!slice_equal(buffer_slice(&reply), buffer_slice(&ours))) {
            fail_msg("line %s: redis %.*s, we %.*s", buffer_slice(&line).data,
                     (int)buffer_length(&reply), buffer_slice(&reply).data,
                     (int)buffer_length(&ours), buffer_slice(&ours).data);
        }
        if (buffer_slice(&reply).data[0] == '-') {
            (void)close(fd);
            fd = raw_connect(redis_server_port(server));
            buffer_clear(&pending);
        }
    }
    (void)close(fd);
    buffer_fini(&pending);
    buffer_fini(&line);
    buffer_fini(&reply);
    buffer_fini(&ours);
}

/* --- commands that are let pass -------------------------------------------------------------- */

static const char passing[] = "*5\r\n$4\r\nHSET\r\n$1\r\nk\r\n$4\r\n\r\n$1\r\n$12\r\n"
                              "*1\r\n$4\r\nPING\r\n$0\r\n\r\n+more";
static const size_t passing_length = sizeof(passing) - 1 - 5;

static void what_is_there_of_a_begun_command_is_seen(void **state)
{
    struct command_parser parser;
    struct command command;
    (void)state;
    command_parser_init(&parser, COMMAND_BULK_MAX);
    size_t size = (size_t)(strstr(passing, "$12") - passing);
    assert_int_equal(command_parse(&parser, passing, size + 2, &command), PARSE_MORE);
    assert_false(command_parser_begun(&parser, passing, size + 2, 5, &command)); /* between two */
    assert_int_equal(command_parse(&parser, passing, size + 7, &command), PARSE_MORE);
    assert_false(command_parser_begun(&parser, passing, size + 7, 4, &command));
    assert_true(command_parser_begun(&parser, passing, size + 7, 5, &command));
    assert_int_equal(command.argc, 5);
    assert_true(slice_equal(command.argv[0], SLICE("HSET")));
    assert_true(slice_equal(command.argv[1], SLICE("k")));
    assert_true(slice_equal(command.argv[2], SLICE("\r\n$1")));
    assert_null(command.argv[3].data);
    assert_null(command.argv[4].data);
    /* It may still be kept until it is whole. */
    assert_int_equal(command_parse(&parser, passing, passing_length, &command), PARSE_OK);
    assert_true(slice_equal(command.argv[3], SLICE("*1\r\n$4\r\nPING")));
    command_parser_fini(&parser);
}

/* All of it up to `begun`, then up to `cut`, then the rest. Returns where it ended. */
static size_t pass_in_three(struct command_parser *parser, size_t begun, size_t cut)
{
    size_t at = begun, used;
    command_parser_let_pass(parser, begun);
    enum parse_status status = command_pass(parser, passing + at, cut - at, &used);
    at += used;
    if (status == PARSE_MORE) {
        assert_true(cut - at < 6); /* no more than a header is left */
        status = command_pass(parser, passing + at, sizeof(passing) - 1 - at, &used);
        at += used;
    }
    assert_int_equal(status, PARSE_OK);
    return at;
}

static void a_command_that_is_let_pass_ends_where_it_ends_wherever_it_is_cut(void **state)
{
    unsigned passed = 0;
    (void)state;
    for (size_t begun = 1; begun < passing_length; begun++) {
        for (size_t cut = begun; cut < sizeof(passing); cut++) {
            struct command_parser parser;
            struct command command;
            command_parser_init(&parser, COMMAND_BULK_MAX);
            assert_int_equal(command_parse(&parser, passing, begun, &command), PARSE_MORE);
            if (command_parser_begun(&parser, passing, begun, 5, &command)) {
                assert_int_equal(pass_in_three(&parser, begun, cut), passing_length);
                struct slice next = SLICE("*1\r\n$4\r\nPING\r\n");
                assert_int_equal(command_parse(&parser, next.data, next.len, &command), PARSE_OK);
                passed++;
            }
            command_parser_fini(&parser);
        }
    }
    assert_true(passed > 500);
}

static void what_passes_has_the_limits_and_errors_of_what_is_kept(void **state)
{
    static const struct {
        const char *rest, *error;
    } broken[] = {
        {"$5\r\n12345\r\n", "invalid bulk length"},
        {"$-1\r\n", "invalid bulk length"},
        {":1\r\n", "expected '$', got ':'"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct command_parser parser;
        struct command command;
        size_t used;
        struct slice front = SLICE("*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nab");
        command_parser_init(&parser, 4);
        assert_int_equal(command_parse(&parser, front.data, front.len, &command), PARSE_MORE);
        assert_true(command_parser_begun(&parser, front.data, front.len, 4, &command));
        command_parser_let_pass(&parser, front.len);
        assert_int_equal(command_pass(&parser, "cd\r\n", 4, &used), PARSE_MORE);
        assert_int_equal(used, 4);
        assert_int_equal(command_pass(&parser, broken[i].rest, strlen(broken[i].rest), &used),
                         PARSE_BAD);
        assert_string_equal(parser.error, broken[i].error);
        command_parser_fini(&parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_of_a_begun_command_is_seen),
        cmocka_unit_test(a_command_that_is_let_pass_ends_where_it_ends_wherever_it_is_cut),
        cmocka_unit_test(what_passes_has_the_limits_and_errors_of_what_is_kept),
        cmocka_unit_test(a_command_may_be_cut_anywhere),
        cmocka_unit_test(commands_may_come_byte_by_byte_one_behind_the_other),
        cmocka_unit_test(what_stands_behind_a_command_is_left_alone),
        cmocka_unit_test(many_arguments_are_all_there),
        cmocka_unit_test(announced_sizes_cost_nothing),
        cmocka_unit_test(every_protocol_error_is_worded_as_by_redis),
        cmocka_unit_test(a_restricted_parser_takes_few_and_small_arguments),
        cmocka_unit_test(a_parser_is_restricted_from_one_command_to_another),
        cmocka_unit_test(endless_lines_are_refused_as_by_redis),
        cmocka_unit_test(inline_words_are_split_as_by_redis),
    };
    return cmocka_run_group_tests_name("command_parser", tests, start, stop);
}
