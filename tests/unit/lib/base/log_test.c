#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "tests/support/wait.h"

static char heard[8192];

/* What a log call writes to stderr, in `heard`. */
#define HEAR(call)                                             \
    do {                                                       \
        int ends[2];                                           \
        int saved = dup(STDERR_FILENO);                        \
        assert_int_equal(pipe(ends), 0);                       \
        assert_int_equal(dup2(ends[1], STDERR_FILENO), 2);     \
        call;                                                  \
        (void)dup2(saved, STDERR_FILENO);                      \
        (void)close(saved);                                    \
        (void)close(ends[1]);                                  \
        ssize_t got = read(ends[0], heard, sizeof(heard) - 1); \
        heard[got > 0 ? got : 0] = '\0';                       \
        (void)close(ends[0]);                                  \
    } while (0)

static void levels_have_names(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        enum log_level level;
    } cases[] = {
        {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(log_level_named(cases[i].text), cases[i].level);
    }
}

static void a_line_has_time_level_program_and_event(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_INFO);
    HEAR(log_warn("shard lost name=%s", "s1"));
    assert_int_equal(heard[4], '-');
    assert_int_equal(heard[10], 'T');
    assert_int_equal(heard[23], 'Z');
    assert_int_equal(strncmp(heard + 24, " warn sluice-test[", 18), 0);
    assert_non_null(strstr(heard, "] shard lost name=s1\n"));
}

static void a_quote_inside_a_value_does_not_end_it(void **state)
{
    (void)state;
    HEAR(log_warn("left as it was why=\"%s\"", "\"level\" must be a \"word\""));
    assert_non_null(strstr(heard, " why=\"'level' must be a 'word'\"\n"));
    HEAR(log_warn("lost why=\"%s\" shard=%s more=\"%s\"", "no \"x\" there", "s1", ""));
    assert_non_null(strstr(heard, " why=\"no 'x' there\" shard=s1 more=\"\"\n"));
    HEAR(log_warn("lost \"%s\" altogether", "s1"));
    assert_non_null(strstr(heard, " lost \"s1\" altogether\n"));
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_WARN);
    HEAR(log_info("nothing"); log_debug("nothing"));
    assert_string_equal(heard, "");
    HEAR(log_error("something"));
    assert_non_null(strstr(heard, " error sluice-test["));
}

static void a_value_cannot_begin_a_line_of_its_own(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_INFO);
    HEAR(log_info("name=%s", "a\nb\rc\x1b[2J\x7f"
                             "d\xc3\xa4"));
    assert_non_null(strstr(heard, "name=a?b?c?[2J?d\xc3\xa4\n"));
    assert_ptr_equal(strchr(heard, '\n'), heard + strlen(heard) - 1);
}

static void a_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    char large[4000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    HEAR(log_info("%s", large));
    assert_in_range(strlen(heard), 2000, 2048);
    assert_string_equal(heard + strlen(heard) - 3, "xx\n");
}

static unsigned lines_with(const char *text)
{
    unsigned count = 0;
    for (const char *at = heard; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

static void storm(unsigned lines)
{
    for (unsigned i = 0; i < lines; i++) {
        log_warn("shard storms number=%u", i);
    }
}

/* The first line of the next second: storms until it has come. */
static bool may_storm_again(void)
{
    HEAR(storm(1));
    return lines_with("shard storms") == 1;
}

static void a_storm_of_one_message_is_limited_and_counted(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_DEBUG);
    uint64_t before = log_suppressed();
    HEAR(storm(100); log_warn("another message"));
    uint64_t left_out = log_suppressed() - before;
    assert_true(left_out > 0);
    assert_int_equal(lines_with("shard storms"), 100 - left_out);
    assert_int_equal(lines_with("another message"), 1);
    WAIT_UNTIL(may_storm_again(), 60000);
    assert_non_null(strstr(heard, " suppressed="));
}

static void debug_lines_are_not_limited(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_DEBUG);
    HEAR(for (unsigned i = 0; i < 60; i++) { log_debug("each of them"); });
    assert_int_equal(lines_with("each of them"), 60);
}

static void what_anybody_can_bring_about_is_said_once_a_second(void **state)
{
    struct log_pause pause = {0};
    (void)state;
    assert_true(log_pause_is_over(&pause, 5));
    assert_false(log_pause_is_over(&pause, 6));
    assert_false(log_pause_is_over(&pause, 1000004));
    assert_true(log_pause_is_over(&pause, 1000005));
    assert_false(log_pause_is_over(&pause, 2000004));
}

static void the_level_can_be_changed_later(void **state)
{
    (void)state;
    log_init("sluice-test", LOG_ERROR);
    log_set_level(LOG_INFO);
    HEAR(log_info("now heard"));
    assert_int_equal(lines_with("now heard"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(a_line_has_time_level_program_and_event),
        cmocka_unit_test(a_quote_inside_a_value_does_not_end_it),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(a_value_cannot_begin_a_line_of_its_own),
        cmocka_unit_test(a_long_line_is_cut_and_ends),
        cmocka_unit_test(a_storm_of_one_message_is_limited_and_counted),
        cmocka_unit_test(debug_lines_are_not_limited),
        cmocka_unit_test(what_anybody_can_bring_about_is_said_once_a_second),
        cmocka_unit_test(the_level_can_be_changed_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
