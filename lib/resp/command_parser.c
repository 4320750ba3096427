#include "lib/resp/command_parser.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/length.h"

#define KEPT_ARGS    64u
#define SMALLEST_ARG 6u /* "$0" CRLF CRLF */
/* Redis' own bounds of a client that has not logged in. */
#define RESTRICTED_ARGS_MAX 10
#define RESTRICTED_BULK_MAX 16384

void command_parser_init(struct command_parser *parser, uint64_t bulk_max)
{
    *parser = (struct command_parser){.bulk_max = bulk_max};
    buffer_init(&parser->unquoted, COMMAND_INLINE_MAX);
}

void command_parser_restrict(struct command_parser *parser, bool is_restricted)
{
    parser->is_restricted = is_restricted;
    parser->is_careful = parser->is_multibulk || is_restricted;
}

void command_parser_fini(struct command_parser *parser)
{
    mem_free(parser->args);
    buffer_fini(&parser->unquoted);
}

void command_parser_trim(struct command_parser *parser)
{
    if (parser->capacity > KEPT_ARGS) {
        mem_free(parser->args);
        parser->args = NULL;
        parser->capacity = 0;
    }
    buffer_recycle(&parser->unquoted, 0);
}

static enum parse_status bad(struct command_parser *parser, const char *error)
{
    parser->error = error;
    return PARSE_BAD;
}

static void reset(struct command_parser *parser)
{
    parser->position = 0;
    parser->is_multibulk = false;
    parser->is_careful = parser->is_restricted;
    parser->has_bulk_length = false;
    parser->nargs = 0;
}

/* Offsets become addresses now that the bytes do not move any more. */
static enum parse_status finish(struct command_parser *parser, const char *data, bool is_inline,
                                struct command *command)
{
    const char *origin = is_inline && parser->unquoted.data != NULL ? parser->unquoted.data : data;
    for (unsigned i = 0; i < parser->nargs; i++) {
        parser->args[i].data = origin + (size_t)parser->args[i].data;
    }
    *command = (struct command){.argv = parser->args,
                                .argc = parser->nargs,
                                .raw = {data, parser->position},
                                .is_inline = is_inline};
    reset(parser);
    return PARSE_OK;
}

static void add_arg(struct command_parser *parser, size_t offset, size_t length)
{
    if (parser->nargs == parser->capacity) {
        parser->capacity = parser->capacity == 0 ? 8 : parser->capacity * 2;
        parser->args = mem_realloc(parser->args, parser->capacity * sizeof(*parser->args));
    }
    /* An offset in a pointer's place until finish(): one array serves both. */
    parser->args[parser->nargs++] = (struct slice){(const char *)offset, length};
}

/* The number of a "*N" or "$N" line at `position`, whose first byte is the mark. Fast for the
 * lines that clients send; anything else goes the strict way. */
static enum parse_status header(struct command_parser *parser, const char *data, size_t size,
                                const char *too_big, int64_t *value, bool *is_number)
{
    size_t at = parser->position + 1;
    int64_t number = 0;
    size_t digits = at;
    while (digits < size && digits - at < 10 && (unsigned char)(data[digits] - '0') <= 9) {
        number = number * 10 + (data[digits++] - '0');
    }
    bool is_simple = digits > at && digits + 1 < size && data[digits] == '\r' &&
                     (data[at] != '0' || digits == at + 1);
    if (is_simple) {
        parser->position = digits + 2;
        *value = number;
        *is_number = true;
        return PARSE_OK;
    }
    const char *end = memchr(data + at, '\r', size - at);
    if (end == NULL || end + 1 >= data + size) {
        return size - parser->position > COMMAND_INLINE_MAX ? bad(parser, too_big) : PARSE_MORE;
    }
    struct slice text = {data + at, (size_t)(end - data) - at};
    /* As Redis' string2ll: "01", "-0" and "-01" are no numbers. */
    *is_number = number_parse_i64(text, value) &&
                 !(text.len > 1 && (text.data[0] == '0' || memcmp(text.data, "-0", 2) == 0));
    parser->position = (size_t)(end - data) + 2;
    return PARSE_OK;
}

static enum parse_status begin_multibulk(struct command_parser *parser, const char *data,
                                         size_t size)
{
    int64_t count = 0;
    bool is_number = false;
    enum parse_status status =
        header(parser, data, size, "too big mbulk count string", &count, &is_number);
    if (status != PARSE_OK) {
        return status;
    }
    if (!is_number || count > INT_MAX) {
        return bad(parser, "invalid multibulk length");
    }
    if (count > RESTRICTED_ARGS_MAX && parser->is_restricted) {
        return bad(parser, "unauthenticated multibulk length");
    }
    parser->is_multibulk = parser->is_careful = true;
    parser->args_left = count > 0 ? (uint64_t)count : 0;
    return PARSE_OK;
}

