/* XXH3-128 digests of values, and the three ways they are put together: hashed in order, added up
 * where order does not matter, and bound to each other as a pair. Any thread; no memory.
 * The numbers are the same on every machine, so a digest may be kept in the journal. */
#ifndef MIGRATOR_VALUE_DIGEST_H
#define MIGRATOR_VALUE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct value_digest {
    uint64_t low, high;
};

bool value_digest_equal(struct value_digest a, struct value_digest b);
/* 128-bit addition: a sum over keys or members that does not depend on their order. */
void value_digest_add(struct value_digest *sum, const struct value_digest *one);
/* 32 hex digits, the high half first, and a zero. */
void value_digest_hex(const struct value_digest *digest, char text[33]);

/* The two below keep apart what they hash by length, by arity and by `purpose`. */
struct value_digest digest_text(struct slice text);
/* At most DIGEST_NUMBERS_MAX numbers; `purpose` is any number that names what they are. */
struct value_digest digest_numbers(uint64_t purpose, const uint64_t *numbers, size_t count);
#define DIGEST_NUMBERS_MAX 8

/* (a, b) and (b, a) differ, so a chain of pairs is a digest of a sequence. */
struct value_digest digest_pair(struct value_digest a, struct value_digest b);

#endif
