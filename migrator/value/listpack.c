/* <total bytes: 4> <elements: 2, or 65535 when there are more> <entry>... 0xff
 * An entry is a header with or without the integer, the text, and the entry's own size so far in 1
 * to 5 bytes, which serves reading backwards and is skipped here. All little-endian. */
#include "migrator/value/listpack.h"

#define HEADER_BYTES  6
#define END_BYTE      0xff
#define COUNT_UNKNOWN 0xffff

static unsigned backwards_bytes(uint64_t entry_bytes)
{
    if (entry_bytes <= 127) {
        return 1;
    }
    if (entry_bytes < 16383) {
        return 2;
    }
    if (entry_bytes < 2097151) {
        return 3;
    }
    return entry_bytes < 268435455 ? 4 : 5;
}

/* Goes past an entry of `entry_bytes` and its size; false when it is not all there. */
static bool skip_entry(struct element_source *source, uint64_t entry_bytes)
{
    uint64_t whole = entry_bytes + backwards_bytes(entry_bytes);
    if (!element_has_bytes(source, whole)) {
        return false;
    }
    source->at += whole;
    return true;
}

static enum element_status take_text(struct element_source *source, struct element *element,
                                     unsigned header_bytes, uint64_t length)
{
    const char *text = (const char *)source->at + header_bytes;
    if (!skip_entry(source, header_bytes + length)) {
        return ELEMENT_BAD;
    }
    element->is_integer = false;
    element->text = (struct slice){text, length};
    return ELEMENT_READ;
}

static enum element_status take_integer(struct element_source *source, struct element *element,
                                        unsigned entry_bytes, int64_t integer)
{
    if (!skip_entry(source, entry_bytes)) {
        return ELEMENT_BAD;
    }
    element->is_integer = true;
    element->integer = integer;
    return ELEMENT_READ;
}

/* 0xf0: a text with a length of four bytes. 0xf1 to 0xf4: integers of 2, 3, 4 and 8 bytes. */
static enum element_status take_wide(struct element_source *source, struct element *element)
{
    const unsigned char *at = source->at;
    if (at[0] == 0xf0) {
        return element_has_bytes(source, 5)
                   ? take_text(source, element, 5, (uint32_t)element_integer_at(at + 1, 4))
                   : ELEMENT_BAD;
    }
    if (at[0] > 0xf4) {
        return ELEMENT_BAD;
    }
    unsigned width = at[0] == 0xf4 ? 8 : at[0] - 0xefU;
    if (!element_has_bytes(source, 1 + width)) {
        return ELEMENT_BAD;
    }
    return take_integer(source, element, 1 + width, element_integer_at(at + 1, width));
}

static enum element_status take_entry(struct element_source *source, struct element *element)
{
    const unsigned char *at = source->at;
    if (at[0] < 0x80) {
        return take_integer(source, element, 1, at[0]);
    }
    if (at[0] < 0xc0) {
        return take_text(source, element, 1, at[0] & 0x3f);
    }
    if (at[0] >= 0xf0) {
        return take_wide(source, element);
    }
    if (!element_has_bytes(source, 2)) {
        return ELEMENT_BAD;
    }
    if (at[0] >= 0xe0) {
        return take_text(source, element, 2, (at[0] & 0x0fU) << 8 | at[1]);
    }
    int32_t integer = (int32_t)((at[0] & 0x1fU) << 8 | at[1]); /* 13 bits, signed */
    return take_integer(source, element, 2, integer < 4096 ? integer : integer - 8192);
}

static enum element_status next(struct element_source *source, struct element *element)
{
    if (source->at == source->end) {
        return source->left == 0 || source->left == ELEMENTS_UNKNOWN ? ELEMENT_NONE : ELEMENT_BAD;
    }
    if (source->left == 0) {
        return ELEMENT_BAD;
    }
    if (source->left != ELEMENTS_UNKNOWN) {
        source->left--;
    }
    return take_entry(source, element);
}

bool listpack_open(struct element_source *source, struct slice packed)
{
    const unsigned char *bytes = (const unsigned char *)packed.data;
    *source = (struct element_source){.next = next, .problem = "a listpack in it is damaged"};
    if (packed.len <= HEADER_BYTES || bytes[packed.len - 1] != END_BYTE ||
        (uint32_t)element_integer_at(bytes, 4) != packed.len) {
        return false;
    }
    uint64_t count = bytes[4] | (uint64_t)bytes[5] << 8;
    source->left = count == COUNT_UNKNOWN ? ELEMENTS_UNKNOWN : count;
    source->at = bytes + HEADER_BYTES;
    source->end = bytes + packed.len - 1;
    return true;
}
