#include "tests/support/load/workload.h"

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"

#define KEY_LENGTH   16u
#define DIGITS       12u
#define SIZES_STRIDE 7919u /* a prime: neighbours get other sizes */

static const char *const kind_names[] = {"get", "set", "mix", "mget", "fill"};

bool workload_init(struct workload *workload, const char *kind, uint64_t keys, size_t value_min,
                   size_t value_max, struct error *err)
{
    unsigned found = 0;
    while (found < sizeof(kind_names) / sizeof(kind_names[0]) &&
           strcmp(kind_names[found], kind) != 0) {
        found++;
    }
    if (found == sizeof(kind_names) / sizeof(kind_names[0])) {
        error_set(err, "\"%s\" is no kind of load (known: get set mix mget fill)", kind);
        return false;
    }
    *workload = (struct workload){.kind = (enum workload_kind)found,
                                  .keys = keys,
                                  .value_min = value_min,
                                  .value_max = value_max,
                                  .mget_keys = 10,
                                  .random = 88172645463325252U};
    workload->padding = mem_alloc(value_max);
    memset(workload->padding, 'x', value_max);
    return true;
}

void workload_fini(struct workload *workload)
{
    mem_free(workload->padding);
}

static size_t value_length(const struct workload *workload, uint64_t key)
{
    size_t range = workload->value_max - workload->value_min + 1;
    return workload->value_min + (size_t)(key * SIZES_STRIDE % range);
}

static void format_digits(char *text, uint64_t key)
{
    for (unsigned i = DIGITS; i-- > 0; key /= 10) {
        text[i] = (char)('0' + key % 10);
    }
}

static void write_key(struct buffer *out, uint64_t key)
{
    char text[KEY_LENGTH] = "key:";
    format_digits(text + 4, key);
    write_bulk(out, (struct slice){text, KEY_LENGTH});
}

/* xorshift64: the same keys in the same order in every run. */
static uint64_t next_random(struct workload *workload)
{
    uint64_t x = workload->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return workload->random = x;
}

static void write_set(const struct workload *workload, struct buffer *out, uint64_t key)
{
    size_t length = value_length(workload, key);
    char digits[DIGITS], count[20];
    unsigned ncount = number_format_u64(count, length);
    format_digits(digits, key);
    write_array(out, 3);
    write_bulk(out, SLICE("SET"));
    write_key(out, key);
    buffer_add(out, "$", 1);
    buffer_add(out, count, ncount);
    buffer_add(out, "\r\n", 2);
    buffer_add(out, digits, DIGITS);
    buffer_add(out, workload->padding, length - DIGITS);
    buffer_add(out, "\r\n", 2);
}

void workload_ask(struct workload *workload, struct buffer *out, struct asked *asked)
{
    uint64_t number = workload->asked++;
    bool is_fill = workload->kind == WORKLOAD_FILL;
    asked->key = (is_fill ? number : next_random(workload)) % workload->keys;
    asked->is_set = is_fill || workload->kind == WORKLOAD_SET ||
                    (workload->kind == WORKLOAD_MIX && number % 2 == 1);
    if (asked->is_set) {
        write_set(workload, out, asked->key);
    } else if (workload->kind == WORKLOAD_MGET) {
        write_array(out, 1 + (uint64_t)workload->mget_keys);
        write_bulk(out, SLICE("MGET"));
        for (unsigned i = 0; i < workload->mget_keys; i++) {
            write_key(out, (asked->key + i) % workload->keys);
        }
    } else {
        write_array(out, 2);
        write_bulk(out, SLICE("GET"));
        write_key(out, asked->key);
    }
}

/* --- replies --------------------------------------------------------------------------------- */

struct cursor {
    const char *data;
    size_t size, at;
};

/* The bytes that must come next; what is there of them must be equal. */
static enum reply_check expect(struct cursor *cursor, const char *bytes, size_t length)
{
    size_t there = cursor->size - cursor->at;
    if (memcmp(cursor->data + cursor->at, bytes, there < length ? there : length) != 0) {
        return REPLY_WRONG;
    }
    cursor->at += there < length ? there : length;
    return there < length ? REPLY_MORE : REPLY_RIGHT;
}

static enum reply_check expect_value(const struct workload *workload, uint64_t key,
                                     struct cursor *cursor)
{
    size_t length = value_length(workload, key);
    char head[24 + DIGITS] = "$";
    unsigned used = 1 + number_format_u64(head + 1, length);
    memcpy(head + used, "\r\n", 2);
    format_digits(head + used + 2, key);
    enum reply_check check = expect(cursor, head, used + 2 + DIGITS);
    if (check == REPLY_RIGHT) {
        check = expect(cursor, workload->padding, length - DIGITS);
    }
    return check == REPLY_RIGHT ? expect(cursor, "\r\n", 2) : check;
}

static enum reply_check expect_values(const struct workload *workload, uint64_t first,
                                      struct cursor *cursor)
{
    char head[24] = "*";
    unsigned used = 1 + number_format_u64(head + 1, workload->mget_keys);
    memcpy(head + used, "\r\n", 2);
    enum reply_check check = expect(cursor, head, used + 2);
    for (unsigned i = 0; i < workload->mget_keys && check == REPLY_RIGHT; i++) {
        check = expect_value(workload, (first + i) % workload->keys, cursor);
    }
    return check;
}

enum reply_check workload_check(const struct workload *workload, const struct asked *asked,
                                const char *data, size_t size, size_t *used)
{
    struct cursor cursor = {data, size, 0};
    enum reply_check check;
    if (size > 0 && data[0] == '-') {
        const char *end = memchr(data, '\n', size);
        *used = end == NULL ? 0 : (size_t)(end - data) + 1;
        return end == NULL ? REPLY_MORE : REPLY_ERROR;
    }
    if (asked->is_set) {
        check = expect(&cursor, "+OK\r\n", 5);
    } else if (workload->kind == WORKLOAD_MGET) {
        check = expect_values(workload, asked->key, &cursor);
    } else {
        check = expect_value(workload, asked->key, &cursor);
    }
    *used = cursor.at;
    return check;
}
