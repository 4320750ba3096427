#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/options.h"

struct settings {
    char *listen;
    char *store;
    uint64_t threads;
    uint64_t hold_max_ms;
    uint64_t large_bytes;
    uint64_t anything;
    bool is_quiet;
    char *level, *password, *long_one;
};

static const struct option_spec specs[] = {
    {"listen", OPTION_TEXT, offsetof(struct settings, listen), "127.0.0.1:6380", 0, 0,
     OPTION_AT_START, "where clients connect", "HOST:PORT"},
    {"store", OPTION_TEXT, offsetof(struct settings, store), NULL, 0, 0, OPTION_RELOADABLE,
     "the store", NULL},
    {"threads", OPTION_NUMBER, offsetof(struct settings, threads), "2", 1, 256, OPTION_AT_START,
     "worker threads", NULL},
    {"hold-max", OPTION_DURATION, offsetof(struct settings, hold_max_ms), "250ms", 10, 60000,
     OPTION_RELOADABLE, "the longest hold", NULL},
    {"large-key", OPTION_SIZE, offsetof(struct settings, large_bytes), "64kb", 0, 1 << 20,
     OPTION_AT_START, "above this a key is large", NULL},
    {"anything", OPTION_NUMBER, offsetof(struct settings, anything), "0", 0, 0,
     OPTION_ON_COMMAND_LINE, "a number without a range", NULL},
    {"quiet", OPTION_FLAG, offsetof(struct settings, is_quiet), NULL, 0, 0, OPTION_RELOADABLE,
     "say less", NULL},
    {"level", OPTION_WORD, offsetof(struct settings, level), "warn", 0, 0, OPTION_RELOADABLE,
     "how much is said", "error|warn|info"},
    {"password", OPTION_SECRET, offsetof(struct settings, password), NULL, 0, 0, OPTION_RELOADABLE,
     "known to few", NULL},
    {"an-option-with-a-name-that-is-long", OPTION_TEXT, offsetof(struct settings, long_one), NULL,
     0, 0, OPTION_AT_START, "long", "FILE"},
};

static const struct option_table table = {.program = "sluice-test",
                                          .usage = "[options]",
                                          .about = "A program for a test.",
                                          .specs = specs,
                                          .count = sizeof(specs) / sizeof(specs[0])};

struct fixture {
    struct settings settings;
    struct error err;
    enum options_action action;
    char path[64];
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof(*fixture));
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/sluice-options-XXXXXX");
    int fd = mkstemp(fixture->path);
    assert_true(fd >= 0);
    (void)close(fd);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    options_free(&table, &fixture->settings);
    (void)unlink(fixture->path);
    mem_free(fixture);
    return 0;
}

#define MAX_ARGUMENTS 8

/* Arguments end with a null; "@" stands for the path of the file. */
static bool load(struct fixture *fixture, const char *const *arguments)
{
    char *argv[MAX_ARGUMENTS + 2];
    int argc = 0;
    argv[argc++] = mem_strdup("sluice-test");
    for (; *arguments != NULL; arguments++) {
        assert_in_range(argc, 0, MAX_ARGUMENTS);
        argv[argc++] = mem_strdup(strcmp(*arguments, "@") == 0 ? fixture->path : *arguments);
    }
    options_free(&table, &fixture->settings);
    memset(&fixture->settings, 0, sizeof(fixture->settings));
    fixture->err.text[0] = '\0';
    bool ok = options_load(&table, &fixture->settings, argc, argv, &fixture->action, &fixture->err);
    while (argc > 0) {
        mem_free(argv[--argc]);
    }
    return ok;
}

#define LOAD(fixture, ...) load(fixture, (const char *const[]){__VA_ARGS__, NULL})

