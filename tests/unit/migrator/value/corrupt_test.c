/* Damaged payloads of every encoding: refused or read, but never past their end (run it with the
 * sanitizers: FLAVOUR=asan). The seed of the random damage is printed; SLUICE_SEED sets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "migrator/value/value.h"
#include "migrator/value/value_internal.h"
#include "tests/support/payload.h"
#include "tests/support/value_server.h"

#define FOOTER_BYTES 10
#define DAMAGES_EACH 3000

static const char *const builds[] = {
    "SET k hello",
    "SET k 12",
    "SET k -40000",
    "SET k 2000000000",
    "EVAL \"redis.call('SET','k',string.rep('abc',300))\" 0",
    LARGE_LIMITS "RPUSH k a 1 -1 5000 -100000 9000000 90000000000 ''",
    SMALL_LIMITS "EVAL \"for i=1,30 do redis.call('RPUSH','k',string.rep('x',i*9)) end\" 0",
    LARGE_LIMITS "EVAL \"redis.call('RPUSH','k',string.rep('y',5000),string.rep('z',70))\" 0",
    LARGE_LIMITS "SADD k 1 2 3 70000",
    "SADD k one two 3",
    LARGE_LIMITS "HSET k f 1 g two h ''",
    SMALL_LIMITS "HSET k f 1 g two h ''",
    LARGE_LIMITS "EVAL \"for i=1,60 do redis.call('HSET','k','field'..i,i) end\" 0",
    LARGE_LIMITS "ZADD k 1 a 2.5 b -inf c",
    SMALL_LIMITS "ZADD k 1 a 2.5 b -inf c",
    LARGE_LIMITS
    "XADD k 1-1 f 1 g 2\nXADD k 2-1 f 1 g 3\nXADD k 3-1 other v\nXADD k 4-1 f 1 g 5\n"
    "XDEL k 2-1\nXGROUP CREATE k grp 0\nXREADGROUP GROUP grp alice COUNT 2 STREAMS k >\n"
    "XREADGROUP GROUP grp bob COUNT 1 STREAMS k >",
    SMALL_LIMITS "EVAL \"for i=1,20 do redis.call('XADD','k',i..'-1','f',i) end\" 0",
};
#define BUILDS (sizeof(builds) / sizeof(builds[0]))

typedef void (*damage_fn)(struct slice dump, struct random *random);

static void with_every_payload(struct value_server *redis, damage_fn damage)
{
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : random_system();
    print_message("seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_seed(&random, seed);
    for (size_t i = 0; i < BUILDS; i++) {
        run(redis, "FLUSHALL");
        run(redis, builds[i]);
        struct slice dump = dump_of(redis, "k");
        damage(dump, &random);
        payload_free(dump);
    }
}

/* The encodings that the server at hand does not write. */
static void with_ziplists(damage_fn damage)
{
    static const char long_word[] =
        "a text of more than 63 bytes, which takes a length of two bytes in front of it";
    const char *const words[] = {"f",     "1",        "-1",          "300",
                                 "70000", "-9000000", "80000000000", long_word};
    static const unsigned types[] = {10, 12, 13, 14};
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct buffer payload;
        buffer_init(&payload, SIZE_MAX);
        put_byte(&payload, types[i]);
        if (types[i] == 14) {
            put_length(&payload, 1);
        }
        put_ziplist(&payload, words, types[i] == 12 ? 6 : 8);
        put_footer(&payload, 9);
        damage(buffer_slice(&payload), &random);
        buffer_fini(&payload);
    }
}

/* In memory of its own, which ends where the body ends. */
static bool summarize_copy(struct slice body, struct error *err)
{
    struct slice copy = {mem_dup(body.data, body.len), body.len};
    struct value_summary summary;
    bool is_read = value_summarize_body(copy, &summary, err);
    payload_free(copy);
    return is_read;
}

static void try_every_prefix(struct slice dump, struct random *random)
{
    (void)random;
    struct error err;
    struct value_summary summary;
    struct slice body = {dump.data, dump.len - FOOTER_BYTES};
    assert_true(summarize_copy(body, &err));
    for (size_t len = 0; len < body.len; len++) {
        err.text[0] = '\0';
        assert_false(summarize_copy((struct slice){body.data, len}, &err));
        assert_true(err.text[0] != '\0');
    }
    for (size_t len = 0; len < dump.len; len++) {
        assert_false(value_summarize((struct slice){dump.data, len}, &summary, &err));
    }
}

static void no_prefix_of_a_payload_is_read(void **state)
{
    with_every_payload(*state, try_every_prefix);
    with_ziplists(try_every_prefix);
}

