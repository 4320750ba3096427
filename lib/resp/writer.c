#include "lib/resp/writer.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/number.h"

#define HEAD_MAX   23u /* "$", 20 digits, CRLF */
#define DOUBLE_MAX 32u /* "-", 17 digits, ".", "e-308" */

static void write_line(struct buffer *out, char mark, struct slice text)
{
    char *room = buffer_reserve(out, text.len + 3);
    ASSERT(room != NULL);
    room[0] = mark;
    memcpy(room + 1, text.data, text.len);
    memcpy(room + 1 + text.len, "\r\n", 2);
    buffer_commit(out, text.len + 3);
}

static void write_number(struct buffer *out, char mark, uint64_t value)
{
    char digits[20];
    unsigned count = number_format_u64(digits, value);
    write_line(out, mark, (struct slice){digits, count});
}

void write_status(struct buffer *out, const char *text)
{
    write_line(out, '+', slice_of(text));
}

void write_error(struct buffer *out, const char *text)
{
    write_line(out, '-', slice_of(text));
}

void write_integer(struct buffer *out, int64_t value)
{
    char digits[21] = "-";
    if (value >= 0) {
        write_number(out, ':', (uint64_t)value);
        return;
    }
    unsigned count = number_format_u64(digits + 1, 0 - (uint64_t)value);
    write_line(out, ':', (struct slice){digits, count + 1});
}

/* "$N" CRLF with room for it at `room`; where it ends. Most lengths have one digit or two. */
static inline char *put_length(char *room, size_t length)
{
    *room++ = '$';
    if (length >= 100) {
        room += number_format_u64(room, length);
    } else {
        if (length >= 10) {
            *room++ = (char)('0' + length / 10);
        }
        *room++ = (char)('0' + length % 10);
    }
    memcpy(room, "\r\n", 2);
    return room + 2;
}

void write_bulk(struct buffer *out, struct slice text)
{
    char *room = buffer_reserve(out, HEAD_MAX + text.len + 2);
    ASSERT(room != NULL);
    char *at = put_length(room, text.len);
    if (text.len > 0) {
        memcpy(at, text.data, text.len);
    }
    memcpy(at + text.len, "\r\n", 2);
    buffer_commit(out, (size_t)(at - room) + text.len + 2);
}

void write_verbatim(struct buffer *out, unsigned protocol, struct slice text)
{
    static const struct slice format = {"txt:", 4};
    if (protocol < 3) {
        write_bulk(out, text);
        return;
    }
    write_number(out, '=', format.len + text.len);
    buffer_add(out, format.data, format.len);
    buffer_add(out, text.data, text.len);
    buffer_add(out, "\r\n", 2);
}

void write_null(struct buffer *out, unsigned protocol)
{
    buffer_add_text(out, protocol < 3 ? "$-1\r\n" : "_\r\n");
}

void write_null_array(struct buffer *out, unsigned protocol)
{
    buffer_add_text(out, protocol < 3 ? "*-1\r\n" : "_\r\n");
}

void write_double(struct buffer *out, unsigned protocol, double value)
{
    char digits[DOUBLE_MAX];
    int length = snprintf(digits, sizeof(digits), "%.17g", value);
    struct slice text = {digits, (size_t)length};
    if (protocol < 3) {
        write_bulk(out, text);
    } else {
        write_line(out, ',', text);
    }
}

void write_array(struct buffer *out, uint64_t count)
{
    write_number(out, '*', count);
}

void write_map_header(struct buffer *out, unsigned protocol, uint64_t pairs)
{
    write_number(out, protocol < 3 ? '*' : '%', protocol < 3 ? 2 * pairs : pairs);
}

void write_set_header(struct buffer *out, unsigned protocol, uint64_t count)
{
    write_number(out, protocol < 3 ? '*' : '~', count);
}

void write_push_header(struct buffer *out, unsigned protocol, uint64_t count)
{
    write_number(out, protocol < 3 ? '*' : '>', count);
}

void write_command(struct buffer *out, const struct slice *argv, unsigned argc)
{
    write_array(out, argc);
    for (unsigned i = 0; i < argc; i++) {
        write_bulk(out, argv[i]);
    }
}