static void write_file(const struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void defaults_stand_where_nothing_is_said(void **state)
{
    struct fixture *fixture = *state;
    assert_true(LOAD(fixture, NULL));
    assert_int_equal(fixture->action, OPTIONS_RUN);
    assert_string_equal(fixture->settings.listen, "127.0.0.1:6380");
    assert_null(fixture->settings.store);
    assert_int_equal(fixture->settings.threads, 2);
    assert_int_equal(fixture->settings.hold_max_ms, 250);
    assert_int_equal(fixture->settings.large_bytes, 65536);
    assert_false(fixture->settings.is_quiet);
}

static void the_command_line_takes_both_forms(void **state)
{
    struct fixture *fixture = *state;
    assert_true(LOAD(fixture, "--threads", "8", "--listen=:7000", "--quiet", "--hold-max=2s"));
    assert_int_equal(fixture->settings.threads, 8);
    assert_string_equal(fixture->settings.listen, ":7000");
    assert_int_equal(fixture->settings.hold_max_ms, 2000);
    assert_true(fixture->settings.is_quiet);
    assert_true(LOAD(fixture, "--quiet", "--quiet=no", "--store="));
    assert_false(fixture->settings.is_quiet);
    assert_string_equal(fixture->settings.store, "");
}

static void the_command_line_wins_over_the_file_wherever_it_stands(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "# a comment\n"
                        "threads = 4\n"
                        "; another\n"
                        "\n"
                        "listen=0.0.0.0:1 ; why\n"
                        "   \tquiet = yes\n"
                        "store = file:/x=y\n");
    assert_true(LOAD(fixture, "--threads", "8", "--config", "@"));
    assert_int_equal(fixture->settings.threads, 8);
    assert_string_equal(fixture->settings.listen, "0.0.0.0:1");
    assert_string_equal(fixture->settings.store, "file:/x=y");
    assert_true(fixture->settings.is_quiet);
    assert_true(LOAD(fixture, "--config", "@", "--threads=9"));
    assert_int_equal(fixture->settings.threads, 9);
}

static void an_indented_line_is_an_option_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "listen = a:1\n  threads = 4\n");
    assert_true(LOAD(fixture, "--config", "@"));
    assert_string_equal(fixture->settings.listen, "a:1");
    assert_int_equal(fixture->settings.threads, 4);
}

static void the_ends_of_a_range_are_taken(void **state)
{
    struct fixture *fixture = *state;
    assert_true(LOAD(fixture, "--threads=1", "--hold-max=10ms", "--large-key=0"));
    assert_true(LOAD(fixture, "--threads=256", "--hold-max=1m", "--large-key=1mb"));
    assert_true(LOAD(fixture, "--anything=18446744073709551615"));
    assert_true(LOAD(fixture, "--level=error"));
    assert_true(LOAD(fixture, "--level=info"));
    assert_string_equal(fixture->settings.level, "info");
}

static void actions_are_told(void **state)
{
    struct fixture *fixture = *state;
    assert_true(LOAD(fixture, "--help"));
    assert_int_equal(fixture->action, OPTIONS_HELP);
    assert_true(LOAD(fixture, "-h"));
    assert_int_equal(fixture->action, OPTIONS_HELP);
    assert_true(LOAD(fixture, "--threads", "3", "--version"));
    assert_int_equal(fixture->action, OPTIONS_VERSION);
    assert_true(LOAD(fixture, "-V"));
    assert_int_equal(fixture->action, OPTIONS_VERSION);
    assert_true(LOAD(fixture, "--check-config", "--threads", "3"));
    assert_int_equal(fixture->action, OPTIONS_CHECK);
    assert_int_equal(fixture->settings.threads, 3);
    assert_true(LOAD(fixture, "--listen", "--help"));
    assert_int_equal(fixture->action, OPTIONS_RUN);
    assert_string_equal(fixture->settings.listen, "--help");
}

