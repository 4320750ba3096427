#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/command/arguments.h"

/* A command line of words between blanks. `arguments` points into it. */
struct line {
    char text[256];
    char *argv[24];
    int argc;
};

static void line_init(struct line *line, const char *words)
{
    (void)snprintf(line->text, sizeof(line->text), "sluicectl %s", words);
    line->argc = 0;
    char *rest = line->text;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        if (word[0] != '\0') {
            line->argv[line->argc++] = word;
        }
    }
}

static bool parse(struct line *line, const char *words, struct arguments *arguments,
                  struct error *err)
{
    line_init(line, words);
    return arguments_parse(arguments, line->argc, line->argv, err);
}

static void options_and_words_may_stand_in_any_order(void **state)
{
    (void)state;
    struct line line;
    struct arguments arguments;
    struct error err;
    assert_true(parse(&line, "--store file:x split --to=s3 s1 --wait --json --share 0.25",
                      &arguments, &err));
    assert_string_equal(arguments.command->name, "split");
    assert_string_equal(arguments.settings.store, "file:x");
    assert_string_equal(arguments.settings.to, "s3");
    assert_string_equal(arguments.settings.share, "0.25");
    assert_true(arguments.settings.is_waiting);
    assert_true(arguments.settings.is_json);
    assert_int_equal(arguments.npositional, 1);
    assert_string_equal(arguments.positional[0], "s1");
    arguments_fini(&arguments);
}

static void a_command_may_have_two_words(void **state)
{
    (void)state;
    struct line line;
    struct arguments arguments;
    struct error err;
    assert_true(parse(&line, "plan drain s1 --keys-per-second 100", &arguments, &err));
    assert_string_equal(arguments.command->name, "plan drain");
    assert_int_equal(arguments.settings.keys_per_second, 100);
    arguments_fini(&arguments);
}

static void behind_two_dashes_all_are_words(void **state)
{
    (void)state;
    struct line line;
    struct arguments arguments;
    struct error err;
    assert_true(parse(&line, "explain -- --json", &arguments, &err));
    assert_string_equal(arguments.positional[0], "--json");
    assert_false(arguments.settings.is_json);
    assert_false(arguments_want_json(line.argc, line.argv));
    arguments_fini(&arguments);
}

static void help_and_version_need_nothing_else(void **state)
{
    (void)state;
    struct line line;
    struct arguments arguments;
    struct error err;
    assert_true(parse(&line, "split --help", &arguments, &err));
    assert_int_equal(arguments.action, OPTIONS_HELP);
    assert_string_equal(arguments.command->name, "split");
    arguments_fini(&arguments);
    assert_true(parse(&line, "shard -h", &arguments, &err));
    assert_string_equal(arguments.group, "shard");
    assert_null(arguments.command);
    arguments_fini(&arguments);
    assert_true(parse(&line, "--version", &arguments, &err));
    assert_int_equal(arguments.action, OPTIONS_VERSION);
    arguments_fini(&arguments);
}

static void what_makes_no_sense_is_said(void **state)
{
    (void)state;

    static const struct {
        const char *words;
        const char *message; /* a part of it */
    } cases[] = {
        {"", "no command was given"},
        {"splitt", "there is no command \"splitt\""},
        {"shard", "\"shard\" needs a second word"},
        {"shard move", "there is no command \"shard move\""},
        {"split", "\"split\" needs SHARD"},
        {"split s1 s2", "\"split\" does not take \"s2\""},
        {"split s1 --to", "--to needs a value"},
        {"split s1 --adopt", "\"split\" has no option --adopt"},
        {"--wait split", "no option --wait before the command"},
        {"split s1 --hold-max soon", "\"hold-max\" must be a duration"},
        {"split s1 --hold-max 1h",
         "\"hold-max\" must be a duration like 250ms, 10s or 5m, 10ms to 1m"},
        {"split s1 --to s2 --timeout 1s", "give --wait, too"},
        {"proxies p1", "\"proxies\" does not take \"p1\""},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct line line;
        struct arguments arguments;
        struct error err = {.text = ""};
        assert_false(parse(&line, cases[i].words, &arguments, &err));
        if (strstr(err.text, cases[i].message) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].message);
        }
        arguments_fini(&arguments);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_may_stand_in_any_order),
        cmocka_unit_test(a_command_may_have_two_words),
        cmocka_unit_test(behind_two_dashes_all_are_words),
        cmocka_unit_test(help_and_version_need_nothing_else),
        cmocka_unit_test(what_makes_no_sense_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
