/* Reads the pieces that DUMP payloads are made of: lengths, texts (plain, integer, LZF), numbers.
 * Every read is checked against the payload's end; the first failure is kept as `problem`, in words
 * that complete "cannot read it: ...". One owner, one thread. */
#ifndef MIGRATOR_VALUE_DUMP_READER_H
#define MIGRATOR_VALUE_DUMP_READER_H

#include "lib/base/error.h"
#include "migrator/value/element.h"

/* Written only by dump_reader.c. */
struct dump_reader {
    const unsigned char *at, *end; /* never null */
    char *unpacked;                /* the last LZF text; grows to the largest one */
    size_t unpacked_bytes;
    const char *problem;
};

/* Takes off the footer (the RDB version, 2 bytes, and the checksum, 8) and checks it. `body` is the
 * type byte and the value. */
bool dump_open(struct slice dump, struct slice *body, struct error *err)
    __attribute__((warn_unused_result));

/* Reads in place: `body` must outlive the reader. */
void dump_reader_init(struct dump_reader *reader, struct slice body);
void dump_reader_fini(struct dump_reader *reader);

static inline size_t dump_left(const struct dump_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* Notes the problem, unless there is one already. Returns false. */
bool dump_fail(struct dump_reader *reader, const char *problem);

bool dump_read_bytes(struct dump_reader *reader, uint64_t size_bytes, struct slice *bytes)
    __attribute__((warn_unused_result));
bool dump_read_byte(struct dump_reader *reader, unsigned *byte) __attribute__((warn_unused_result));
/* 8 bytes, little-endian. */
bool dump_read_fixed(struct dump_reader *reader, uint64_t *number)
    __attribute__((warn_unused_result));
/* A length, also used for numbers that are mostly small. */
bool dump_read_length(struct dump_reader *reader, uint64_t *length)
    __attribute__((warn_unused_result));
/* A length of things that take at least `least_bytes` each: refused when they cannot all be there.
 */
bool dump_read_count(struct dump_reader *reader, uint64_t least_bytes, uint64_t *count)
    __attribute__((warn_unused_result));
/* The text lives until the next dump_read_text. At most 88 times the payload's size is allocated,
 * which is what LZF may expand to. */
bool dump_read_text(struct dump_reader *reader, struct element *text)
    __attribute__((warn_unused_result));

/* A source of the next `count` texts. */
void dump_texts_open(struct dump_reader *reader, uint64_t count, struct element_source *source);

#endif