static void a_wrong_command_line_is_told_word_for_word(void **state)
{
    static const struct {
        const char *arguments[3];
        const char *message;
    } cases[] = {
        {{"stray"}, "\"stray\" is not an option; see sluice-test --help"},
        {{"-x"}, "\"-x\" is not an option; see sluice-test --help"},
        {{"--nothing", "1"}, "there is no option --nothing; see sluice-test --help"},
        {{"--"}, "there is no option --; see sluice-test --help"},
        {{"--threads"}, "option --threads needs a value"},
        {{"--config"}, "option --config needs a value"},
        {{"--threads", "many"}, "\"threads\" must be a number, 1 to 256, not \"many\""},
        {{"--threads", "0"}, "\"threads\" must be a number, 1 to 256, not \"0\""},
        {{"--threads=257"}, "\"threads\" must be a number, 1 to 256, not \"257\""},
        {{"--hold-max", "5d"},
         "\"hold-max\" must be a duration like 250ms, 10s or 5m, 10ms to 1m, not \"5d\""},
        {{"--hold-max", "2m"},
         "\"hold-max\" must be a duration like 250ms, 10s or 5m, 10ms to 1m, not \"2m\""},
        {{"--large-key", "1tb"},
         "\"large-key\" must be a size like 64kb or 1mb, 0 to 1mb, not \"1tb\""},
        {{"--large-key", "2mb"},
         "\"large-key\" must be a size like 64kb or 1mb, 0 to 1mb, not \"2mb\""},
        {{"--anything", "x"}, "\"anything\" must be a number, not \"x\""},
        {{"--quiet", "no"}, "a flag takes its value as --NAME=no: --quiet=no, not --quiet no"},
        {{"--level", "loud"}, "\"level\" must be error, warn or info, not \"loud\""},
        {{"--level", "warn|info"}, "\"level\" must be error, warn or info, not \"warn|info\""},
        {{"--level=err"}, "\"level\" must be error, warn or info, not \"err\""},
        {{"--level="}, "\"level\" must be error, warn or info, not \"\""},
        {{"--quiet=maybe"}, "\"quiet\" must be yes or no, not \"maybe\""},
        {{"--config", "/nonexistent"}, "cannot read \"/nonexistent\": No such file or directory"},
        {{"--config", "/tmp"}, "cannot read \"/tmp\": Is a directory"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = *state;
        assert_false(load(fixture, cases[i].arguments));
        assert_string_equal(fixture->err.text, cases[i].message);
    }
}

static void a_wrong_file_is_told_with_its_first_bad_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *reason;
    } cases[] = {
        {"threads = 0\n", 1, "\"threads\" must be a number, 1 to 256, not \"0\""},
        {"threads = 3\n\n# x\nquiet = 1\n", 4, "\"quiet\" must be yes or no, not \"1\""},
        {"colour = red\n", 1,
         "\"colour\" is not an option of sluice-test's file; see sluice-test "
         "--help"},
        {"anything = 1\n", 1,
         "\"anything\" is not an option of sluice-test's file; see "
         "sluice-test --help"},
        {"threads\n", 1, "not of the form name = value"},
        {"threads\nthreads = 0\n", 1, "not of the form name = value"},
        {"threads = 0\nthreads\n", 1, "\"threads\" must be a number, 1 to 256, not \"0\""},
        {"threads = 0\nquiet = 1\n", 1, "\"threads\" must be a number, 1 to 256, not \"0\""},
        {"[proxy]\nthreads = 2\n", 2, "sections like [proxy] are not used here"},
        {"threads = 2\n[proxy\n", 2, "not of the form name = value"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = *state;
        char wanted[300];
        write_file(fixture, cases[i].text);
        assert_false(LOAD(fixture, "--config", "@"));
        (void)snprintf(wanted, sizeof(wanted), "cannot read \"%s\", line %u: %s", fixture->path,
                       cases[i].line, cases[i].reason);
        assert_string_equal(fixture->err.text, wanted);
    }
}

static void write_store_of(const struct fixture *fixture, int length, const char *rest)
{
    char text[400];
    (void)snprintf(text, sizeof(text), "store = %0*d\n%s", length, 0, rest);
    write_file(fixture, text);
}

static void a_line_that_is_too_long_is_not_cut_in_silence(void **state)
{
    struct fixture *fixture = *state;
    char wanted[200];
    write_store_of(fixture, 190, "threads = 3\n");
    assert_true(LOAD(fixture, "--config", "@"));
    assert_int_equal(strlen(fixture->settings.store), 190);
    assert_int_equal(fixture->settings.threads, 3);
    write_store_of(fixture, 191, "threads = 0\n");
    assert_false(LOAD(fixture, "--config", "@"));
    (void)snprintf(wanted, sizeof(wanted), "cannot read \"%s\", line 1: longer than 198 bytes",
                   fixture->path);
    assert_string_equal(fixture->err.text, wanted);
}

