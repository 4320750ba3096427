/* <bytes of a member: 4> <members: 4> <member>..., little-endian, ascending. */
#include "migrator/value/intset.h"

#define HEADER_BYTES 8

static enum element_status next(struct element_source *source, struct element *element)
{
    if (source->left == 0) {
        return ELEMENT_NONE;
    }
    source->left--;
    element->is_integer = true;
    element->integer = element_integer_at(source->at, source->width_bytes);
    source->at += source->width_bytes;
    return ELEMENT_READ;
}

bool intset_open(struct element_source *source, struct slice packed)
{
    const unsigned char *bytes = (const unsigned char *)packed.data;
    *source = (struct element_source){.next = next, .problem = "its intset is damaged"};
    if (packed.len < HEADER_BYTES) {
        return false;
    }
    uint64_t width = (uint32_t)element_integer_at(bytes, 4);
    source->left = (uint32_t)element_integer_at(bytes + 4, 4);
    if ((width != 2 && width != 4 && width != 8) ||
        source->left * width != packed.len - HEADER_BYTES) {
        return false;
    }
    source->width_bytes = (unsigned)width;
    source->at = bytes + HEADER_BYTES;
    source->end = bytes + packed.len;
    return true;
}
