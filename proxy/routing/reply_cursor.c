#include "proxy/routing/reply_cursor.h"

#include "lib/base/number.h"
#include "lib/resp/framer.h"

bool reply_next(struct slice *rest, struct slice *value)
{
    size_t used = framer_flat(rest->data, rest->len);
    if (used == 0) {
        struct framer framer = {.values_left = 0};
        if (framer_feed(&framer, rest->data, rest->len, &used) != PARSE_OK) {
            return false;
        }
    }
    *value = (struct slice){rest->data, used};
    *rest = (struct slice){rest->data + used, rest->len - used};
    return true;
}

/* The text between the type byte and the first CRLF. */
static struct slice head_line(struct slice value)
{
    const char *end = value.len > 0 ? memchr(value.data, '\r', value.len) : NULL;
    return end == NULL ? (struct slice){value.data, 0}
                       : (struct slice){value.data + 1, (size_t)(end - value.data) - 1};
}

static int64_t take_elements(struct slice value, char kind, struct slice *elements)
{
    int64_t count;
    struct slice line = head_line(value);
    if (value.len == 0 || value.data[0] != kind || !number_parse_i64(line, &count)) {
        return -1;
    }
    *elements = (struct slice){line.data + line.len + 2, value.len - line.len - 3};
    return count;
}

int64_t reply_array(struct slice value, struct slice *elements)
{
    return take_elements(value, '*', elements);
}

int64_t reply_map(struct slice value, struct slice *elements)
{
    int64_t count = reply_array(value, elements);
    bool has_pairs = count >= 0 && count % 2 == 0;
    return has_pairs ? count / 2 : take_elements(value, '%', elements);
}

bool reply_integer(struct slice value, int64_t *number)
{
    return value.len > 0 && value.data[0] == ':' && number_parse_i64(head_line(value), number);
}

bool reply_is_null(struct slice value)
{
    return slice_equal(value, SLICE("$-1\r\n")) || slice_equal(value, SLICE("*-1\r\n")) ||
           slice_equal(value, SLICE("_\r\n"));
}

static bool take_string(struct slice value, char kind, struct slice *text)
{
    uint64_t length;
    struct slice line = head_line(value);
    if (value.len == 0 || value.data[0] != kind || !number_parse_u64(line, &length)) {
        return false;
    }
    *text = (struct slice){line.data + line.len + 2, (size_t)length};
    return true;
}

bool reply_bulk(struct slice value, struct slice *text)
{
    return take_string(value, '$', text);
}

/* "=8\r\ntxt:text\r\n" */
bool reply_verbatim(struct slice value, struct slice *text)
{
    const size_t kind_bytes = 4;
    if (!take_string(value, '=', text) || text->len < kind_bytes) {
        return false;
    }
    *text = (struct slice){text->data + kind_bytes, text->len - kind_bytes};
    return true;
}

bool reply_field(struct slice map, const char *name, struct slice *value)
{
    struct slice rest = map, at, text;
    int64_t count = reply_array(map, &rest);
    for (int64_t i = 0; i + 1 < count && reply_next(&rest, &at) && reply_next(&rest, value);
         i += 2) {
        if (reply_bulk(at, &text) && slice_equal(text, slice_of(name))) {
            return true;
        }
    }
    return false;
}

struct slice reply_error(struct slice value)
{
    if (value.len == 0 || value.data[0] != '-') {
        return (struct slice){value.data, 0};
    }
    return head_line(value);
}
