/* Bodies of DUMP payloads, without the checksum that would keep the fuzzer out. */
#include <stdint.h>

#include "migrator/value/value_internal.h"

/* libFuzzer gives it this name. NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct value_summary summary;
    struct error err;
    struct slice body = {(const char *)data, size};
    if (value_summarize_body(body, &summary, &err) && summary.type > VALUE_OPAQUE) {
        __builtin_trap();
    }
    return 0;
}
