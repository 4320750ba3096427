#include "migrator/value/element.h"

#include "lib/base/assert.h"
#include "lib/base/number.h"

struct slice element_text(struct element *element)
{
    if (!element->is_integer) {
        return element->text;
    }
    bool is_negative = element->integer < 0;
    uint64_t magnitude = is_negative ? 0 - (uint64_t)element->integer : (uint64_t)element->integer;
    element->digits[0] = '-';
    size_t sign = is_negative ? 1 : 0;
    size_t length = sign + number_format_u64(element->digits + sign, magnitude);
    return (struct slice){element->digits, length};
}

int64_t element_integer_at(const unsigned char *at, unsigned width_bytes)
{
    ASSERT(width_bytes >= 1 && width_bytes <= 8);
    uint64_t value = 0;
    for (unsigned i = 0; i < width_bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    unsigned unused_bits = 64 - 8 * width_bytes;
    return (int64_t)(value << unused_bits) >> unused_bits;
}
