/* The encodings of older and newer servers, written by hand. Redis 7.0 itself says whether the old
 * ones are right: it must RESTORE them, and what it then DUMPs must be equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrator/value/value.h"
#include "tests/support/payload.h"
#include "tests/support/value_server.h"

static const char long_word[] =
    "a text that is longer than the 63 bytes of the smallest form of a length, for good measure";

static const char *const words[] = {"0",
                                    "12",
                                    "13",
                                    "-1",
                                    "-129",
                                    "40000",
                                    "-500000",
                                    "9000000",
                                    "hello",
                                    "",
                                    "-5000000000",
                                    long_word,
                                    "9223372036854775807",
                                    "01"};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static const char *const scored[] = {"m", "1", "n", "-2.5", "o", "3000000", "12", "inf"};
#define SCORED_COUNT (sizeof(scored) / sizeof(scored[0]))

static bool equal(struct slice a, struct slice b)
{
    struct error err;
    bool is_equal;
    if (!value_equal(a, b, &is_equal, &err)) {
        fail_msg("%s", err.text);
    }
    return is_equal;
}

static struct value_summary summary_of(struct slice dump)
{
    struct value_summary summary;
    struct error err;
    if (!value_summarize(dump, &summary, &err)) {
        fail_msg("%s", err.text);
    }
    return summary;
}

static void assert_restored_is_equal(struct value_server *redis, struct buffer *payload,
                                     enum value_type type, uint64_t elements)
{
    struct slice written = buffer_slice(payload);
    restore(redis, "k", written);
    struct slice dump = dump_of(redis, "k");
    assert_int_not_equal(dump.data[0], written.data[0]);
    struct value_summary summary = summary_of(written);
    assert_int_equal(summary.type, type);
    assert_int_equal(summary.elements, elements);
    assert_true(equal(written, dump));
    payload_free(dump);
    buffer_fini(payload);
}

static struct buffer begin(unsigned type_byte)
{
    struct buffer payload;
    buffer_init(&payload, SIZE_MAX);
    put_byte(&payload, type_byte);
    return payload;
}

static void a_list_of_texts_is_read(void **state)
{
    struct buffer payload = begin(1);
    put_length(&payload, WORD_COUNT);
    put_words(&payload, words, WORD_COUNT);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_LIST, WORD_COUNT);
}

static void a_list_in_a_ziplist_is_read(void **state)
{
    struct buffer payload = begin(10);
    put_ziplist(&payload, words, WORD_COUNT);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_LIST, WORD_COUNT);
}

static void a_list_in_nodes_of_ziplists_is_read(void **state)
{
    struct buffer payload = begin(14);
    put_length(&payload, 2);
    put_ziplist(&payload, words, 3);
    put_ziplist(&payload, words + 3, WORD_COUNT - 3);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_LIST, WORD_COUNT);
}

static void a_hash_in_a_ziplist_is_read(void **state)
{
    struct buffer payload = begin(13);
    put_ziplist(&payload, words, WORD_COUNT);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_HASH, WORD_COUNT / 2);
}

static void a_zset_in_a_ziplist_is_read(void **state)
{
    static const char *const by_score[] = {"n", "-2.5", "m", "1", "o", "3000000", "12", "inf"};
    struct buffer payload = begin(12);
    put_ziplist(&payload, by_score, SCORED_COUNT);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_ZSET, SCORED_COUNT / 2);
}

static void a_zset_with_decimal_scores_is_read(void **state)
{
    struct buffer payload = begin(3);
    put_length(&payload, SCORED_COUNT / 2 + 1);
    for (size_t i = 0; i + 2 < SCORED_COUNT; i += 2) {
        put_text(&payload, slice_of(scored[i]));
        put_byte(&payload, (unsigned)strlen(scored[i + 1]));
        buffer_add_text(&payload, scored[i + 1]);
    }
    put_text(&payload, SLICE("12"));
    put_byte(&payload, 254);
    put_text(&payload, SLICE("lowest"));
    put_byte(&payload, 255);
    put_footer(&payload, 9);
    assert_restored_is_equal(*state, &payload, VALUE_ZSET, SCORED_COUNT / 2 + 1);
}

/* Lengths may be written longer than they need be. */
static void a_length_in_a_longer_form_is_the_same(void **state)
{
    (void)state;
    struct buffer shorter = begin(0);
    put_text(&shorter, SLICE("a text of some length"));
    put_footer(&shorter, 10);
    struct buffer longer = begin(0);
    put_byte(&longer, 0x81);
    put_big(&longer, strlen("a text of some length"), 8);
    buffer_add_text(&longer, "a text of some length");
    put_footer(&longer, 11);
    assert_true(equal(buffer_slice(&shorter), buffer_slice(&longer)));
    buffer_fini(&shorter);
    buffer_fini(&longer);
}

