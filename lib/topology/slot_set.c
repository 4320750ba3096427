#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/topology/slot.h"

#define HEX_MARK "hex:"

static unsigned words_of(unsigned nslots)
{
    return (nslots + 63) / 64;
}

void slot_set_init(struct slot_set *set, unsigned nslots)
{
    ASSERT(nslots > 0 && nslots <= SLOTS_MAX);
    set->nslots = nslots;
    set->bits = mem_zalloc(words_of(nslots) * sizeof(*set->bits));
}

void slot_set_fini(struct slot_set *set)
{
    mem_free(set->bits);
    *set = (struct slot_set){0, NULL};
}

void slot_set_copy(struct slot_set *to, const struct slot_set *from)
{
    to->nslots = from->nslots;
    to->bits = mem_dup(from->bits, words_of(from->nslots) * sizeof(*from->bits));
}

void slot_set_add(struct slot_set *set, unsigned slot)
{
    ASSERT(slot < set->nslots);
    set->bits[slot / 64] |= (uint64_t)1 << (slot % 64);
}

unsigned slot_set_next(const struct slot_set *set, unsigned from)
{
    if (from >= set->nslots) {
        return set->nslots;
    }
    unsigned word = from / 64;
    uint64_t bits = set->bits[word] & (~(uint64_t)0 << (from % 64));
    while (bits == 0) {
        if (++word == words_of(set->nslots)) {
            return set->nslots;
        }
        bits = set->bits[word];
    }
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

unsigned slot_set_count(const struct slot_set *set)
{
    unsigned count = 0;
    for (unsigned i = 0; i < words_of(set->nslots); i++) {
        count += (unsigned)__builtin_popcountll(set->bits[i]);
    }
    return count;
}

bool slot_set_intersects(const struct slot_set *a, const struct slot_set *b)
{
    ASSERT(a->nslots == b->nslots);
    for (unsigned i = 0; i < words_of(a->nslots); i++) {
        if ((a->bits[i] & b->bits[i]) != 0) {
            return true;
        }
    }
    return false;
}

static unsigned digits_of(unsigned nslots)
{
    return (nslots + 3) / 4;
}

void slot_set_format_hex(const struct slot_set *set, struct buffer *text)
{
    unsigned ndigits = digits_of(set->nslots);
    buffer_add_text(text, HEX_MARK);
    char *digits = buffer_reserve(text, ndigits);
    ASSERT(digits != NULL);
    for (unsigned i = 0; i < ndigits; i++) {
        digits[i] = "0123456789abcdef"[set->bits[i / 16] >> (i % 16 * 4) & 15];
    }
    buffer_commit(text, ndigits);
}

static bool hex_digit(char digit, uint64_t *value)
{
    if (digit >= '0' && digit <= '9') {
        *value = (uint64_t)(digit - '0');
        return true;
    }
    *value = (uint64_t)(digit - 'a') + 10;
    return digit >= 'a' && digit <= 'f';
}

static bool parse_hex(struct slot_set *set, struct slice digits, struct error *err)
{
    unsigned last_bits = set->nslots % 4;
    if (digits.len != digits_of(set->nslots)) {
        return error_set(err, "%zu digits of slots, %u slots have %u", digits.len, set->nslots,
                         digits_of(set->nslots));
    }
    for (unsigned i = 0; i < digits.len; i++) {
        uint64_t value;
        if (!hex_digit(digits.data[i], &value)) {
            return error_set(err, "digit %u of the slots is none of 0-9 and a-f", i);
        }
        if (i + 1 == digits.len && last_bits != 0 && value >> last_bits != 0) {
            return error_set(err, "slots go from 0 to %u", set->nslots - 1);
        }
        set->bits[i / 16] |= value << (i % 16 * 4);
    }
    return true;
}

static void format_range(struct buffer *text, unsigned first, unsigned last)
{
    char range[48];
    unsigned length = number_format_u64(range, first);
    if (last > first) {
        range[length++] = '-';
        length += number_format_u64(range + length, last);
    }
    buffer_add(text, range, length);
}

void slot_set_format(const struct slot_set *set, struct buffer *text)
{
    unsigned first = slot_set_next(set, 0);
    for (bool is_first = true; first < set->nslots; is_first = false) {
        unsigned end = first + 1;
        while (end < set->nslots && slot_set_has(set, end)) {
            end++;
        }
        if (!is_first) {
            buffer_add_text(text, ",");
        }
        format_range(text, first, end - 1);
        first = slot_set_next(set, end);
    }
}

/* "5" or "5-9", both within the set. */
static bool parse_range(struct slot_set *set, struct slice part, struct error *err)
{
    const char *dash = part.len > 0 ? memchr(part.data, '-', part.len) : NULL;
    struct slice head = part, tail = part;
    if (dash != NULL) {
        head.len = (size_t)(dash - part.data);
        tail = (struct slice){dash + 1, part.len - head.len - 1};
    }
    uint64_t first, last;
    if (!number_parse_u64(head, &first) || !number_parse_u64(tail, &last)) {
        return error_set(err, "\"%.*s\" is not a slot or a range: write slots like 0-99,200",
                         (int)(part.len < 40 ? part.len : 40), part.data);
    }
    if (first > last || last >= set->nslots) {
        return error_set(err, "slots %.*s: a range must rise, and slots go from 0 to %u",
                         (int)(part.len < 40 ? part.len : 40), part.data, set->nslots - 1);
    }
    for (uint64_t slot = first; slot <= last; slot++) {
        slot_set_add(set, (unsigned)slot);
    }
    return true;
}

bool slot_set_parse(struct slot_set *set, struct slice text, struct error *err)
{
    const size_t mark = sizeof(HEX_MARK) - 1;
    if (text.len == 0) {
        return true;
    }
    if (text.len >= mark && memcmp(text.data, HEX_MARK, mark) == 0) {
        return parse_hex(set, (struct slice){text.data + mark, text.len - mark}, err);
    }
    for (;;) {
        const char *comma = text.len > 0 ? memchr(text.data, ',', text.len) : NULL;
        size_t length = comma != NULL ? (size_t)(comma - text.data) : text.len;
        if (!parse_range(set, (struct slice){text.data, length}, err)) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        text = (struct slice){comma + 1, text.len - length - 1};
    }
}
