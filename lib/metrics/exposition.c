#include "lib/metrics/exposition.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/assert.h"

/* The upper bounds of the le buckets. A change of them breaks the operators' recorded rules. */
static const struct {
    const char *le_seconds;
    uint64_t us;
} bounds[] = {
    {"0.00005", 50},  {"0.0001", 100},  {"0.00025", 250}, {"0.0005", 500},  {"0.001", 1000},
    {"0.0025", 2500}, {"0.005", 5000},  {"0.01", 10000},  {"0.025", 25000}, {"0.05", 50000},
    {"0.1", 100000},  {"0.25", 250000}, {"0.5", 500000},  {"1", 1000000},   {"2.5", 2500000},
    {"5", 5000000},   {"10", 10000000},
};

static bool is_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool is_letter = isalpha((unsigned char)*c) || *c == '_';
        if (!is_letter && (c == name || !isdigit((unsigned char)*c))) {
            return false;
        }
    }
    return name[0] != '\0';
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), wanted = strlen(ending);
    return length > wanted && strcmp(text + length - wanted, ending) == 0;
}

void exposition_init(struct exposition *exposition, struct buffer *text)
{
    *exposition = (struct exposition){.text = text};
}

/* In help texts a quote stands for itself; in label values it is escaped. */
static void add_escaped(struct buffer *text, const char *raw, bool is_label)
{
    for (const char *c = raw; *c != '\0'; c++) {
        if (*c == '\n') {
            buffer_add(text, "\\n", 2);
        } else if (*c == '\\' || (*c == '"' && is_label)) {
            buffer_add(text, "\\", 1);
            buffer_add(text, c, 1);
        } else {
            buffer_add(text, c, 1);
        }
    }
}

void exposition_metric(struct exposition *exposition, const char *name, enum metric_type type,
                       const char *help)
{
    static const char *const type_names[] = {"counter", "gauge", "histogram"};
    ASSERT(is_name(name));
    ASSERT(exposition->name == NULL || strcmp(exposition->name, name) != 0);
    ASSERT((type == METRIC_COUNTER) == ends_with(name, "_total"));
    ASSERT(type != METRIC_HISTOGRAM || ends_with(name, "_seconds"));
    exposition->name = name;
    exposition->type = type;
    buffer_printf(exposition->text, "# HELP %s ", name);
    add_escaped(exposition->text, help, false);
    buffer_printf(exposition->text, "\n# TYPE %s %s\n", name, type_names[type]);
}

static void add_label(struct buffer *text, char before, const char *name, const char *value)
{
    ASSERT(is_name(name));
    buffer_printf(text, "%c%s=\"", before, name);
    add_escaped(text, value, true);
    buffer_add(text, "\"", 1);
}

/* name + suffix, then {labels,le="..."} when there is at least one of them. */
static void add_series(struct exposition *exposition, const char *suffix,
                       const struct label *labels, const char *le)
{
    struct buffer *text = exposition->text;
    char before = '{';
    buffer_printf(text, "%s%s", exposition->name, suffix);
    for (const struct label *label = labels; label != NULL && label->name != NULL; label++) {
        ASSERT(strcmp(label->name, "le") != 0);
        add_label(text, before, label->name, label->value);
        before = ',';
    }
    if (le != NULL) {
        add_label(text, before, "le", le);
        before = ',';
    }
    buffer_add_text(text, before == ',' ? "} " : " ");
}

/* Whole numbers in digits, others in the fewest digits that read back as the same number. */
static void add_value(struct buffer *text, double value)
{
    if (isnan(value) || isinf(value)) {
        buffer_add_text(text, isnan(value) ? "NaN\n" : value > 0 ? "+Inf\n" : "-Inf\n");
        return;
    }
    char digits[40];
    bool is_whole = fabs(value) < 9007199254740992.0 && value == trunc(value);
    int precision = is_whole ? 17 : 15;
    do {
        (void)snprintf(digits, sizeof(digits), "%.*g", precision, value);
    } while (strtod(digits, NULL) != value && precision++ < 17);
    buffer_printf(text, "%s\n", digits);
}

void exposition_sample(struct exposition *exposition, const struct label *labels, double value)
{
    ASSERT(exposition->name != NULL && exposition->type != METRIC_HISTOGRAM);
    add_series(exposition, "", labels, NULL);
    add_value(exposition->text, value);
}

void exposition_histogram(struct exposition *exposition, const struct label *labels,
                          const struct histogram *histogram)
{
    ASSERT(exposition->name != NULL && exposition->type == METRIC_HISTOGRAM);
    /* A writer may be at work: what is read must come from one copy, or the buckets could fall. */
    struct histogram copy = {0};
    histogram_merge(&copy, histogram);
    double count = (double)histogram_count(&copy);
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        add_series(exposition, "_bucket", labels, bounds[i].le_seconds);
        add_value(exposition->text, (double)histogram_count_within(&copy, bounds[i].us));
    }
    add_series(exposition, "_bucket", labels, "+Inf");
    add_value(exposition->text, count);
    add_series(exposition, "_sum", labels, NULL);
    add_value(exposition->text, (double)histogram_sum_us(&copy) / 1e6);
    add_series(exposition, "_count", labels, NULL);
    add_value(exposition->text, count);
}
