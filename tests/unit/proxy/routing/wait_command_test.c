#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "proxy/routing/wait_command.h"

#define WORDS_MAX 16

static unsigned split(const char *words, struct slice *argv)
{
    unsigned argc = 0;
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        argv[argc++] = (struct slice){words, length};
        words += length + (words[length] == ' ');
    }
    return argc;
}

static bool read_words(const char *words, struct slice *argv, unsigned *argc,
                       struct wait_command *form)
{
    *argc = split(words, argv);
    const struct command_info *info = command_find(command_table_builtin(), argv, *argc);
    assert_non_null(info);
    return wait_command_read(info, argv, *argc, form);
}

/* The words of the command as it is written in this variant. */
static void expect_written(const char *words, struct wait_variant variant, const char *wanted)
{
    struct slice argv[WORDS_MAX];
    unsigned argc;
    struct wait_command form;
    struct buffer out, text;
    struct command command;
    struct command_parser parser;
    buffer_init(&out, SIZE_MAX);
    buffer_init(&text, SIZE_MAX);
    assert_true(read_words(words, argv, &argc, &form));
    wait_command_write(&form, argv, argc, &variant, &out);
    command_parser_init(&parser, UINT64_MAX);
    struct slice bytes = buffer_slice(&out);
    assert_int_equal(command_parse(&parser, bytes.data, bytes.len, &command), PARSE_OK);
    assert_int_equal(command.raw.len, bytes.len);
    for (unsigned i = 0; i < command.argc; i++) {
        buffer_printf(&text, "%s%.*s", i > 0 ? " " : "", (int)command.argv[i].len,
                      command.argv[i].data);
    }
    buffer_add(&text, "", 1);
    assert_string_equal(buffer_slice(&text).data, wanted);
    command_parser_fini(&parser);
    buffer_fini(&out);
    buffer_fini(&text);
}

static const struct wait_variant as_it_stands = {ALL_KEYS, WAIT_FOR_EVER, false};

static void every_command_is_written_as_it_came(void **state)
{
    static const char *const commands[] = {
        "BLPOP a b 0",
        "BRPOP a 1.5",
        "BLMOVE a b LEFT RIGHT 0",
        "BRPOPLPUSH a b 3",
        "BLMPOP 0 2 a b LEFT COUNT 3",
        "BZPOPMIN a b 0",
        "BZPOPMAX a 0",
        "BZMPOP 0 1 a MIN",
        "XREAD COUNT 2 BLOCK 5 STREAMS a b $ 0-1",
        "XREADGROUP GROUP g c BLOCK 5 NOACK STREAMS a >",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        expect_written(commands[i], as_it_stands, commands[i]);
    }
}

static void the_time_that_is_left_is_written_in_the_commands_own_unit(void **state)
{
    (void)state;
    const struct wait_variant variant = {ALL_KEYS, 1234567, false};
    expect_written("BLPOP a b 9", variant, "BLPOP a b 1.234567");
    expect_written("BLMPOP 9 2 a b LEFT", variant, "BLMPOP 1.234567 2 a b LEFT");
    expect_written("XREAD BLOCK 9000 STREAMS a 0", variant, "XREAD BLOCK 1235 STREAMS a 0");
    const struct wait_variant last = {ALL_KEYS, 1, false};
    expect_written("BLPOP a 9", last, "BLPOP a 0.000001");
    expect_written("XREAD BLOCK 9000 STREAMS a 0", last, "XREAD BLOCK 1 STREAMS a 0");
}

static void one_key_can_stand_alone(void **state)
{
    (void)state;
    const struct wait_variant first = {0, WAIT_FOR_EVER, false};
    const struct wait_variant second = {1, WAIT_FOR_EVER, false};
    expect_written("BLPOP a b 0", first, "BLPOP a 0");
    expect_written("BLPOP a b 0", second, "BLPOP b 0");
    expect_written("BLMOVE a b LEFT RIGHT 0", first, "BLMOVE a b LEFT RIGHT 0");
    expect_written("BLMPOP 0 2 a b LEFT COUNT 2", second, "BLMPOP 0 1 b LEFT COUNT 2");
    expect_written("BZMPOP 0 3 a b c MAX", second, "BZMPOP 0 1 b MAX");
    expect_written("XREADGROUP GROUP g c BLOCK 0 STREAMS a b > >", second,
                   "XREADGROUP GROUP g c BLOCK 0 STREAMS b >");
}

