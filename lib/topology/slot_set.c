#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/topology/slot.h"

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

void slot_set_remove(struct slot_set *set, unsigned slot)
{
    ASSERT(slot < set->nslots);
    set->bits[slot / 64] &= ~((uint64_t)1 << (slot % 64));
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
    if (text.len == 0) {
        return true;
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