static enum parse_status begin_bulk(struct command_parser *parser, const char *data, size_t size)
{
    if (parser->position >= size) {
        return PARSE_MORE;
    }
    char mark = data[parser->position];
    int64_t length = 0;
    bool is_number = false;
    if (mark != '$') {
        const char *end = memchr(data + parser->position, '\r', size - parser->position);
        if (end == NULL || end + 1 >= data + size) {
            return size - parser->position > COMMAND_INLINE_MAX
                       ? bad(parser, "too big bulk count string")
                       : PARSE_MORE;
        }
        /* No line break may get into an error's line. */
        (void)snprintf(parser->error_text, sizeof(parser->error_text), "expected '$', got '%c'",
                       mark == '\r' || mark == '\n' ? ' ' : mark);
        return bad(parser, parser->error_text);
    }
    enum parse_status status =
        header(parser, data, size, "too big bulk count string", &length, &is_number);
    if (status != PARSE_OK) {
        return status;
    }
    if (!is_number || length < 0 || (uint64_t)length > parser->bulk_max) {
        return bad(parser, "invalid bulk length");
    }
    if (length > RESTRICTED_BULK_MAX && parser->is_restricted) {
        return bad(parser, "unauthenticated bulk length");
    }
    parser->bulk_length = (uint64_t)length;
    parser->has_bulk_length = true;
    return PARSE_OK;
}

static enum parse_status parse_multibulk(struct command_parser *parser, const char *data,
                                         size_t size, struct command *command)
{
    while (parser->args_left > 0) {
        if (!parser->has_bulk_length) {
            enum parse_status status = begin_bulk(parser, data, size);
            if (status != PARSE_OK) {
                return status;
            }
        }
        if (size - parser->position < parser->bulk_length + 2) {
            return PARSE_MORE;
        }
        /* Like Redis, the two bytes behind the argument are not looked at. */
        add_arg(parser, parser->position, (size_t)parser->bulk_length);
        parser->position += (size_t)parser->bulk_length + 2;
        parser->has_bulk_length = false;
        parser->args_left--;
    }
    return finish(parser, data, false, command);
}

static unsigned hex_digit(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)((digit | 0x20) - 'a') + 10;
}

