#include "tests/support/history/model.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"

#define WORDS_MAX 4
#define NIL       "(nil)"

struct call {
    struct slice words[WORDS_MAX];
    unsigned count;
    struct slice body; /* of the state, without its "s:" */
    struct buffer *next;
    struct buffer *result;
};

static void split(struct call *call, const char *command)
{
    call->count = 0;
    while (*command != '\0' && call->count < WORDS_MAX) {
        size_t length = strcspn(command, " ");
        call->words[call->count++] = (struct slice){command, length};
        command += length + (command[length] == ' ');
    }
}

static bool is(const struct call *call, const char *name, unsigned words)
{
    return call->count == words && slice_equal(call->words[0], slice_of(name));
}

static void add(struct buffer *out, struct slice text)
{
    buffer_add(out, text.data, text.len);
}

static void set_state(struct call *call, const char *kind, struct slice body)
{
    buffer_clear(call->next);
    buffer_add_text(call->next, kind);
    add(call->next, body);
}

static void answer_number(struct call *call, int64_t number)
{
    buffer_printf(call->result, ":%" PRId64, number);
}

static void answer_value(struct call *call, struct slice value)
{
    if (value.data == NULL) {
        buffer_add_text(call->result, NIL);
    } else {
        add(call->result, value);
    }
}

/* --- strings --------------------------------------------------------------------------------- */

/* Null data when there is no key. */
static struct slice string_of(const char *state, const struct call *call)
{
    return state[0] == '\0' ? (struct slice){NULL, 0} : call->body;
}

static bool add_number(struct call *call, struct slice value, struct slice by)
{
    int64_t number = 0, step = 0;
    char digits[24];
    if ((value.data != NULL && !number_parse_i64(value, &number)) || !number_parse_i64(by, &step)) {
        return false;
    }
    int length = snprintf(digits, sizeof(digits), "%" PRId64, number + step);
    set_state(call, "s:", (struct slice){digits, (size_t)length});
    answer_number(call, number + step);
    return true;
}

static bool string_step(const char *state, struct call *call)
{
    struct slice value = string_of(state, call);
    if (is(call, "GET", 1)) {
        answer_value(call, value);
    } else if (is(call, "SET", 2)) {
        set_state(call, "s:", call->words[1]);
        buffer_add_text(call->result, "+OK");
    } else if (is(call, "GETSET", 2)) {
        answer_value(call, value);
        set_state(call, "s:", call->words[1]);
    } else if (is(call, "GETDEL", 1)) {
        answer_value(call, value);
        buffer_clear(call->next);
    } else if (is(call, "SETNX", 2)) {
        answer_number(call, value.data == NULL);
        if (value.data == NULL) {
            set_state(call, "s:", call->words[1]);
        }
    } else if (is(call, "APPEND", 2)) {
        set_state(call, "s:", value.data != NULL ? value : SLICE(""));
        add(call->next, call->words[1]);
        answer_number(call, (int64_t)(value.len + call->words[1].len));
    } else if (is(call, "INCR", 1)) {
        return add_number(call, value, SLICE("1"));
    } else if (is(call, "INCRBY", 2)) {
        return add_number(call, value, call->words[1]);
    } else {
        return false;
    }
    return true;
}

/* --- hashes and lists: elements between commas ------------------------------------------------ */

static struct slice cut(struct slice *rest)
{
    const char *comma = rest->len > 0 ? memchr(rest->data, ',', rest->len) : NULL;
    size_t length = comma != NULL ? (size_t)(comma - rest->data) : rest->len;
    struct slice element = {rest->data, length};
    size_t skip = comma != NULL ? length + 1 : length;
    *rest = (struct slice){rest->data + skip, rest->len - skip};
    return element;
}

static int64_t count_elements(struct slice body)
{
    int64_t count = 0;
    while (body.len > 0) {
        (void)cut(&body);
        count++;
    }
    return count;
}

static struct slice field_of(struct slice element)
{
    const char *sign = memchr(element.data, '=', element.len);
    return (struct slice){element.data, (size_t)(sign - element.data)};
}

