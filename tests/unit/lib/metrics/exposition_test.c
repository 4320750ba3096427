/* The writer against exact texts, and a whole page against the rules of the format: written down
 * here a second time, as a small reader. */
#include <math.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/metrics/exposition.h"

struct page {
    struct buffer text;
    struct exposition exposition;
};

static int setup(void **state)
{
    struct page *page = mem_zalloc(sizeof(*page));
    buffer_init(&page->text, SIZE_MAX);
    exposition_init(&page->exposition, &page->text);
    *state = page;
    return 0;
}

static int teardown(void **state)
{
    struct page *page = *state;
    buffer_fini(&page->text);
    mem_free(page);
    return 0;
}

static void assert_page(struct page *page, const char *wanted)
{
    buffer_add(&page->text, "", 1);
    assert_string_equal(buffer_slice(&page->text).data, wanted);
}

static void a_counter_has_help_type_and_samples(void **state)
{
    struct page *page = *state;
    exposition_metric(&page->exposition, "sluice_commands_total", METRIC_COUNTER, "Commands seen.");
    exposition_sample(&page->exposition, LABELS({"shard", "s1"}, {"command", "get"}), 12);
    exposition_sample(&page->exposition, NO_LABELS, 3);
    assert_page(page, "# HELP sluice_commands_total Commands seen.\n"
                      "# TYPE sluice_commands_total counter\n"
                      "sluice_commands_total{shard=\"s1\",command=\"get\"} 12\n"
                      "sluice_commands_total 3\n");
}

static void label_values_and_help_are_escaped(void **state)
{
    struct page *page = *state;
    exposition_metric(&page->exposition, "x", METRIC_GAUGE, "a \"b\" \\ c\nd");
    exposition_sample(&page->exposition, LABELS({"name", "a\"b\\c\nd"}), 1);
    assert_page(page, "# HELP x a \"b\" \\\\ c\\nd\n"
                      "# TYPE x gauge\n"
                      "x{name=\"a\\\"b\\\\c\\nd\"} 1\n");
}

static void numbers_read_back_as_they_were(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {1.0 / 3, "0.3333333333333333"},
        {1700000000123.0, "1700000000123"},
        {9007199254740991.0, "9007199254740991"},
        {1e300, "1e+300"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct page *page = *state;
        buffer_clear(&page->text);
        exposition_init(&page->exposition, &page->text);
        exposition_metric(&page->exposition, "x", METRIC_GAUGE, "h");
        exposition_sample(&page->exposition, NO_LABELS, cases[i].value);
        buffer_add(&page->text, "", 1);
        const char *number = strrchr(buffer_slice(&page->text).data, ' ') + 1;
        assert_true(strtod(number, NULL) == cases[i].value);
        assert_int_equal(strncmp(number, cases[i].text, strlen(cases[i].text)), 0);
        assert_int_equal(number[strlen(cases[i].text)], '\n');
    }
}

static void what_is_no_number_has_its_own_word(void **state)
{
    struct page *page = *state;
    exposition_metric(&page->exposition, "x", METRIC_GAUGE, "h");
    exposition_sample(&page->exposition, NO_LABELS, (double)INFINITY);
    exposition_sample(&page->exposition, NO_LABELS, -(double)INFINITY);
    exposition_sample(&page->exposition, NO_LABELS, (double)NAN);
    assert_page(page, "# HELP x h\n# TYPE x gauge\nx +Inf\nx -Inf\nx NaN\n");
}

/* --- the rules of the format ------------------------------------------------------------------ */

#define NAME   "[a-zA-Z_:][a-zA-Z0-9_:]*"
#define LABEL  "[a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\]|\\\\[\"\\\\n])*\""
#define NUMBER "([-+]?[0-9.]+(e[-+][0-9]+)?|NaN|[+-]Inf)"

static bool matches(const char *pattern, const char *line)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, line, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static bool is_line_of_the_format(const char *line)
{
    return matches("^# HELP " NAME " .*$", line) ||
           matches("^# TYPE " NAME " (counter|gauge|histogram)$", line) ||
           matches("^" NAME "(\\{" LABEL "(," LABEL ")*\\})? " NUMBER "$", line);
}

static void fill_histogram(struct page *page)
{
    struct histogram histogram = {0};
    histogram_record(&histogram, 40);
    histogram_record(&histogram, 3000);
    histogram_record(&histogram, 3000);
    histogram_record(&histogram, UINT64_C(20) * 1000000);
    exposition_metric(&page->exposition, "sluice_latency_seconds", METRIC_HISTOGRAM, "Latency.");
    exposition_histogram(&page->exposition, LABELS({"shard", "s\"1"}), &histogram);
}

static void every_line_of_a_page_keeps_the_format(void **state)
{
    struct page *page = *state;
    exposition_metric(&page->exposition, "a_total", METRIC_COUNTER, "Some \\ help.");
    exposition_sample(&page->exposition, LABELS({"x", "1"}, {"y_2", "\n\\\""}), 1.5);
    fill_histogram(page);
    struct slice rest = buffer_slice(&page->text);
    assert_int_equal(rest.data[rest.len - 1], '\n');
    buffer_add(&page->text, "", 1);
    unsigned lines = 0;
    for (char *line = strtok(page->text.data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (!is_line_of_the_format(line)) {
            fail_msg("not of the format: %s", line);
        }
        lines++;
    }
    assert_int_equal(lines, 3 + 2 + 17 + 1 + 2);
}

static void a_histogram_has_cumulative_buckets_a_sum_and_a_count(void **state)
{
    struct page *page = *state;
    fill_histogram(page);
    buffer_add(&page->text, "", 1);
    const char *text = buffer_slice(&page->text).data;
#define SERIES "sluice_latency_seconds"
    assert_non_null(strstr(text, SERIES "_bucket{shard=\"s\\\"1\",le=\"0.00005\"} 1\n"));
    assert_non_null(strstr(text, SERIES "_bucket{shard=\"s\\\"1\",le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(text, SERIES "_bucket{shard=\"s\\\"1\",le=\"0.005\"} 3\n"));
    assert_non_null(strstr(text, SERIES "_bucket{shard=\"s\\\"1\",le=\"10\"} 3\n"));
    assert_non_null(strstr(text, SERIES "_bucket{shard=\"s\\\"1\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, SERIES "_sum{shard=\"s\\\"1\"} 20.00604\n"));
    assert_non_null(strstr(text, SERIES "_count{shard=\"s\\\"1\"} 4\n"));
}

static void a_histogram_without_labels_has_only_le(void **state)
{
    struct page *page = *state;
    struct histogram empty = {0};
    exposition_metric(&page->exposition, "x_seconds", METRIC_HISTOGRAM, "h");
    exposition_histogram(&page->exposition, NO_LABELS, &empty);
    buffer_add(&page->text, "", 1);
    assert_non_null(strstr(page->text.data, "x_seconds_bucket{le=\"+Inf\"} 0\nx_seconds_sum 0\n"
                                            "x_seconds_count 0\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_counter_has_help_type_and_samples),
        TEST(label_values_and_help_are_escaped),
        TEST(numbers_read_back_as_they_were),
        TEST(what_is_no_number_has_its_own_word),
        TEST(every_line_of_a_page_keeps_the_format),
        TEST(a_histogram_has_cumulative_buckets_a_sum_and_a_count),
        TEST(a_histogram_without_labels_has_only_le),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
