#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/value/crc64.h"

static void the_check_value_is_that_of_the_format(void **state)
{
    (void)state;
    assert_true(crc64(SLICE("123456789")) == UINT64_C(0xe9c6d914c4b8d9ca));
}

static void nothing_has_the_checksum_zero(void **state)
{
    (void)state;
    assert_true(crc64(SLICE("")) == 0);
}

/* Bit by bit, as the definition has it. */
static uint64_t slow_crc64(struct slice bytes)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
        }
    }
    return crc;
}

static void every_length_and_alignment_agrees_with_the_slow_way(void **state)
{
    (void)state;
    char bytes[64];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 37 + 11);
    }
    for (size_t start = 0; start < 8; start++) {
        for (size_t len = 0; start + len <= sizeof(bytes); len++) {
            struct slice part = {bytes + start, len};
            assert_true(crc64(part) == slow_crc64(part));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_is_that_of_the_format),
        cmocka_unit_test(nothing_has_the_checksum_zero),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_slow_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
