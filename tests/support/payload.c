#include "tests/support/payload.h"

#include <stdlib.h>
#include <string.h>

#include "migrator/value/crc64.h"

void put_byte(struct buffer *out, unsigned byte)
{
    char one = (char)byte;
    buffer_add(out, &one, 1);
}

void put_little(struct buffer *out, uint64_t number, unsigned width_bytes)
{
    for (unsigned i = 0; i < width_bytes; i++) {
        put_byte(out, (number >> (8 * i)) & 0xff);
    }
}

void put_big(struct buffer *out, uint64_t number, unsigned width_bytes)
{
    for (unsigned i = width_bytes; i-- > 0;) {
        put_byte(out, (number >> (8 * i)) & 0xff);
    }
}

void put_length(struct buffer *out, uint64_t length)
{
    if (length < 64) {
        put_byte(out, (unsigned)length);
    } else if (length < 16384) {
        put_big(out, 0x4000 | length, 2);
    } else if (length <= UINT32_MAX) {
        put_byte(out, 0x80);
        put_big(out, length, 4);
    } else {
        put_byte(out, 0x81);
        put_big(out, length, 8);
    }
}

void put_text(struct buffer *out, struct slice text)
{
    put_length(out, text.len);
    buffer_add(out, text.data, text.len);
}

void put_words(struct buffer *out, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_text(out, slice_of(words[i]));
    }
}

/* The smallest integer form a ziplist has for it, or false when `text` is no integer. */
static bool put_ziplist_integer(struct buffer *out, const char *text)
{
    char *end;
    long long integer = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        return false;
    }
    uint64_t bits = (uint64_t)integer;
    if (integer >= 0 && integer <= 12) {
        put_byte(out, 0xf1 + (unsigned)integer);
    } else if (integer >= INT8_MIN && integer <= INT8_MAX) {
        put_byte(out, 0xfe);
        put_little(out, bits, 1);
    } else if (integer >= INT16_MIN && integer <= INT16_MAX) {
        put_byte(out, 0xc0);
        put_little(out, bits, 2);
    } else if (integer >= -8388608 && integer <= 8388607) {
        put_byte(out, 0xf0);
        put_little(out, bits, 3);
    } else if (integer >= INT32_MIN && integer <= INT32_MAX) {
        put_byte(out, 0xd0);
        put_little(out, bits, 4);
    } else {
        put_byte(out, 0xe0);
        put_little(out, bits, 8);
    }
    return true;
}

static void put_ziplist_text(struct buffer *out, struct slice text)
{
    if (text.len < 64) {
        put_byte(out, (unsigned)text.len);
    } else if (text.len < 16384) {
        put_big(out, 0x4000 | text.len, 2);
    } else {
        put_byte(out, 0x80);
        put_big(out, text.len, 4);
    }
    buffer_add(out, text.data, text.len);
}

void put_ziplist(struct buffer *out, const char *const *words, size_t count)
{
    struct buffer entries;
    buffer_init(&entries, SIZE_MAX);
    size_t last_at = 0;
    size_t last_size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t start = buffer_length(&entries);
        if (last_size < 254) {
            put_byte(&entries, (unsigned)last_size);
        } else {
            put_byte(&entries, 0xfe);
            put_little(&entries, last_size, 4);
        }
        if (!put_ziplist_integer(&entries, words[i])) {
            put_ziplist_text(&entries, slice_of(words[i]));
        }
        last_at = start;
        last_size = buffer_length(&entries) - start;
    }
    struct slice inner = buffer_slice(&entries);
    put_length(out, 10 + inner.len + 1);
    put_little(out, 10 + inner.len + 1, 4);
    put_little(out, 10 + last_at, 4);
    put_little(out, count, 2);
    buffer_add(out, inner.data, inner.len);
    put_byte(out, 0xff);
    buffer_fini(&entries);
}

void put_footer(struct buffer *out, unsigned version)
{
    put_little(out, version, 2);
    put_little(out, crc64(buffer_slice(out)), 8);
}