static void flip_every_bit(struct slice dump, struct random *random)
{
    (void)random;
    struct error err;
    struct value_summary summary;
    unsigned char *copy = mem_dup(dump.data, dump.len);
    for (size_t bit = 0; bit < dump.len * 8; bit++) {
        copy[bit / 8] ^= (unsigned char)(1U << bit % 8);
        struct slice flipped = {(const char *)copy, dump.len};
        assert_false(value_summarize(flipped, &summary, &err));
        copy[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    mem_free(copy);
}

static void the_checksum_sees_every_flipped_bit(void **state)
{
    with_every_payload(*state, flip_every_bit);
}

static void damage_at_random(struct slice dump, struct random *random)
{
    static const unsigned char telling[] = {0,    1,    0x3f, 0x40, 0x7f, 0x80, 0x81,
                                            0xc0, 0xc3, 0xf0, 0xf4, 0xfe, 0xff};
    size_t len = dump.len - FOOTER_BYTES;
    struct error err;
    for (int i = 0; i < DAMAGES_EACH; i++) {
        unsigned char *copy = mem_dup(dump.data, len);
        for (uint64_t flips = 1 + random_below(random, 3); flips > 0; flips--) {
            size_t at = random_below(random, len);
            copy[at] = random_below(random, 2) == 0 ? telling[random_below(random, sizeof(telling))]
                                                    : (unsigned char)random_next(random);
        }
        struct value_summary summary;
        if (!value_summarize_body((struct slice){(const char *)copy, len}, &summary, &err)) {
            assert_non_null(strstr(err.text, "cannot read a DUMP payload"));
        }
        mem_free(copy);
    }
}

static void random_damage_never_leads_out_of_bounds(void **state)
{
    with_every_payload(*state, damage_at_random);
    with_ziplists(damage_at_random);
}

struct bad_body {
    const char *name;
    struct slice body;
};

/* What a checksum may vouch for and is yet no value. */
static const struct bad_body bad_bodies[] = {
    {"bytes behind the end", {"\x00\x01xy", 4}},
    {"text longer than the payload", {"\x00\x05xy", 4}},
    {"length of 64 bits", {"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff", 10}},
    {"length of an unknown form", {"\x00\x82\x01x", 4}},
    {"text of an unknown form", {"\x00\xc4\x01x", 4}},
    {"count of 64 bits", {"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12}},
    {"pairs whose number overflows", {"\x04\x81\x80\x00\x00\x00\x00\x00\x00\x01\x01x", 12}},
    {"LZF that claims a gigabyte", {"\x00\xc3\x03\x80\x40\x00\x00\x00\x00xy", 11}},
    {"LZF that refers to before its start", {"\x00\xc3\x02\x03\x20\x00", 6}},
    {"LZF that makes too little", {"\x00\xc3\x02\x02\x00x", 6}},
    {"LZF that makes too much", {"\x00\xc3\x03\x01\x01xy", 7}},
    {"LZF that breaks off", {"\x00\xc3\x01\x02\x20", 5}},
    {"intset of members of 3 bytes", {"\x0b\x0b\x03\0\0\0\x01\0\0\0xyz", 13}},
    {"intset that ends early", {"\x0b\x0a\x02\0\0\0\x02\0\0\0xy", 12}},
    {"hash with a field and no value", {"\x10\x09\x09\0\0\0\x01\0\x01\x01\xff", 11}},
    {"listpack of fewer elements than it says", {"\x10\x09\x09\0\0\0\x02\0\x01\x01\xff", 11}},
    {"listpack in an integer", {"\x10\xc0\x07", 3}},
    {"score that is no number", {"\x11\x0b\x0b\0\0\0\x02\0\x01\x01\x81x\x02\xff", 13}},
    {"NaN for a score", {"\x05\x01\x01m\0\0\0\0\0\0\xf8\x7f", 12}},
    {"list node of an unknown form", {"\x12\x01\x03\x01x", 5}},
};

static void a_body_that_breaks_its_format_is_refused_with_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_bodies) / sizeof(bad_bodies[0]); i++) {
        struct error err = {""};
        if (summarize_copy(bad_bodies[i].body, &err)) {
            fail_msg("%s: read", bad_bodies[i].name);
        }
        assert_non_null(strstr(err.text, "cannot read a DUMP payload"));
    }
}

static void a_payload_shorter_than_its_footer_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct value_summary summary;
    assert_false(value_summarize(SLICE(""), &summary, &err));
    assert_false(value_summarize((struct slice){NULL, 0}, &summary, &err));
    assert_false(value_summarize(SLICE("0123456789"), &summary, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_prefix_of_a_payload_is_read),
        cmocka_unit_test(the_checksum_sees_every_flipped_bit),
        cmocka_unit_test(random_damage_never_leads_out_of_bounds),
        cmocka_unit_test(a_body_that_breaks_its_format_is_refused_with_words),
        cmocka_unit_test(a_payload_shorter_than_its_footer_is_refused),
    };
    return cmocka_run_group_tests(tests, value_server_start, value_server_stop);
}