static char *printed(void (*print)(const struct option_table *, FILE *))
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    print(&table, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void the_help_names_every_option(void **state)
{
    (void)state;
    char *text = printed(options_print_help);
    assert_int_equal(strncmp(text, "usage: sluice-test [options]\n\nA program for a test.\n", 51),
                     0);
    for (size_t i = 0; i < table.count; i++) {
        assert_non_null(strstr(text, specs[i].name));
        assert_non_null(strstr(text, specs[i].text));
    }
    assert_non_null(strstr(text, "--hold-max TIME"));
    assert_non_null(strstr(text, "(default 250ms)"));
    assert_non_null(strstr(text, "--check-config"));
    assert_non_null(strstr(text, "--listen HOST:PORT"));
    assert_non_null(strstr(text, "--level error|warn|info"));
    assert_non_null(strstr(text, "\nsecrets, in the file of --config only:\n  password  "));
    assert_non_null(strstr(text, "--an-option-with-a-name-that-is-long FILE\n      "));
    free(text);
}

static void the_sample_loads_and_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    char *text = printed(options_print_sample);
    assert_non_null(strstr(text, "\n;threads = 2\n"));
    assert_non_null(strstr(text, "\n;quiet = no\n"));
    assert_null(strstr(text, "anything"));
    write_file(fixture, text);
    assert_true(LOAD(fixture, "--config", "@"));
    assert_int_equal(fixture->settings.threads, 2);
    assert_null(fixture->settings.store);
    free(text);
}

/* The sample with the comment marks of its options taken off. */
static void the_samples_own_values_are_valid(void **state)
{
    struct fixture *fixture = *state;
    char *text = printed(options_print_sample);
    for (char *mark = strstr(text, "\n;"); mark != NULL; mark = strstr(mark + 1, "\n;")) {
        if (mark[2] != ' ') {
            mark[1] = ' ';
        }
    }
    write_file(fixture, text);
    assert_true(LOAD(fixture, "--config", "@"));
    assert_int_equal(fixture->settings.hold_max_ms, 250);
    assert_int_equal(fixture->settings.large_bytes, 65536);
    assert_string_equal(fixture->settings.listen, "127.0.0.1:6380");
    free(text);
}

static void the_sample_marks_what_is_reloadable(void **state)
{
    (void)state;
    char *text = printed(options_print_sample);
    assert_non_null(strstr(text, "; the longest hold [reload]\n;hold-max = 250ms\n"));
    assert_non_null(strstr(text, "; worker threads\n;threads = 2\n"));
    assert_non_null(
        strstr(text, "; how much is said: error, warn or info [reload]\n;level = warn\n"));
    free(text);
}

static void adopting_takes_the_reloadable_and_names_the_others(void **state)
{
    struct fixture *fixture = *state;
    struct error others;
    assert_true(LOAD(fixture, "--store", "old"));
    struct settings running = fixture->settings;
    memset(&fixture->settings, 0, sizeof(fixture->settings));
    assert_true(LOAD(fixture, "--store", "new", "--hold-max", "3s", "--quiet", "--threads", "7",
                     "--listen=:1"));
    assert_false(options_adopt(&table, &running, &fixture->settings, &others));
    assert_string_equal(others.text, "listen, threads");
    assert_string_equal(running.store, "new");
    assert_int_equal(running.hold_max_ms, 3000);
    assert_true(running.is_quiet);
    assert_int_equal(running.threads, 2);
    assert_string_equal(running.listen, "127.0.0.1:6380");
    assert_true(LOAD(fixture, NULL));
    assert_true(options_adopt(&table, &running, &fixture->settings, &others));
    assert_null(running.store);
    assert_false(running.is_quiet);
    options_free(&table, &running);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(defaults_stand_where_nothing_is_said),
        TEST(the_command_line_takes_both_forms),
        TEST(the_command_line_wins_over_the_file_wherever_it_stands),
        TEST(an_indented_line_is_an_option_of_its_own),
        TEST(the_ends_of_a_range_are_taken),
        TEST(actions_are_told),
        TEST(a_wrong_command_line_is_told_word_for_word),
        TEST(a_wrong_file_is_told_with_its_first_bad_line),
        TEST(a_line_that_is_too_long_is_not_cut_in_silence),
        TEST(the_help_names_every_option),
        TEST(the_sample_loads_and_changes_nothing),
        TEST(the_samples_own_values_are_valid),
        TEST(the_sample_marks_what_is_reloadable),
        TEST(adopting_takes_the_reloadable_and_names_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
