#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/shard/reply_reader.h"

static struct reply_reader *reader;

static int start(void **state)
{
    (void)state;
    reader = reply_reader_new();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    reply_reader_free(reader);
    return 0;
}

static struct shard_reply *next(void)
{
    struct shard_reply *reply = NULL;
    assert_true(reply_reader_next(reader, &reply));
    return reply;
}

static struct shard_reply *read_all(const char *bytes)
{
    assert_true(reply_reader_feed(reader, bytes, strlen(bytes)));
    struct shard_reply *reply = next();
    assert_non_null(reply);
    return reply;
}

static void assert_text(const struct shard_reply *reply, const char *text)
{
    assert_true(slice_equal(shard_reply_text(reply), slice_of(text)));
}

static void each_type_says_what_it_is(void **state)
{
    (void)state;
    struct shard_reply *reply = read_all("*7\r\n+OK\r\n-ERR no\r\n:-12\r\n$3\r\na\r\n\r\n$-1\r\n"
                                         "*-1\r\n*2\r\n:1\r\n*0\r\n");

    static const enum reply_type types[] = {REPLY_STATUS, REPLY_ERROR, REPLY_INTEGER, REPLY_BULK,
                                            REPLY_NIL,    REPLY_NIL,   REPLY_ARRAY};

    assert_int_equal(shard_reply_type(reply), REPLY_ARRAY);
    assert_int_equal(shard_reply_count(reply), 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(shard_reply_type(shard_reply_at(reply, i)), types[i]);
    }
    assert_text(shard_reply_at(reply, 0), "OK");
    assert_text(shard_reply_at(reply, 1), "ERR no");
    assert_int_equal(shard_reply_integer(shard_reply_at(reply, 2)), -12);
    assert_text(shard_reply_at(reply, 3), "a\r\n");
    assert_int_equal(shard_reply_count(shard_reply_at(shard_reply_at(reply, 6), 1)), 0);
    shard_reply_free(reply);
}

/* Asked for as what it is not, a reply is empty. */
static void other_types_have_nothing(void **state)
{
    (void)state;
    struct shard_reply *reply = read_all("*2\r\n:7\r\n$1\r\na\r\n");
    assert_int_equal(shard_reply_integer(reply), 0);
    assert_text(reply, "");
    assert_text(shard_reply_at(reply, 0), "");
    assert_int_equal(shard_reply_count(shard_reply_at(reply, 1)), 0);
    assert_int_equal(shard_reply_integer(shard_reply_at(reply, 1)), 0);
    shard_reply_free(reply);
}

static void a_reply_that_comes_byte_by_byte_is_whole_with_the_last(void **state)
{
    (void)state;
    static const char bytes[] = "*2\r\n*2\r\n$2\r\nab\r\n:5\r\n+OK\r\n";
    for (size_t i = 0; i < sizeof(bytes) - 2; i++) {
        assert_true(reply_reader_feed(reader, &bytes[i], 1));
        assert_null(next());
    }
    assert_true(reply_reader_feed(reader, "\n", 1));
    struct shard_reply *reply = next();
    assert_text(shard_reply_at(shard_reply_at(reply, 0), 0), "ab");
    shard_reply_free(reply);
}

static void add_bulk(struct buffer *bytes, size_t length)
{
    char head[32];
    (void)snprintf(head, sizeof(head), "$%zu\r\n", length);
    buffer_add_text(bytes, head);
    for (size_t i = 0; i < length; i++) {
        buffer_add(bytes, &(char){(char)('a' + length % 26)}, 1);
    }
    buffer_add_text(bytes, "\r\n");
}

/* Values of all sizes, around those of the arena's pieces, keep their bytes. */
static void values_of_any_size_keep_their_bytes(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,    1,    7,     8,     9,     300,   500,   2000,
                                     3000, 8000, 30000, 65000, 65536, 70000, 200000};

    enum {
        COUNT = sizeof(lengths) / sizeof(lengths[0])
    };
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_text(&bytes, "*15\r\n");
    for (size_t i = 0; i < COUNT; i++) {
        add_bulk(&bytes, lengths[i]);
    }
    struct slice all = buffer_slice(&bytes);
    assert_true(reply_reader_feed(reader, all.data, all.len));
    struct shard_reply *reply = next();
    buffer_fini(&bytes);
    for (size_t i = 0; i < COUNT; i++) {
        struct slice text = shard_reply_text(shard_reply_at(reply, i));
        assert_int_equal(text.len, lengths[i]);
        for (size_t k = 0; k < text.len; k++) {
            assert_int_equal(text.data[k], 'a' + lengths[i] % 26);
        }
        assert_int_equal(text.data[text.len], '\0');
    }
    shard_reply_free(reply);
}

static void replies_outlive_those_behind_them(void **state)
{
    (void)state;
    struct shard_reply *first = read_all("+one\r\n+two\r\n");
    struct shard_reply *second = next();
    assert_text(second, "two");
    shard_reply_free(second);
    assert_null(next());
    assert_text(first, "one");
    shard_reply_free(first);
}

static void what_is_no_reply_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct shard_reply *reply = NULL;
    static const char bytes[] = "*2\r\n+OK\r\n?\r\n";
    assert_true(reply_reader_feed(reader, bytes, sizeof(bytes) - 1));
    assert_false(reply_reader_next(reader, &reply));
    assert_null(reply);
    assert_non_null(strstr(reply_reader_why(reader), "Protocol error"));
    assert_false(reply_reader_feed(reader, "+OK\r\n", 5));
}

/* Memory for elements that never come would be taken before the first. */
static void an_array_larger_than_any_is_refused(void **state)
{
    (void)state;
    struct shard_reply *reply = NULL;
    static const char bytes[] = "*2000000000\r\n";
    assert_true(reply_reader_feed(reader, bytes, sizeof(bytes) - 1));
    assert_false(reply_reader_next(reader, &reply));
    assert_non_null(strstr(reply_reader_why(reader), "memory"));
}

/* By the sanitizer. */
static void half_a_reply_is_freed_with_its_reader(void **state)
{
    (void)state;
    static const char bytes[] = "*3\r\n$5\r\nhello\r\n*2\r\n:1\r\n";
    assert_true(reply_reader_feed(reader, bytes, sizeof(bytes) - 1));
    assert_null(next());
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_type_says_what_it_is),
        TEST(other_types_have_nothing),
        TEST(a_reply_that_comes_byte_by_byte_is_whole_with_the_last),
        TEST(values_of_any_size_keep_their_bytes),
        TEST(replies_outlive_those_behind_them),
        TEST(what_is_no_reply_is_refused_with_a_reason),
        TEST(an_array_larger_than_any_is_refused),
        TEST(half_a_reply_is_freed_with_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
