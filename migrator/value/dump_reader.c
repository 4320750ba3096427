/* The first byte of a length tells its form:
 *   00xxxxxx 6 bits   01xxxxxx +8 bits   0x80 +32 bits   0x81 +64 bits, big-endian
 *   11xxxxxx no length but the form of a text: 0, 1, 2 an integer of 1, 2, 4 bytes; 3 LZF */
#include "migrator/value/dump_reader.h"

#include "lib/base/memory.h"
#include "migrator/value/crc64.h"
#include "migrator/value/lzf.h"

#define VERSION_BYTES  2
#define CHECKSUM_BYTES 8
#define FOOTER_BYTES   (VERSION_BYTES + CHECKSUM_BYTES)

#define BREAKS_OFF     "it breaks off"

bool dump_open(struct slice dump, struct slice *body, struct error *err)
{
    if (dump.len <= FOOTER_BYTES) {
        return error_set(err,
                         "cannot read a DUMP payload of %zu bytes: it is shorter than its footer",
                         dump.len);
    }
    const char *checksum_at = dump.data + dump.len - CHECKSUM_BYTES;
    uint64_t written = (uint64_t)element_integer_at((const unsigned char *)checksum_at, 8);
    uint64_t computed = crc64((struct slice){dump.data, dump.len - CHECKSUM_BYTES});
    if (written != computed) {
        return error_set(
            err,
            "cannot read a DUMP payload of %zu bytes: its checksum is %016llx, but its "
            "bytes have %016llx; it was damaged on its way",
            dump.len, (unsigned long long)written, (unsigned long long)computed);
    }
    *body = (struct slice){dump.data, dump.len - FOOTER_BYTES};
    return true;
}

void dump_reader_init(struct dump_reader *reader, struct slice body)
{
    const unsigned char *at = (const unsigned char *)body.data;
    *reader = (struct dump_reader){.at = at, .end = at + body.len};
}

void dump_reader_fini(struct dump_reader *reader)
{
    mem_free(reader->unpacked);
    *reader = (struct dump_reader){0};
}

bool dump_fail(struct dump_reader *reader, const char *problem)
{
    if (reader->problem == NULL) {
        reader->problem = problem;
    }
    return false;
}

/* The next bytes, or null when they are not all there. */
static const unsigned char *take(struct dump_reader *reader, uint64_t size_bytes)
{
    if (dump_left(reader) < size_bytes) {
        (void)dump_fail(reader, BREAKS_OFF);
        return NULL;
    }
    const unsigned char *at = reader->at;
    reader->at += size_bytes;
    return at;
}

bool dump_read_bytes(struct dump_reader *reader, uint64_t size_bytes, struct slice *bytes)
{
    const unsigned char *at = take(reader, size_bytes);
    if (at == NULL) {
        return false;
    }
    *bytes = (struct slice){(const char *)at, size_bytes};
    return true;
}

bool dump_read_byte(struct dump_reader *reader, unsigned *byte)
{
    if (reader->at == reader->end) {
        return dump_fail(reader, BREAKS_OFF);
    }
    *byte = *reader->at++;
    return true;
}

static bool read_integer(struct dump_reader *reader, unsigned width_bytes, int64_t *integer)
{
    const unsigned char *at = take(reader, width_bytes);
    if (at == NULL) {
        return false;
    }
    *integer = element_integer_at(at, width_bytes);
    return true;
}

bool dump_read_fixed(struct dump_reader *reader, uint64_t *number)
{
    int64_t integer = 0;
    if (!read_integer(reader, 8, &integer)) {
        return false;
    }
    *number = (uint64_t)integer;
    return true;
}

static bool read_big_endian(struct dump_reader *reader, unsigned width_bytes, uint64_t *number)
{
    const unsigned char *at = take(reader, width_bytes);
    if (at == NULL) {
        return false;
    }
    for (unsigned i = 0; i < width_bytes; i++) {
        *number = *number << 8 | at[i];
    }
    return true;
}

/* What follows the first byte of a length. */
static bool read_length_after(struct dump_reader *reader, unsigned first, uint64_t *length)
{
    switch (first >> 6) {
    case 0:
        *length = first;
        return true;
    case 1:
        *length = first & 0x3f;
        return read_big_endian(reader, 1, length);
    default:
        break;
    }
    *length = 0;
    if (first != 0x80 && first != 0x81) {
        return dump_fail(reader, "one of its lengths has no known form");
    }
    return read_big_endian(reader, first == 0x80 ? 4 : 8, length);
}

bool dump_read_length(struct dump_reader *reader, uint64_t *length)
{
    unsigned first;
    return dump_read_byte(reader, &first) && read_length_after(reader, first, length);
}

bool dump_read_count(struct dump_reader *reader, uint64_t least_bytes, uint64_t *count)
{
    if (!dump_read_length(reader, count)) {
        return false;
    }
    if (*count > dump_left(reader) / least_bytes) {
        return dump_fail(reader, "it promises more elements than it has room for");
    }
    return true;
}

static void make_room(struct dump_reader *reader, size_t size_bytes)
{
    if (size_bytes > reader->unpacked_bytes || reader->unpacked == NULL) {
        mem_free(reader->unpacked);
        reader->unpacked = mem_alloc(size_bytes);
        reader->unpacked_bytes = size_bytes;
    }
}

static bool read_packed_text(struct dump_reader *reader, struct slice *text)
{
    uint64_t packed_bytes = 0;
    uint64_t size_bytes = 0;
    struct slice packed = {0};
    if (!dump_read_length(reader, &packed_bytes) || !dump_read_length(reader, &size_bytes) ||
        !dump_read_bytes(reader, packed_bytes, &packed)) {
        return false;
    }
    if (size_bytes > lzf_unpacked_max(packed.len)) {
        return dump_fail(reader, "a compressed text claims more than it can hold");
    }
    make_room(reader, size_bytes);
    if (!lzf_unpack(packed, reader->unpacked, size_bytes)) {
        return dump_fail(reader, "a compressed text is damaged");
    }
    *text = (struct slice){reader->unpacked, size_bytes};
    return true;
}

static bool read_encoded_text(struct dump_reader *reader, unsigned form, struct element *text)
{
    if (form == 3) {
        return read_packed_text(reader, &text->text);
    }
    if (form > 3) {
        return dump_fail(reader, "a text has no known form");
    }
    text->is_integer = true;
    return read_integer(reader, 1U << form, &text->integer);
}

bool dump_read_text(struct dump_reader *reader, struct element *text)
{
    unsigned first;
    if (!dump_read_byte(reader, &first)) {
        return false;
    }
    text->is_integer = false;
    if (first >= 0xc0) {
        return read_encoded_text(reader, first & 0x3f, text);
    }
    uint64_t length = 0;
    return read_length_after(reader, first, &length) &&
           dump_read_bytes(reader, length, &text->text);
}

static enum element_status next_text(struct element_source *source, struct element *element)
{
    if (source->left == 0) {
        return ELEMENT_NONE;
    }
    source->left--;
    return dump_read_text(source->reader, element) ? ELEMENT_READ : ELEMENT_BAD;
}

void dump_texts_open(struct dump_reader *reader, uint64_t count, struct element_source *source)
{
    *source = (struct element_source){
        .next = next_text, .left = count, .reader = reader, .problem = "a text in it is damaged"};
}