static int compare(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct slice find_field(struct slice body, struct slice field)
{
    while (body.len > 0) {
        struct slice element = cut(&body);
        struct slice name = field_of(element);
        if (slice_equal(name, field)) {
            return (struct slice){element.data + name.len + 1, element.len - name.len - 1};
        }
    }
    return (struct slice){NULL, 0};
}

static void add_element(struct call *call, const char *kind, struct slice element)
{
    buffer_add_text(call->next, buffer_length(call->next) == 0 ? kind : ",");
    add(call->next, element);
}

static void add_pair(struct call *call, struct slice field, struct slice value)
{
    add_element(call, "h:", field);
    buffer_add_text(call->next, "=");
    add(call->next, value);
}

/* The hash with the field set; a value without data removes it. */
static void put_field(struct call *call, struct slice field, struct slice value)
{
    struct slice body = call->body;
    bool is_put = value.data == NULL;
    buffer_clear(call->next);
    while (body.len > 0) {
        struct slice element = cut(&body);
        int order = compare(field, field_of(element));
        if (!is_put && order <= 0) {
            add_pair(call, field, value);
            is_put = true;
        }
        if (order != 0) {
            add_element(call, "h:", element);
        }
    }
    if (!is_put) {
        add_pair(call, field, value);
    }
}

static bool hash_step(struct call *call)
{
    struct slice field = call->count > 1 ? call->words[1] : SLICE("");
    struct slice old = find_field(call->body, field);
    int64_t number = 0, step = 0;
    char digits[24];
    if (is(call, "HGET", 2)) {
        answer_value(call, old);
    } else if (is(call, "HLEN", 1)) {
        answer_number(call, count_elements(call->body));
    } else if (is(call, "HSET", 3)) {
        answer_number(call, old.data == NULL);
        put_field(call, field, call->words[2]);
    } else if (is(call, "HDEL", 2)) {
        answer_number(call, old.data != NULL);
        put_field(call, field, (struct slice){NULL, 0});
    } else if (is(call, "HINCRBY", 3) && number_parse_i64(call->words[2], &step) &&
               (old.data == NULL || number_parse_i64(old, &number))) {
        int length = snprintf(digits, sizeof(digits), "%" PRId64, number + step);
        put_field(call, field, (struct slice){digits, (size_t)length});
        answer_number(call, number + step);
    } else {
        return false;
    }
    return true;
}

static void push(struct call *call, bool is_left)
{
    buffer_clear(call->next);
    if (is_left) {
        add_element(call, "l:", call->words[1]);
    }
    if (call->body.len > 0) {
        add_element(call, "l:", call->body);
    }
    if (!is_left) {
        add_element(call, "l:", call->words[1]);
    }
    answer_number(call, count_elements(call->body) + 1);
}

static void pop(struct call *call, bool is_left)
{
    struct slice rest = call->body;
    int64_t keep = count_elements(rest) - 1;
    buffer_clear(call->next);
    if (keep < 0) {
        buffer_add_text(call->result, NIL);
        return;
    }
    for (int64_t i = 0; i <= keep; i++) {
        struct slice element = cut(&rest);
        bool is_popped = is_left ? i == 0 : i == keep;
        if (is_popped) {
            add(call->result, element);
        } else {
            add_element(call, "l:", element);
        }
    }
}

static void list_all(struct call *call)
{
    struct slice rest = call->body;
    buffer_add_text(call->result, "[");
    for (bool is_first = true; rest.len > 0; is_first = false) {
        buffer_add_text(call->result, is_first ? "" : ", ");
        add(call->result, cut(&rest));
    }
    buffer_add_text(call->result, "]");
}

static bool list_step(struct call *call)
{
    if (is(call, "LPUSH", 2) || is(call, "RPUSH", 2)) {
        push(call, call->words[0].data[0] == 'L');
    } else if (is(call, "LPOP", 1) || is(call, "RPOP", 1)) {
        pop(call, call->words[0].data[0] == 'L');
    } else if (is(call, "LLEN", 1)) {
        answer_number(call, count_elements(call->body));
    } else if (is(call, "LRANGE", 3)) {
        list_all(call); /* only ever asked for 0 -1 */
    } else {
        return false;
    }
    return true;
}

static bool one_step(const char *state, const char *command, struct buffer *next,
                     struct buffer *result)
{
    struct call call = {.next = next, .result = result};
    bool is_known = true;
    split(&call, command);
    call.body = state[0] != '\0' ? slice_of(state + 2) : SLICE("");
    buffer_clear(result);
    buffer_clear(next);
    buffer_add_text(next, state);
    if (is(&call, "DEL", 1)) {
        answer_number(&call, state[0] != '\0');
        buffer_clear(next);
    } else if (command[0] == 'H') {
        is_known = (state[0] == '\0' || state[0] == 'h') && hash_step(&call);
    } else if (command[0] == 'L' || strncmp(command, "RP", 2) == 0) {
        is_known = (state[0] == '\0' || state[0] == 'l') && list_step(&call);
    } else {
        is_known = (state[0] == '\0' || state[0] == 's') && string_step(state, &call);
    }
    buffer_add(next, "", 1);
    buffer_add(result, "", 1);
    return is_known;
}

/* "A|B|...": one after the other, with nothing between them; the result is the array of theirs. */
static bool transaction_step(const char *state, const char *command, struct buffer *next,
                             struct buffer *result)
{
    struct buffer all;
    char *now = mem_strdup(state);
    bool is_known = true;
    buffer_init(&all, SIZE_MAX);
    while (is_known && *command != '\0') {
        size_t length = strcspn(command, "|");
        char *part = mem_strndup(command, length);
        is_known = one_step(now, part, next, result);
        buffer_printf(&all, "%s%s", buffer_length(&all) > 0 ? ", " : "[",
                      buffer_slice(result).data);
        mem_free(part);
        mem_free(now);
        now = mem_strdup(buffer_slice(next).data);
        command += length + (command[length] == '|');
    }
    buffer_clear(result);
    buffer_printf(result, "%.*s]", (int)buffer_length(&all), buffer_slice(&all).data);
    buffer_add(result, "", 1);
    mem_free(now);
    buffer_fini(&all);
    return is_known;
}

bool model_step(const char *state, const char *command, struct buffer *next, struct buffer *result)
{
    return strchr(command, '|') != NULL ? transaction_step(state, command, next, result)
                                        : one_step(state, command, next, result);
}
