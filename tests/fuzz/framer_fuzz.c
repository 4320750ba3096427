/* Any bytes, fed whole and in pieces whose sizes the input chooses: the same verdict at the same
 * byte. */
#include "lib/base/assert.h"
#include "lib/base/slice.h"
#include "lib/resp/framer.h"

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
    enum parse_status status;
    size_t used;
    unsigned values;
};

/* Everything up to the first error, in pieces of `step` bytes (0: sizes from the bytes). */
static struct verdict feed(struct slice bytes, size_t step)
{
    struct framer framer = {.values_left = 0};
    struct verdict verdict = {.status = PARSE_MORE};
    while (verdict.used < bytes.len && verdict.status != PARSE_BAD) {
        size_t left = bytes.len - verdict.used;
        size_t piece = step > 0 ? step : 1 + (unsigned char)bytes.data[verdict.used] % 7u;
        size_t used = 0;
        verdict.status =
            framer_feed(&framer, bytes.data + verdict.used, piece < left ? piece : left, &used);
        ASSERT(used > 0 && used <= left);
        ASSERT(verdict.status != PARSE_MORE || used == (piece < left ? piece : left));
        verdict.used += used;
        verdict.values += verdict.status == PARSE_OK ? 1 : 0;
    }
    return verdict;
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};
    static const size_t steps[] = {0, 1, 3};
    struct verdict whole = feed(bytes, size + 1);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct verdict pieces = feed(bytes, steps[i]);
        ASSERT(pieces.status == whole.status);
        ASSERT(pieces.used == whole.used);
        ASSERT(pieces.values == whole.values);
    }
    return 0;
}
