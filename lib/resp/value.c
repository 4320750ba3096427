/* The input is read twice by the same functions: first only to check and count, then into one
 * block of exactly that many values. So a tree is one allocation and one free.
 *
 *   root | children of the root, side by side | children of the first of them that has any | ... */
#include "lib/resp/value.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

#define SMALLEST_ELEMENT_BYTES ((size_t)3) /* "+\r\n" */

struct reader {
    struct slice input;
    size_t position;
    size_t values;            /* so far, the root not counted */
    struct resp_value *block; /* null while counting; its first value is the root */
    struct error *err;
};

static bool read_value(struct reader *reader, unsigned depth, struct resp_value *value);

static bool fail(struct reader *reader, const char *why)
{
    (void)error_set(reader->err, "cannot read a RESP reply of %zu bytes, at byte %zu: %s",
                    reader->input.len, reader->position, why);
    return false;
}

static size_t bytes_left(const struct reader *reader)
{
    return reader->input.len - reader->position;
}

static bool read_line(struct reader *reader, struct slice *line)
{
    const char *start = reader->input.data + reader->position;
    const char *end = memchr(start, '\r', bytes_left(reader));
    if (end == NULL || (size_t)(end - start) + 2 > bytes_left(reader) || end[1] != '\n') {
        return fail(reader, "a line without its end");
    }
    *line = (struct slice){start, (size_t)(end - start)};
    reader->position += line->len + 2;
    return true;
}

static bool read_integer(struct reader *reader, struct slice line, struct resp_value *value)
{
    value->type = RESP_INTEGER;
    return number_parse_i64(line, &value->integer) || fail(reader, "not an integer");
}

static bool read_boolean(struct reader *reader, struct slice line, struct resp_value *value)
{
    value->type = RESP_BOOLEAN;
    value->integer = slice_equal(line, SLICE("t"));
    return value->integer == 1 || slice_equal(line, SLICE("f")) || fail(reader, "not a boolean");
}

/* The length or count in a header line; -1 is nil, in RESP2's way. */
static bool read_size(struct reader *reader, struct slice line, size_t *size, bool *is_nil)
{
    uint64_t parsed;
    *is_nil = slice_equal(line, SLICE("-1"));
    *size = 0;
    if (*is_nil) {
        return true;
    }
    if (!number_parse_u64(line, &parsed) || parsed > bytes_left(reader)) {
        return fail(reader, "a length or count that the rest cannot hold");
    }
    *size = (size_t)parsed;
    return true;
}

static bool read_bulk(struct reader *reader, struct slice line, struct resp_value *value)
{
    size_t length;
    bool is_nil;
    if (!read_size(reader, line, &length, &is_nil)) {
        return false;
    }
    value->type = is_nil ? RESP_NIL : value->type;
    if (is_nil) {
        return true;
    }
    const char *start = reader->input.data + reader->position;
    if (bytes_left(reader) - length < 2 || memcmp(start + length, "\r\n", 2) != 0) {
        return fail(reader, "a bulk string without its end");
    }
    value->text = (struct slice){start, length};
    reader->position += length + 2;
    return true;
}

static bool read_verbatim(struct reader *reader, struct slice line, struct resp_value *value)
{
    if (!read_bulk(reader, line, value)) {
        return false;
    }
    if (value->text.len < 4 || value->text.data[3] != ':') {
        return fail(reader, "a verbatim string without its format");
    }
    value->text = (struct slice){value->text.data + 4, value->text.len - 4};
    return true;
}

static bool read_elements(struct reader *reader, unsigned depth, struct resp_value *value)
{
    struct resp_value *elements = reader->block == NULL ? NULL : reader->block + 1 + reader->values;
    reader->values += value->count;
    for (size_t i = 0; i < value->count; i++) {
        struct resp_value counted;
        if (!read_value(reader, depth + 1, elements == NULL ? &counted : &elements[i])) {
            return false;
        }
    }
    value->elements = elements;
    return true;
}

static bool read_aggregate(struct reader *reader, unsigned depth, struct slice line,
                           struct resp_value *value)
{
    size_t per_count = value->type == RESP_MAP ? 2 : 1;
    size_t count;
    bool is_nil;
    if (!read_size(reader, line, &count, &is_nil)) {
        return false;
    }
    if (is_nil) {
        value->type = RESP_NIL;
        return true;
    }
    if (count > bytes_left(reader) / (SMALLEST_ELEMENT_BYTES * per_count)) {
        return fail(reader, "more elements than the rest can hold");
    }
    if (depth >= RESP_VALUE_DEPTH_MAX) {
        return fail(reader, "arrays nested too deeply");
    }
    value->count = count * per_count;
    return read_elements(reader, depth, value);
}

static bool read_value(struct reader *reader, unsigned depth, struct resp_value *value)
{
    struct slice line;
    *value = (struct resp_value){.type = RESP_BULK};
    if (bytes_left(reader) < SMALLEST_ELEMENT_BYTES) {
        return fail(reader, "it ends too early");
    }
    char kind = reader->input.data[reader->position++];
    if (!read_line(reader, &line)) {
        return false;
    }
    switch (kind) {
    case '+':
    case '-':
    case ',':
    case '(':
        value->type = kind == '+' ? RESP_STATUS : kind == '-' ? RESP_ERROR : RESP_NUMBER;
        value->text = line;
        return true;
    case ':':
        return read_integer(reader, line, value);
    case '#':
        return read_boolean(reader, line, value);
    case '_':
        value->type = RESP_NIL;
        return true;
    case '$':
        return read_bulk(reader, line, value);
    case '!':
        value->type = RESP_ERROR;
        return read_bulk(reader, line, value);
    case '=':
        return read_verbatim(reader, line, value);
    case '*':
    case '~':
    case '>':
    case '%':
        value->type = kind == '%' ? RESP_MAP : RESP_ARRAY;
        return read_aggregate(reader, depth, line, value);
    default:
        return fail(reader, "an unknown type");
    }
}

struct resp_value *resp_value_parse(struct slice bytes, struct error *err)
{
    struct resp_value root;
    struct reader reader = {.input = bytes, .err = err};
    if (!read_value(&reader, 0, &root)) {
        return NULL;
    }
    if (bytes_left(&reader) > 0) {
        (void)fail(&reader, "more bytes after its end");
        return NULL;
    }
    size_t values = reader.values + 1;
    struct resp_value *block = mem_alloc(values * sizeof(*block));
    reader = (struct reader){.input = bytes, .block = block};
    bool is_read = read_value(&reader, 0, block);
    ASSERT(is_read && reader.values + 1 == values);
    return block;
}

void resp_value_free(struct resp_value *root)
{
    mem_free(root);
}
