/* <total bytes: 4> <offset of the last entry: 4> <entries: 2, or 65535 when there are more>
 * <entry>... 0xff
 * An entry: the size of the entry before it (1 byte, or 0xfe and 4), the encoding, the content.
 * Little-endian, but for the lengths of texts. */
#include "migrator/value/ziplist.h"

#define HEADER_BYTES  10
#define END_BYTE      0xff
#define COUNT_UNKNOWN 0xffff

static enum element_status take_text(struct element_source *source, struct element *element,
                                     unsigned header_bytes, uint64_t length)
{
    if (!element_has_bytes(source, header_bytes + length)) {
        return ELEMENT_BAD;
    }
    element->is_integer = false;
    element->text = (struct slice){(const char *)source->at + header_bytes, length};
    source->at += header_bytes + length;
    return ELEMENT_READ;
}

static enum element_status take_any_text(struct element_source *source, struct element *element)
{
    const unsigned char *at = source->at;
    unsigned form = at[0] >> 6;
    if (form == 0) {
        return take_text(source, element, 1, at[0]);
    }
    unsigned header_bytes = form == 1 ? 2 : 5;
    if (!element_has_bytes(source, header_bytes)) {
        return ELEMENT_BAD;
    }
    uint64_t length = form == 1 ? (at[0] & 0x3fU) << 8 | at[1]
                                : (uint64_t)at[1] << 24 | at[2] << 16 | at[3] << 8 | at[4];
    return take_text(source, element, header_bytes, length);
}

/* Bytes of the integer behind the encoding; 0 when it stands in the encoding itself. */
static int integer_width(unsigned char encoding)
{
    switch (encoding) {
    case 0xfe:
        return 1;
    case 0xc0:
        return 2;
    case 0xf0:
        return 3;
    case 0xd0:
        return 4;
    case 0xe0:
        return 8;
    default:
        return encoding >= 0xf1 && encoding <= 0xfd ? 0 : -1;
    }
}

static enum element_status take_integer(struct element_source *source, struct element *element)
{
    int width = integer_width(source->at[0]);
    if (width < 0 || !element_has_bytes(source, 1 + (unsigned)width)) {
        return ELEMENT_BAD;
    }
    element->is_integer = true;
    element->integer = width == 0 ? (source->at[0] & 0x0f) - 1
                                  : element_integer_at(source->at + 1, (unsigned)width);
    source->at += 1 + width;
    return ELEMENT_READ;
}

static bool skip_size_before(struct element_source *source)
{
    unsigned size = source->at[0] == 0xfe ? 5 : 1;
    if (!element_has_bytes(source, size + 1)) {
        return false;
    }
    source->at += size;
    return true;
}

static enum element_status next(struct element_source *source, struct element *element)
{
    if (source->at == source->end) {
        return source->left == 0 || source->left == ELEMENTS_UNKNOWN ? ELEMENT_NONE : ELEMENT_BAD;
    }
    if (source->left == 0 || !skip_size_before(source)) {
        return ELEMENT_BAD;
    }
    if (source->left != ELEMENTS_UNKNOWN) {
        source->left--;
    }
    return source->at[0] < 0xc0 ? take_any_text(source, element) : take_integer(source, element);
}

bool ziplist_open(struct element_source *source, struct slice packed)
{
    const unsigned char *bytes = (const unsigned char *)packed.data;
    *source = (struct element_source){.next = next, .problem = "a ziplist in it is damaged"};
    if (packed.len <= HEADER_BYTES || bytes[packed.len - 1] != END_BYTE ||
        (uint32_t)element_integer_at(bytes, 4) != packed.len) {
        return false;
    }
    uint64_t count = bytes[8] | (uint64_t)bytes[9] << 8;
    source->left = count == COUNT_UNKNOWN ? ELEMENTS_UNKNOWN : count;
    source->at = bytes + HEADER_BYTES;
    source->end = bytes + packed.len - 1;
    return true;
}
