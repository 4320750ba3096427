#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/sha1.h"

static void expect_sha1(struct slice data, const char *expected)
{
    char hex[SHA1_HEX_LENGTH + 1];
    sha1_hex(data, hex);
    assert_string_equal(hex, expected);
}

static void the_vectors_of_rfc_3174_are_met(void **state)
{
    (void)state;
    expect_sha1(SLICE("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    expect_sha1(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    expect_sha1(SLICE(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    char *million = mem_alloc(1000000);
    memset(million, 'a', 1000000);
    expect_sha1((struct slice){million, 1000000}, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    mem_free(million);
}

/* 55 bytes leave just room for the length in the last block, 56 do not. */
static void the_padding_is_right_around_a_block(void **state)
{
    (void)state;
    char text[64];
    memset(text, 'a', sizeof(text));
    expect_sha1((struct slice){text, 55}, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    expect_sha1((struct slice){text, 56}, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    expect_sha1((struct slice){text, 63}, "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    expect_sha1((struct slice){text, 64}, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_3174_are_met),
        cmocka_unit_test(the_padding_is_right_around_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
