#include "migrator/value/digest.h"

#include <endian.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/assert.h"

/* The seed that tells a pair of digests from four numbers of some purpose. */
#define PAIR_SEED UINT64_C(0x70616972)

static struct value_digest digest_of(XXH128_hash_t hash)
{
    return (struct value_digest){.low = hash.low64, .high = hash.high64};
}

bool value_digest_equal(struct value_digest a, struct value_digest b)
{
    return a.low == b.low && a.high == b.high;
}

void value_digest_add(struct value_digest *sum, const struct value_digest *one)
{
    uint64_t low = sum->low + one->low;
    sum->high += one->high + (low < sum->low ? 1 : 0);
    sum->low = low;
}

void value_digest_hex(const struct value_digest *digest, char text[33])
{
    (void)snprintf(text, 33, "%016llx%016llx", (unsigned long long)digest->high,
                   (unsigned long long)digest->low);
}

struct value_digest digest_text(struct slice text)
{
    return digest_of(XXH3_128bits(text.data, text.len));
}

struct value_digest digest_numbers(uint64_t purpose, const uint64_t *numbers, size_t count)
{
    ASSERT(count <= DIGEST_NUMBERS_MAX);
    uint64_t little[DIGEST_NUMBERS_MAX];
    for (size_t i = 0; i < count; i++) {
        little[i] = htole64(numbers[i]);
    }
    return digest_of(XXH3_128bits_withSeed(little, count * sizeof(little[0]), purpose));
}

struct value_digest digest_pair(struct value_digest a, struct value_digest b)
{
    const uint64_t numbers[] = {a.low, a.high, b.low, b.high};
    return digest_numbers(PAIR_SEED, numbers, 4);
}
