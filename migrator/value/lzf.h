/* Decompression of LZF, in which Redis keeps long strings of a payload. Pure. */
#ifndef MIGRATOR_VALUE_LZF_H
#define MIGRATOR_VALUE_LZF_H

#include "lib/base/slice.h"

/* No `packed_bytes` of LZF unpack to more than this: three bytes make at most 264. */
size_t lzf_unpacked_max(size_t packed_bytes);

/* True when `packed` is whole and makes exactly `size` bytes at `out`; never writes past them. */
bool lzf_unpack(struct slice packed, char *out, size_t size_bytes)
    __attribute__((warn_unused_result));

#endif