/* Redis 7.2 keeps a small set in a listpack; 7.0 keeps the same one in a hash table. */
static void a_set_in_a_listpack_is_equal_to_one_in_a_hash_table(void **state)
{
    struct value_server *redis = *state;
    static const char listpack[] = "\x15\0\0\0\x04\0" /* 21 bytes, 4 elements */
                                   "\x85hello\x06"    /* a text of 5 */
                                   "\x0c\x01"         /* 12 */
                                   "\xdf\x9c\x02"     /* -100 */
                                   "\x80\x01"         /* the empty text */
                                   "\xff";
    struct buffer payload = begin(20);
    put_text(&payload, (struct slice){listpack, sizeof(listpack) - 1});
    put_footer(&payload, 11);
    run(redis, "DEL s\nSADD s -100 '' hello 12");
    struct slice dump = dump_of(redis, "s");
    assert_true(equal(buffer_slice(&payload), dump));
    payload_free(dump);
    buffer_fini(&payload);
}

/* A stream of 7.2 has one time more for each consumer. With one consumer that waits for nothing,
 * it belongs before the last byte of a stream of 7.0. */
static struct buffer as_7_2(struct slice dump, uint64_t active_ms)
{
    struct buffer payload = begin(21);
    buffer_add(&payload, dump.data + 1, dump.len - 1 - 10 - 1);
    put_little(&payload, active_ms, 8);
    put_byte(&payload, 0);
    put_footer(&payload, 11);
    return payload;
}

static void a_stream_of_7_2_is_equal_to_what_it_was_restored_from(void **state)
{
    struct value_server *redis = *state;
    run(redis, "FLUSHALL\nXADD a 1-1 f v\nXGROUP CREATE a g 0\nXGROUP CREATECONSUMER a g c");
    struct slice dump = dump_of(redis, "a");
    uint64_t seen_ms = 0;
    for (size_t i = 0; i < 8; i++) {
        seen_ms |= (uint64_t)(unsigned char)dump.data[dump.len - 10 - 9 + i] << (8 * i);
    }
    struct buffer same = as_7_2(dump, seen_ms);
    assert_true(equal(dump, buffer_slice(&same)));
    buffer_fini(&same);
    struct buffer later = as_7_2(dump, seen_ms + 1);
    assert_false(equal(dump, buffer_slice(&later)));
    buffer_fini(&later);
    payload_free(dump);
}

/* Of 7.0: ..., length, last id, first id, largest deleted id, entries added, no groups. */
static void a_stream_of_redis_5_is_read(void **state)
{
    struct value_server *redis = *state;
    run(redis, "FLUSHALL\nXADD a 1-1 f v\nXADD a 2-1 f w");
    struct slice dump = dump_of(redis, "a");
    struct buffer payload = begin(15);
    buffer_add(&payload, dump.data + 1, dump.len - 1 - 10 - 6);
    put_byte(&payload, 0);
    put_footer(&payload, 9);
    assert_restored_is_equal(redis, &payload, VALUE_STREAM, 2);
    payload_free(dump);
}

static void an_unknown_type_compares_by_its_bytes(void **state)
{
    (void)state;
    static const unsigned types[] = {6, 7, 9, 22, 24, 99, 255};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct buffer a = begin(types[i]);
        struct buffer b = begin(types[i]);
        struct buffer same = begin(types[i]);
        buffer_add_text(&a, "some module's bytes");
        buffer_add_text(&b, "some module's bytez");
        buffer_add_text(&same, "some module's bytes");
        put_footer(&a, 10);
        put_footer(&b, 10);
        put_footer(&same, 11);
        assert_int_equal(summary_of(buffer_slice(&a)).type, VALUE_OPAQUE);
        assert_false(equal(buffer_slice(&a), buffer_slice(&b)));
        assert_true(equal(buffer_slice(&a), buffer_slice(&same)));
        buffer_fini(&a);
        buffer_fini(&b);
        buffer_fini(&same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_texts_is_read),
        cmocka_unit_test(a_list_in_a_ziplist_is_read),
        cmocka_unit_test(a_list_in_nodes_of_ziplists_is_read),
        cmocka_unit_test(a_hash_in_a_ziplist_is_read),
        cmocka_unit_test(a_zset_in_a_ziplist_is_read),
        cmocka_unit_test(a_zset_with_decimal_scores_is_read),
        cmocka_unit_test(a_length_in_a_longer_form_is_the_same),
        cmocka_unit_test(a_set_in_a_listpack_is_equal_to_one_in_a_hash_table),
        cmocka_unit_test(a_stream_of_7_2_is_equal_to_what_it_was_restored_from),
        cmocka_unit_test(a_stream_of_redis_5_is_read),
        cmocka_unit_test(an_unknown_type_compares_by_its_bytes),
    };
    return cmocka_run_group_tests(tests, value_server_start, value_server_stop);
}