/* What an escape in a double-quoted word stands for; *length is how much of text it used. */
static char unescape(const char *text, size_t left, size_t *length)
{
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    if (left >= 4 && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
        isxdigit((unsigned char)text[3])) {
        *length = 4;
        return (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
    }
    const char *known = text[1] != '\0' ? strchr(from, text[1]) : NULL;
    *length = 2;
    return known != NULL ? to[known - from] : text[1];
}

/* Redis ends a word at fewer bytes than it skips between two words. */
static bool ends_word(char byte)
{
    return byte == ' ' || byte == '\r' || byte == '\t';
}

/* One word of an inline command, as Redis' sdssplitargs reads it, appended to `unquoted`.
 * False when the quotes do not match. */
static bool read_word(struct command_parser *parser, struct slice line, size_t *at)
{
    size_t from = buffer_length(&parser->unquoted);
    char quote = '\0';
    size_t i = *at;
    for (; i < line.len && (quote != '\0' || !ends_word(line.data[i]));) {
        char byte = line.data[i];
        size_t used = 1;
        if (quote == '"' && byte == '\\' && i + 1 < line.len) {
            byte = unescape(line.data + i, line.len - i, &used);
        } else if (quote == '\'' && byte == '\\' && i + 1 < line.len && line.data[i + 1] == '\'') {
            byte = '\'';
            used = 2;
        } else if (byte == quote && quote != '\0') {
            if (i + 1 < line.len && !isspace((unsigned char)line.data[i + 1])) {
                return false; /* a closing quote is followed by a space, or by nothing */
            }
            quote = '\0';
            i++;
            break;
        } else if (quote == '\0' && (byte == '"' || byte == '\'')) {
            quote = byte;
            i++;
            continue;
        }
        buffer_add(&parser->unquoted, &byte, 1);
        i += used;
    }
    *at = i;
    add_arg(parser, from, buffer_length(&parser->unquoted) - from);
    return quote == '\0';
}

static enum parse_status parse_inline(struct command_parser *parser, const char *data, size_t size,
                                      struct command *command)
{
    const char *newline = memchr(data, '\n', size);
    if (newline == NULL) {
        return size > COMMAND_INLINE_MAX ? bad(parser, "too big inline request") : PARSE_MORE;
    }
    struct slice line = {data, (size_t)(newline - data)};
    parser->position = line.len + 1;
    if (line.len > COMMAND_INLINE_MAX) {
        return bad(parser, "too big inline request");
    }
    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    buffer_clear(&parser->unquoted);
    for (size_t at = 0; at < line.len;) {
        if (isspace((unsigned char)line.data[at])) {
            at++;
        } else if (!read_word(parser, line, &at)) {
            return bad(parser, "unbalanced quotes in request");
        }
    }
    return finish(parser, data, true, command);
}

__attribute__((noinline)) static void grow_args(struct command_parser *parser, size_t count)
{
    parser->capacity = (unsigned)mem_grown(parser->capacity, count);
    parser->args = mem_realloc(parser->args, parser->capacity * sizeof(*parser->args));
}

static inline void make_room_for(struct command_parser *parser, size_t count)
{
    if (count > parser->capacity) {
        grow_args(parser, count);
    }
}

/* A whole command, written as clients do, in one pass. False leaves it, from its start, to the
 * careful way, which knows the errors and remembers where a part ends. */
static inline bool parse_whole(struct command_parser *parser, const char *data, size_t size,
                               struct command *command)
{
    const char *end = data + size;
    struct length count = length_read(data, end, '*');
    if (count.next == NULL || count.value == 0 || count.value * SMALLEST_ARG > size) {
        return false;
    }
    make_room_for(parser, count.value);
    const char *at = count.next;
    struct slice *arg = parser->args, *last = arg + count.value;
    for (; arg < last; arg++) {
        struct length length = length_read(at, end, '$');
        if (length.next == NULL || length.value > parser->bulk_max ||
            (size_t)(end - length.next) < length.value + 2) {
            return false;
        }
        *arg = (struct slice){length.next, length.value};
        at = length.next + length.value + 2;
    }
    *command = (struct command){
        .argv = parser->args, .argc = (unsigned)count.value, .raw = {data, (size_t)(at - data)}};
    return true;
}

/* Out of the way of what nearly always comes. */
__attribute__((noinline)) static enum parse_status parse_carefully(struct command_parser *parser,
                                                                   const char *data, size_t size,
                                                                   struct command *command)
{
    if (size == 0) {
        return PARSE_MORE;
    }
    if (parser->is_multibulk) {
        return parse_multibulk(parser, data, size, command);
    }
    if (data[0] != '*') {
        return parse_inline(parser, data, size, command);
    }
    enum parse_status status = begin_multibulk(parser, data, size);
    return status == PARSE_OK ? parse_multibulk(parser, data, size, command) : status;
}

enum parse_status command_parse(struct command_parser *parser, const char *data, size_t size,
                                struct command *command)
{
    if (!parser->is_careful && parse_whole(parser, data, size, command)) {
        return PARSE_OK;
    }
    return parse_carefully(parser, data, size, command);
}

size_t command_parser_needs(const struct command_parser *parser)
{
    return parser->has_bulk_length ? parser->position + (size_t)parser->bulk_length + 2 : 0;
}

bool command_parser_begun(struct command_parser *parser, const char *data, size_t size,
                          unsigned args_max, struct command *command)
{
    if (!parser->has_bulk_length || parser->nargs == 0 ||
        parser->nargs + parser->args_left > args_max) {
        return false;
    }
    unsigned argc = parser->nargs + (unsigned)parser->args_left;
    make_room_for(parser, (size_t)argc * 2);
    struct slice *argv = parser->args + argc; /* the offsets may still be needed */
    for (unsigned i = 0; i < argc; i++) {
        const struct slice *arg = &parser->args[i];
        argv[i] = i < parser->nargs ? (struct slice){data + (size_t)arg->data, arg->len}
                                    : (struct slice){NULL, 0};
    }
    *command = (struct command){.argv = argv, .argc = argc, .raw = {data, size}};
    return true;
}

void command_parser_let_pass(struct command_parser *parser, size_t size)
{
    ASSERT(parser->has_bulk_length && command_parser_needs(parser) > size);
    parser->bulk_length = command_parser_needs(parser) - size;
    parser->nargs = 0;
}

enum parse_status command_pass(struct command_parser *parser, const char *data, size_t size,
                               size_t *used)
{
    parser->position = 0;
    while (parser->args_left > 0) {
        if (!parser->has_bulk_length) {
            enum parse_status status = begin_bulk(parser, data, size);
            if (status != PARSE_OK) {
                *used = parser->position;
                return status;
            }
            parser->bulk_length += 2;
        }
        size_t there = size - parser->position;
        if (there < parser->bulk_length) {
            parser->bulk_length -= there;
            *used = size;
            return PARSE_MORE;
        }
        parser->position += (size_t)parser->bulk_length;
        parser->has_bulk_length = false;
        parser->args_left--;
    }
    *used = parser->position;
    reset(parser);
    return PARSE_OK;
}
