#include "lib/resp/framer.h"

#include <string.h>

#include "lib/resp/length.h"

enum {
    AT_TYPE,
    IN_TEXT,
    IN_NUMBER,
    IN_BODY
};

/* More elements than any server sends; keeps the count of values from overflowing. */
#define COUNT_MAX ((uint64_t)1 << 40)
#define BODY_MAX  ((uint64_t)1 << 40)

static enum parse_status end_value(struct framer *framer)
{
    framer->state = AT_TYPE;
    framer->values_left--;
    return framer->values_left == 0 ? PARSE_OK : PARSE_MORE;
}

/* A header line with a number is complete: what follows it? */
static enum parse_status end_number(struct framer *framer)
{
    uint64_t count = framer->is_negative ? 0 : framer->number;
    if (!framer->has_digits) {
        return PARSE_BAD;
    }
    switch (framer->type) {
    case '$':
    case '=':
    case '!':
        if (framer->is_negative) {
            return end_value(framer);
        }
        if (count > BODY_MAX) {
            return PARSE_BAD;
        }
        framer->body_left = count + 2;
        framer->state = IN_BODY;
        return PARSE_MORE;
    case '%':
        count *= 2;
        break;
    case '|': /* an attribute stands before the value it belongs to */
        count = count * 2 + 1;
        break;
    default:
        break;
    }
    if (count > COUNT_MAX || framer->values_left > COUNT_MAX) {
        return PARSE_BAD;
    }
    framer->values_left += count;
    return end_value(framer);
}

static enum parse_status begin_value(struct framer *framer, char type)
{
    framer->type = type;
    framer->number = 0;
    framer->is_negative = false;
    framer->has_digits = false;
    framer->has_return = false;
    switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
        framer->state = IN_TEXT;
        return PARSE_MORE;
    case '$':
    case '=':
    case '!':
    case '*':
    case '~':
    case '>':
    case '%':
    case '|':
        framer->state = IN_NUMBER;
        return PARSE_MORE;
    default:
        return PARSE_BAD;
    }
}

static enum parse_status number_byte(struct framer *framer, char byte)
{
    if (framer->has_return) {
        return byte == '\n' ? end_number(framer) : PARSE_BAD;
    }
    if (byte >= '0' && byte <= '9') {
        framer->number = framer->number * 10 + (uint64_t)(byte - '0');
        framer->has_digits = true;
        return framer->number > COUNT_MAX ? PARSE_BAD : PARSE_MORE;
    }
    if (byte == '-' && !framer->has_digits && !framer->is_negative) {
        framer->is_negative = true;
        return PARSE_MORE;
    }
    framer->has_return = byte == '\r';
    return framer->has_return ? PARSE_MORE : PARSE_BAD;
}

/* Skips to the end of a line; *position is behind it, or at the end of the data. */
static enum parse_status skip_text(struct framer *framer, const char *data, size_t size,
                                   size_t *position)
{
    const char *newline = memchr(data + *position, '\n', size - *position);
    if (newline == NULL) {
        *position = size;
        return PARSE_MORE;
    }
    *position = (size_t)(newline - data) + 1;
    return end_value(framer);
}

/* The CRLF behind it is looked at: a wrong length would put all later replies out of step. */
static enum parse_status skip_body(struct framer *framer, const char *data, size_t size,
                                   size_t *position)
{
    size_t there = size - *position;
    if (framer->body_left > 2) {
        size_t text = framer->body_left - 2 < there ? (size_t)framer->body_left - 2 : there;
        framer->body_left -= text;
        *position += text;
        return PARSE_MORE;
    }
    if (data[(*position)++] != (framer->body_left == 2 ? '\r' : '\n')) {
        return PARSE_BAD;
    }
    framer->body_left--;
    return framer->body_left == 0 ? end_value(framer) : PARSE_MORE;
}

size_t framer_flat(const char *data, size_t size)
{
    struct length length = length_read(data, data + size, '$');
    if (length.next != NULL) {
        size_t head = (size_t)(length.next - data);
        bool is_whole = size - head >= length.value + 2 && length_ends(length.next + length.value);
        return is_whole ? head + length.value + 2 : 0;
    }
    if (size >= 5 && memcmp(data, "+OK\r\n", 5) == 0) {
        return 5; /* of all texts the most frequent */
    }
    if (size > 0 && (data[0] == '+' || data[0] == ':' || data[0] == '-')) {
        const char *newline = memchr(data, '\n', size);
        return newline != NULL ? (size_t)(newline - data) + 1 : 0;
    }
    return 0;
}

/* All flat values from *position on, and then the beginning of one that is not. */
static enum parse_status next_values(struct framer *framer, const char *data, size_t size,
                                     size_t *position)
{
    while (*position < size) {
        size_t flat = framer_flat(data + *position, size - *position);
        if (flat == 0) {
            return begin_value(framer, data[(*position)++]);
        }
        *position += flat;
        if (--framer->values_left == 0) {
            return PARSE_OK;
        }
    }
    return PARSE_MORE;
}

/* Out of the way of what nearly always comes. */
__attribute__((noinline)) static enum parse_status
feed_carefully(struct framer *framer, const char *data, size_t size, size_t *consumed)
{
    size_t position = 0;
    enum parse_status status = PARSE_MORE;
    if (framer->values_left == 0 && size > 0) {
        framer->values_left = 1;
    }
    while (status == PARSE_MORE && position < size) {
        switch (framer->state) {
        case AT_TYPE:
            status = next_values(framer, data, size, &position);
            break;
        case IN_TEXT:
            status = skip_text(framer, data, size, &position);
            break;
        case IN_NUMBER:
            status = number_byte(framer, data[position++]);
            break;
        default:
            status = skip_body(framer, data, size, &position);
            break;
        }
    }
    *consumed = position;
    return status;
}

enum parse_status framer_feed(struct framer *framer, const char *data, size_t size,
                              size_t *consumed)
{
    if (framer->values_left == 0) {
        *consumed = framer_flat(data, size);
        if (*consumed > 0) {
            return PARSE_OK;
        }
    }
    return feed_carefully(framer, data, size, consumed);
}