static void a_stream_can_be_read_without_waiting(void **state)
{
    (void)state;
    const struct wait_variant variant = {ALL_KEYS, WAIT_FOR_EVER, true};
    expect_written("XREAD COUNT 2 BLOCK 5 STREAMS a b 1 2", variant,
                   "XREAD COUNT 2 STREAMS a b 1 2");
    expect_written("XREAD BLOCK 5 STREAMS a 1", variant, "XREAD STREAMS a 1");
    expect_written("BLPOP a 5", variant, "BLPOP a 5");
}

static void what_does_not_fit_is_the_shards_to_refuse(void **state)
{
    static const char *const commands[] = {
        "BLMPOP 0 0 a LEFT",
        "BLMPOP 0 x a LEFT",
        "BLMPOP 0 2 a LEFT",
        "XREAD BLOCK 0 STREAMS a b 0",
        "XREAD BLOCK 0 STREAMS",
        "XREAD STREAMS a 0",
        "XREAD BLOCK 0 COUNT 1",
        "XREADGROUP BLOCK 0 STREAMS a >",
        "XREAD GROUP g c BLOCK 0 STREAMS a 0",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct slice argv[WORDS_MAX];
        unsigned argc;
        struct wait_command form;
        if (read_words(commands[i], argv, &argc, &form)) {
            fail_msg("%s was read", commands[i]);
        }
    }
}

static void time_outs_are_read_in_the_commands_own_unit(void **state)
{
    static const struct {
        const char *command;
        bool is_read;
        uint64_t timeout_us;
    } cases[] = {
        {"BLPOP a 0", true, WAIT_FOR_EVER},
        {"BLPOP a 0.0000001", true, 1},
        {"BLPOP a 1.5", true, 1500000},
        {"BLPOP a -1", false, 0},
        {"BLPOP a x", false, 0},
        {"BLPOP a 1e10", false, 0},
        {"BZMPOP 2 1 a MIN", true, 2000000},
        {"XREAD BLOCK 0 STREAMS a 0", true, WAIT_FOR_EVER},
        {"XREAD BLOCK 15 STREAMS a 0", true, 15000},
        {"XREAD BLOCK 1.5 STREAMS a 0", false, 0},
        {"XREAD BLOCK -1 STREAMS a 0", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice argv[WORDS_MAX];
        unsigned argc;
        uint64_t timeout_us = 0;
        struct wait_command form;
        assert_true(read_words(cases[i].command, argv, &argc, &form));
        assert_int_equal(wait_command_timeout(&form, argv, &timeout_us), cases[i].is_read);
        if (cases[i].is_read) {
            assert_int_equal(timeout_us, cases[i].timeout_us);
        }
    }
}

static void who_takes_waits_for_its_turn_and_who_reads_does_not(void **state)
{
    static const struct {
        const char *command;
        bool takes_turns, is_open;
    } cases[] = {
        {"BLPOP a 0", true, false},
        {"BZMPOP 0 1 a MIN", true, false},
        {"XREAD BLOCK 0 STREAMS a 0", false, false},
        {"XREAD BLOCK 0 STREAMS a $", false, true},
        {"XREADGROUP GROUP g c BLOCK 0 STREAMS a >", true, false},
        {"XREADGROUP GROUP g c BLOCK 0 STREAMS a b > 0", false, false},
        {"XREADGROUP GROUP g c BLOCK 0 STREAMS a $", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice argv[WORDS_MAX];
        unsigned argc;
        struct wait_command form;
        assert_true(read_words(cases[i].command, argv, &argc, &form));
        assert_int_equal(wait_command_takes_turns(&form, argv), cases[i].takes_turns);
        assert_int_equal(wait_command_is_open(&form, argv, 0), cases[i].is_open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_written_as_it_came),
        cmocka_unit_test(the_time_that_is_left_is_written_in_the_commands_own_unit),
        cmocka_unit_test(one_key_can_stand_alone),
        cmocka_unit_test(a_stream_can_be_read_without_waiting),
        cmocka_unit_test(what_does_not_fit_is_the_shards_to_refuse),
        cmocka_unit_test(time_outs_are_read_in_the_commands_own_unit),
        cmocka_unit_test(who_takes_waits_for_its_turn_and_who_reads_does_not),
    };
    return cmocka_run_group_tests_name("wait_command", tests, NULL, NULL);
}
