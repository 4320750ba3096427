/* One element of a value, and a source that yields them one after the other, whatever they are
 * packed in. A source is a plain struct: a copy of it is a bookmark to read from again.
 * Written by listpack.c, ziplist.c, intset.c and dump_reader.c; read by the folds. One thread. */
#ifndef MIGRATOR_VALUE_ELEMENT_H
#define MIGRATOR_VALUE_ELEMENT_H

#include <stdint.h>

#include "lib/base/slice.h"

/* Redis keeps a text as an integer where the integer prints as that very text; so an integer here
 * stands for its decimal digits, and element_text makes the two forms one. */
struct element {
    bool is_integer;
    int64_t integer;   /* if is_integer */
    struct slice text; /* else; points into the payload, or the reader's unpacked copy */
    char digits[24];   /* room for element_text */
};

/* Valid as long as the element stays where it is and its source's bytes live. */
struct slice element_text(struct element *element);

enum element_status {
    ELEMENT_READ,
    ELEMENT_NONE, /* the end, where the source said it would be */
    ELEMENT_BAD
};

struct dump_reader;

struct element_source {
    enum element_status (*next)(struct element_source *source, struct element *element);
    const unsigned char *at, *end; /* end: one past the last byte of the elements */
    uint64_t left;                 /* elements still promised, or ELEMENTS_UNKNOWN */
    unsigned width_bytes;          /* of an intset's members */
    struct dump_reader *reader;    /* of plain texts */
    const char *problem;           /* what to say of it when it is ELEMENT_BAD */
};

#define ELEMENTS_UNKNOWN UINT64_MAX

static inline enum element_status element_next(struct element_source *source,
                                               struct element *element)
{
    return source->next(source, element);
}

/* For what packs elements: the bytes between `at` and `end` must hold `size` more. */
static inline bool element_has_bytes(const struct element_source *source, uint64_t size_bytes)
{
    return (uint64_t)(source->end - source->at) >= size_bytes;
}

/* `width_bytes` (1 to 8) little-endian bytes as a signed integer. */
int64_t element_integer_at(const unsigned char *at, unsigned width_bytes);

#endif
