#include "lib/base/number.h"

#include <math.h>
#include <stdlib.h>

bool number_parse_u64(struct slice text, uint64_t *value)
{
    uint64_t parsed = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(parsed, 10, &parsed) ||
            __builtin_add_overflow(parsed, digit, &parsed)) {
            return false;
        }
    }
    *value = parsed;
    return true;
}

bool number_parse_i64(struct slice text, int64_t *value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    struct slice digits = negative ? (struct slice){text.data + 1, text.len - 1} : text;
    uint64_t magnitude;
    if (!number_parse_u64(digits, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool number_parse_double(struct slice text, double *value)
{
    char copy[64];
    char *end;
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    /* strtod would take spaces in front, "inf", "nan" and hexadecimal digits as well. */
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || strchr("0123456789+-.eE", text.data[i]) == NULL) {
            return false;
        }
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *value = strtod(copy, &end);
    return end == copy + text.len && isfinite(*value);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool parse_with_unit(struct slice text, const struct unit *units, uint64_t *value)
{
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    struct slice suffix = {text.data + digits, text.len - digits};
    uint64_t number;
    if (!number_parse_u64((struct slice){text.data, digits}, &number)) {
        return false;
    }
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (slice_equal_nocase(suffix, slice_of(unit->name))) {
            return !__builtin_mul_overflow(number, unit->factor, value);
        }
    }
    return false;
}

bool number_parse_duration_ms(struct slice text, uint64_t *ms)
{
    static const struct unit units[] = {{"ms", 1},    {"s", 1000},    {"", 1000},
                                        {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    return parse_with_unit(text, units, ms);
}

bool number_parse_size(struct slice text, uint64_t *size_bytes)
{
    static const struct unit units[] = {{"", 1},         {"b", 1},        {"kb", 1 << 10},
                                        {"mb", 1 << 20}, {"gb", 1 << 30}, {NULL, 0}};
    return parse_with_unit(text, units, size_bytes);
}

unsigned number_format_u64(char *text, uint64_t value)
{
    char digits[20];
    unsigned count = 0;
    if (value < 10) {
        text[0] = (char)('0' + value);
        return 1;
    }
    if (value < 100) {
        text[0] = (char)('0' + value / 10);
        text[1] = (char)('0' + value % 10);
        return 2;
    }
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (unsigned i = 0; i < count; i++) {
        text[i] = digits[count - 1 - i];
    }
    return count;
}
