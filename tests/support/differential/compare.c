#include "tests/support/differential/compare.h"

#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "tests/support/differential/command.h"
#include "tests/support/raw.h"

#define NEAR_ENOUGH 20000 /* in ms, or in s */

/* The first line of a value: its type, and what stands behind it up to CRLF. */
static struct slice head_of(struct slice value)
{
    const char *end = memchr(value.data, '\r', value.len);
    ASSERT(end != NULL);
    return (struct slice){value.data, (size_t)(end - value.data)};
}

/* How many values stand inside this one; 0 for a value without. */
static uint64_t elements_of(struct slice value)
{
    uint64_t count;
    struct slice head = head_of(value);
    if (memchr("*~%>", head.data[0], 4) == NULL ||
        !number_parse_u64((struct slice){head.data + 1, head.len - 1}, &count)) {
        return 0;
    }
    return head.data[0] == '%' ? 2 * count : count;
}

/* --- without order --------------------------------------------------------------------------- */

static int compare_slices(const void *a, const void *b)
{
    const struct slice *first = a;
    const struct slice *second = b;
    size_t shorter = first->len < second->len ? first->len : second->len;
    int order = memcmp(first->data, second->data, shorter);
    return order != 0 ? order : (first->len > second->len) - (first->len < second->len);
}

static bool hides_number(struct slice value, unsigned comparison)
{
    return (comparison & COMPARE_NEAR) != 0 && value.data[0] == ':' && value.data[1] != '-';
}

/* Appends the value with all elements sorted, at each depth; the same bytes for the same elements,
 * whatever their order. */
static void add_sorted(struct buffer *out, struct slice value, unsigned comparison)
{
    uint64_t count = elements_of(value);
    if (count == 0) {
        buffer_add(out, value.data, hides_number(value, comparison) ? 1 : value.len);
        return;
    }
    struct slice head = head_of(value);
    struct slice rest = {value.data + head.len + 2, value.len - head.len - 2};
    struct buffer *parts = mem_alloc(count * sizeof(*parts));
    struct slice *sorted = mem_alloc(count * sizeof(*sorted));
    for (uint64_t i = 0; i < count; i++) {
        size_t length = raw_reply_length(rest);
        buffer_init(&parts[i], SIZE_MAX);
        add_sorted(&parts[i], (struct slice){rest.data, length}, comparison);
        sorted[i] = buffer_slice(&parts[i]);
        rest = (struct slice){rest.data + length, rest.len - length};
    }
    qsort(sorted, count, sizeof(*sorted), compare_slices);
    buffer_add(out, head.data, head.len + 2);
    for (uint64_t i = 0; i < count; i++) {
        buffer_add(out, sorted[i].data, sorted[i].len);
    }
    for (uint64_t i = 0; i < count; i++) {
        buffer_fini(&parts[i]);
    }
    mem_free(parts);
    mem_free(sorted);
}

static bool are_same_elements(struct slice a, struct slice b, unsigned comparison)
{
    struct buffer first, second;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    add_sorted(&first, a, comparison);
    add_sorted(&second, b, comparison);
    bool are_equal = slice_equal(buffer_slice(&first), buffer_slice(&second));
    buffer_fini(&first);
    buffer_fini(&second);
    return are_equal;
}

/* --- about the same time --------------------------------------------------------------------- */

static bool are_near_numbers(struct slice a, struct slice b)
{
    int64_t first, second;
    if (a.data[0] != ':' || b.data[0] != ':' ||
        !number_parse_i64((struct slice){a.data + 1, a.len - 1}, &first) ||
        !number_parse_i64((struct slice){b.data + 1, b.len - 1}, &second)) {
        return false;
    }
    bool are_times = first >= 0 && second >= 0;
    return are_times && llabs(first - second) <= NEAR_ENOUGH;
}

/* Cuts off the front what is one header line, with the body of a string: the values of an aggregate
 * simply follow its line. */
static struct slice take_token(struct slice *rest)
{
    uint64_t length;
    struct slice head = head_of(*rest);
    size_t size = head.len + 2;
    if (memchr("$=!", head.data[0], 3) != NULL &&
        number_parse_u64((struct slice){head.data + 1, head.len - 1}, &length)) {
        size += (size_t)length + 2;
    }
    *rest = (struct slice){rest->data + size, rest->len - size};
    return (struct slice){head.data, size - 2};
}

static bool are_near(struct slice a, struct slice b)
{
    while (a.len > 0 && b.len > 0) {
        struct slice first = take_token(&a), second = take_token(&b);
        if (!slice_equal(first, second) && !are_near_numbers(first, second)) {
            return false;
        }
    }
    return a.len == b.len;
}

bool replies_agree(struct slice a, struct slice b, unsigned comparison)
{
    if (slice_equal(a, b)) {
        return true;
    }
    if (a.data[0] != b.data[0] || comparison == COMPARE_BYTES) {
        return false;
    }
    if ((comparison & COMPARE_KIND) != 0) {
        return a.data[0] != '-' && (a.data[1] == '-') == (b.data[1] == '-');
    }
    return (comparison & COMPARE_UNORDERED) != 0 ? are_same_elements(a, b, comparison)
                                                 : are_near(a, b);
}
