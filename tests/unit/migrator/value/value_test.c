/* Against a real server: what is the same value compares equal, however it is kept; what differs by
 * anything a client can see does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrator/value/value.h"
#include "tests/support/value_server.h"

static struct value_summary summary_of(struct value_server *redis, const char *key)
{
    struct value_summary summary;
    struct error err;
    struct slice dump = dump_of(redis, key);
    if (!value_summarize(dump, &summary, &err)) {
        fail_msg("%s: %s", key, err.text);
    }
    payload_free(dump);
    return summary;
}

static bool keys_equal(struct value_server *redis, const char *a, const char *b)
{
    struct slice dump_a = dump_of(redis, a);
    struct slice dump_b = dump_of(redis, b);
    struct value_summary summary_a = summary_of(redis, a);
    struct value_summary summary_b = summary_of(redis, b);
    struct error err;
    bool equal;
    if (!value_equal(dump_a, dump_b, &equal, &err)) {
        fail_msg("%s", err.text);
    }
    bool is_same_digest = value_digest_equal(summary_a.digest, summary_b.digest);
    assert_int_equal(equal, is_same_digest);
    payload_free(dump_a);
    payload_free(dump_b);
    return equal;
}

struct same_value {
    const char *name;
    const char *build_a, *encoding_a;
    const char *build_b, *encoding_b;
    uint64_t elements;
    enum value_type type;
};

#define LUA_LIST(key, text) "EVAL \"for i=1,300 do redis.call('RPUSH','" key "'," text ") end\" 0\n"
#define LUA_HASH(key, from, to, step)                                  \
    "EVAL \"for i=" from "," to "," step " do redis.call('HSET','" key \
    "','field'..i,string.rep('v',i%90)..i) end\" 0\n"
#define LUA_SET(key, from, to, step) \
    "EVAL \"for i=" from "," to "," step " do redis.call('SADD','" key "','m'..i) end\" 0\n"
#define LUA_INTS(key, from, to, step) \
    "EVAL \"for i=" from "," to "," step " do redis.call('SADD','" key "',i*i*i) end\" 0\n"
#define LUA_ZSET(key, from, to, step)                                  \
    "EVAL \"for i=" from "," to "," step " do redis.call('ZADD','" key \
    "',tostring(i/7),'m'..i) end\" 0\n"
#define LUA_STREAM(key)                             \
    "EVAL \"for i=1,150 do redis.call('XADD','" key \
    "',i..'-'..i,'f',i,'g'..(i%3),string.rep('x',i)) end\" 0\n"

static const struct same_value same_values[] = {
    {"text", "SET a hello", "embstr", "SETRANGE b 0 hello", "raw", 1, VALUE_STRING},
    {"empty text", "SET a ''", "embstr", "SET b x\nSETRANGE b 0 ''\nSET b ''", "embstr", 1,
     VALUE_STRING},
    {"integer text", "SET a 12345", "int", "SETRANGE b 0 12345", "raw", 1, VALUE_STRING},
    {"negative byte", "SET a -12", "int", "SETRANGE b 0 -12", "raw", 1, VALUE_STRING},
    {"integer of 16 bits", "SET a -32768", "int", "SETRANGE b 0 -32768", "raw", 1, VALUE_STRING},
    {"integer of 32 bits", "SET a 2147483647", "int", "SETRANGE b 0 2147483647", "raw", 1,
     VALUE_STRING},
    {"compressed text",
     "CONFIG SET rdbcompression yes\nEVAL \"redis.call('SET','a',string.rep('abcd',5000))\" 0",
     "raw",
     "EVAL \"redis.call('SET','b',string.rep('ab',2)..string.rep('cdab',4999)..'cd')\" 0\n"
     "EVAL \"redis.call('SET','b',string.rep('abcd',5000))\" 0",
     "raw", 1, VALUE_STRING},
    {"small list", LARGE_LIMITS "RPUSH a 1 two 3 -4000 70000 -5000000000 six", "quicklist",
     SMALL_LIMITS "RPUSH b 1 two 3 -4000 70000 -5000000000 six", "quicklist", 7, VALUE_LIST},
    {"list in nodes", LARGE_LIMITS LUA_LIST("a", "string.rep('z',i)"), "quicklist",
     SMALL_LIMITS LUA_LIST("b", "string.rep('z',i)"), "quicklist", 300, VALUE_LIST},
    {"compressed list",
     "CONFIG SET list-compress-depth 1\n" SMALL_LIMITS LUA_LIST("a", "string.rep('z',i)"),
     "quicklist",
     "CONFIG SET list-compress-depth 0\n" SMALL_LIMITS LUA_LIST("b", "string.rep('z',i)"),
     "quicklist", 300, VALUE_LIST},
    {"set of texts", LUA_SET("a", "1", "500", "1"), "hashtable", LUA_SET("b", "500", "1", "-1"),
     "hashtable", 500, VALUE_SET},
    {"set of integers", LARGE_LIMITS LUA_INTS("a", "-300", "300", "1"), "intset",
     SMALL_LIMITS LUA_INTS("b", "300", "-300", "-1"), "hashtable", 601, VALUE_SET},
    {"intset of 16 bits", LARGE_LIMITS "SADD a 12 -7 0 300", "intset",
     SMALL_LIMITS "SADD b 300 0 12 -7", "hashtable", 4, VALUE_SET},
    {"intset of 64 bits", LARGE_LIMITS "SADD a 12 -7 9223372036854775807 -9223372036854775808",
     "intset", SMALL_LIMITS "SADD b -9223372036854775808 9223372036854775807 12 -7", "hashtable", 4,
     VALUE_SET},
    {"small hash", LARGE_LIMITS "HSET a f 1 g two 12 -400 empty ''", "listpack",
     SMALL_LIMITS "HSET b empty '' 12 -400 g two f 1", "hashtable", 4, VALUE_HASH},
    {"large hash", LARGE_LIMITS LUA_HASH("a", "1", "900", "1"), "listpack",
     SMALL_LIMITS LUA_HASH("b", "900", "1", "-1"), "hashtable", 900, VALUE_HASH},
    {"hash of long texts",
     LARGE_LIMITS
     "EVAL \"redis.call('HSET','a','f',string.rep('q',70000),'g',string.rep('r',200))\" 0",
     "listpack",
     SMALL_LIMITS
     "EVAL \"redis.call('HSET','b','g',string.rep('r',200),'f',string.rep('q',70000))\" 0",
     "hashtable", 2, VALUE_HASH},
    {"small zset", LARGE_LIMITS "ZADD a 1 one 0.1 tenth -inf low inf high -0 zero 3e300 big 12 12",
     "listpack", SMALL_LIMITS "ZADD b 3e300 big 0 zero inf high -inf low 12 12 0.1 tenth 1 one",
     "skiplist", 7, VALUE_ZSET},
    {"zset with minus zero", LARGE_LIMITS "ZADD a 0 zero", "listpack",
     SMALL_LIMITS "ZADD b -0 zero", "skiplist", 1, VALUE_ZSET},
    {"large zset", LARGE_LIMITS LUA_ZSET("a", "-700", "700", "1"), "listpack",
     SMALL_LIMITS LUA_ZSET("b", "700", "-700", "-1"), "skiplist", 1401, VALUE_ZSET},
    {"stream", LARGE_LIMITS LUA_STREAM("a"), "stream", SMALL_LIMITS LUA_STREAM("b"), "stream", 150,
     VALUE_STREAM},
    {"stream with a deleted entry that lies in its node",
     LARGE_LIMITS "XADD a 1-1 f 1\nXADD a 2-1 f 2\nXADD a 3-1 f 3\nXDEL a 2-1", "stream",
     SMALL_LIMITS "XADD b 1-1 f 1\nXADD b 3-1 f 3\nXSETID b 3-1 ENTRIESADDED 3 MAXDELETEDID 2-1",
     "stream", 2, VALUE_STREAM},
    {"empty stream", "XADD a 1-1 f v\nXDEL a 1-1", "stream",
     "XADD b 1-1 f v\nXTRIM b MAXLEN 0\nXSETID b 1-1 ENTRIESADDED 1 MAXDELETEDID 1-1", "stream", 0,
     VALUE_STREAM},
};

/* The migrator reads a string with GET where it can, else with DUMP. */
static void check_string(struct value_server *redis, const struct value_summary *dumped)
{
    struct value_summary itself;
    struct slice text = string_of(redis, "a");
    value_summarize_string(text, &itself);
    payload_free(text);
    assert_int_equal(itself.type, dumped->type);
    assert_int_equal(itself.elements, dumped->elements);
    assert_true(value_digest_equal(itself.digest, dumped->digest));
}

static void check_same(struct value_server *redis, const struct same_value *same)
{
    run(redis, "FLUSHALL");
    run(redis, same->build_b);
    run(redis, same->build_a);
    assert_encoding(redis, "a", same->encoding_a);
    assert_encoding(redis, "b", same->encoding_b);
    if (!keys_equal(redis, "a", "b")) {
        fail_msg("%s: not equal", same->name);
    }
    struct value_summary summary = summary_of(redis, "a");
    assert_int_equal(summary.type, same->type);
    assert_int_equal(summary.elements, same->elements);
    if (same->type == VALUE_STRING) {
        check_string(redis, &summary);
    }
}

static void the_same_value_is_equal_in_any_encoding_and_order(void **state)
{
    for (size_t i = 0; i < sizeof(same_values) / sizeof(same_values[0]); i++) {
        check_same(*state, &same_values[i]);
    }
}

/* Restores each key under the limits that are the other's, so that it is re-encoded. */
static void a_restored_value_is_equal(void **state)
{
    struct value_server *redis = *state;
    for (size_t i = 0; i < sizeof(same_values) / sizeof(same_values[0]); i++) {
        run(redis, "FLUSHALL");
        run(redis, same_values[i].build_a);
        run(redis, same_values[i].build_b);
        struct slice dump = dump_of(redis, "a");
        restore(redis, "copy", dump);
        assert_true(keys_equal(redis, "a", "copy"));
        run(redis, LARGE_LIMITS);
        restore(redis, "copy", dump);
        assert_true(keys_equal(redis, "a", "copy"));
        payload_free(dump);
        dump = dump_of(redis, "b");
        restore(redis, "copy", dump);
        assert_true(keys_equal(redis, "a", "copy"));
        payload_free(dump);
    }
}

/* Key b begins as a copy of a. */
struct one_change {
    const char *build;
    const char *change;
};

#define HASH_BASE "HSET a f 1 g 2 ab c"
#define LIST_BASE "RPUSH a x y z 12 ab c"
#define SET_BASE  "SADD a ab c 12 x"
#define INTS_BASE "SADD a 1 2 3"
#define ZSET_BASE "ZADD a 1 m 2 n 2.5 o"
#define STREAM_BASE                                                                      \
    "XADD a 1-1 f 1 g 2\nXADD a 2-1 f 1 g 3\nXADD a 3-1 other v\nXADD a 4-1 f 1 g 5\n"   \
    "XGROUP CREATE a grp 0\nXGROUP CREATE a idle $\nXREADGROUP GROUP grp alice COUNT 2 " \
    "STREAMS a >\nXREADGROUP GROUP grp bob COUNT 1 STREAMS a >\n"

static const struct one_change changes[] = {
    {"SET a hello", "SET b hellp"},
    {"SET a hello", "APPEND b x"},
    {"SET a 12", "SET b 13"},
    {"SET a 12", "SET b 012"},
    {"SET a ''", "SET b 0"},
    {LIST_BASE, "LSET b 0 X"},
    {LIST_BASE, "RPUSH b x"},
    {LIST_BASE, "LPOP b"},
    {LIST_BASE, "LSET b 0 y\nLSET b 1 x"},
    {LIST_BASE, "LSET b 4 a\nLSET b 5 bc"},
    {LIST_BASE, "LMOVE b b LEFT RIGHT"},
    {SET_BASE, "SADD b y"},
    {SET_BASE, "SREM b x"},
    {SET_BASE, "SREM b x\nSADD b X"},
    {SET_BASE, "SREM b ab c\nSADD b a bc"},
    {SET_BASE, "SREM b 12\nSADD b 012"},
    {INTS_BASE, "SREM b 3\nSADD b 4"},
    {INTS_BASE, "SADD b 4"},
    {INTS_BASE, "SREM b 1 3\nSADD b 0 4"},
    {HASH_BASE, "HSET b f 3"},
    {HASH_BASE, "HSET b h 1"},
    {HASH_BASE, "HDEL b f"},
    {HASH_BASE, "HSET b f 2 g 1"},
    {HASH_BASE, "HDEL b ab\nHSET b a bc"},
    {HASH_BASE, "HDEL b ab\nHSET b c ab"},
    {HASH_BASE, "HSET b f 01"},
    {HASH_BASE, "HSET b f ''"},
    {ZSET_BASE, "ZADD b 1.0000000000000002 m"},
    {ZSET_BASE, "ZADD b 2 m 1 n"},
    {ZSET_BASE, "ZADD b 3 p"},
    {ZSET_BASE, "ZREM b n"},
    {ZSET_BASE, "ZREM b n\nZADD b 2 N"},
    {ZSET_BASE, "ZADD b inf n"},
    {ZSET_BASE, "ZADD b -2 n"},
    {STREAM_BASE, "XADD b 5-1 f 1 g 6"},
    {STREAM_BASE, "XDEL b 2-1"},
    {STREAM_BASE, "XDEL b 4-1"},
    {STREAM_BASE, "XTRIM b MAXLEN 3"},
    {STREAM_BASE, "XSETID b 9-9"},
    {STREAM_BASE, "XSETID b 4-1 ENTRIESADDED 17 MAXDELETEDID 0-0"},
    {STREAM_BASE, "XSETID b 4-1 ENTRIESADDED 4 MAXDELETEDID 1-0"},
    {STREAM_BASE, "XACK b grp 1-1"},
    {STREAM_BASE, "XGROUP SETID b grp 2-1"},
    {STREAM_BASE, "XGROUP SETID b idle 4-1 ENTRIESREAD 1"},
    {STREAM_BASE, "XGROUP CREATE b new $"},
    {STREAM_BASE, "XGROUP DESTROY b idle"},
    {STREAM_BASE, "XGROUP CREATECONSUMER b grp carol"},
    {STREAM_BASE, "XGROUP DELCONSUMER b grp bob"},
    {STREAM_BASE, "XCLAIM b grp bob 0 1-1 TIME 1000 RETRYCOUNT 1"},
    {STREAM_BASE, "XREADGROUP GROUP grp alice COUNT 1 STREAMS b >"},
    {"XADD a 1-1 ab c", "DEL b\nXADD b 1-1 a bc"},
    {"XADD a 1-1 f v", "DEL b\nXADD b 1-2 f v"},
    {"XADD a 1-1 f v g w", "DEL b\nXADD b 1-1 g w f v"},
    {"XADD a 1-1 f v\nXADD a 2-1 f w", "DEL b\nXADD b 1-1 f w\nXADD b 2-1 f v"},
    {"XADD a 1-1 f v\nXADD a 2-1 f w", "DEL b\nXADD b 1-2 f v\nXADD b 2-1 f w"},
};

static void check_change(struct value_server *redis, const struct one_change *one)
{
    run(redis, "FLUSHALL");
    run(redis, one->build);
    run(redis, "COPY a b");
    assert_true(keys_equal(redis, "a", "b"));
    run(redis, one->change);
    if (keys_equal(redis, "a", "b")) {
        fail_msg("%s / %s: equal", one->build, one->change);
    }
}

static void any_single_change_is_seen(void **state)
{
    struct value_server *redis = *state;
    static const char *const limits[] = {SMALL_LIMITS, LARGE_LIMITS};
    for (size_t l = 0; l < 2; l++) {
        run(redis, limits[l]);
        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
            check_change(redis, &changes[i]);
        }
    }
}

/* One element of a large value, in its middle. */
static void a_single_change_in_a_large_value_is_seen(void **state)
{
    struct value_server *redis = *state;
    static const struct one_change large[] = {
        {LUA_LIST("a", "string.rep('z',i)"), "LSET b 150 other"},
        {LUA_HASH("a", "1", "900", "1"), "HSET b field450 other"},
        {LUA_SET("a", "1", "900", "1"), "SREM b m450\nSADD b m0"},
        {LUA_INTS("a", "1", "900", "1"), "SREM b 27\nSADD b 28"},
        {LUA_ZSET("a", "1", "900", "1"), "ZINCRBY b 0.001 m450"},
        {LUA_STREAM("a"), "XDEL b 75-75"},
    };
    static const char *const limits[] = {SMALL_LIMITS, LARGE_LIMITS};
    for (size_t l = 0; l < 2; l++) {
        run(redis, limits[l]);
        for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
            check_change(redis, &large[i]);
        }
    }
}

static void groups_survive_restore_and_other_node_sizes(void **state)
{
    struct value_server *redis = *state;
    run(redis, "FLUSHALL\n" SMALL_LIMITS STREAM_BASE
               "XDEL a 2-1\nXGROUP CREATECONSUMER a grp carol\nXACK a grp 3-1");
    struct slice dump = dump_of(redis, "a");
    restore(redis, "b", dump);
    assert_true(keys_equal(redis, "a", "b"));
    run(redis, "XADD a 10-1 f 1 g 7\nXADD a 11-1 f 1 g 8\nXADD a 12-1 f 1 g 8");
    assert_false(keys_equal(redis, "a", "b"));
    run(redis, LARGE_LIMITS "XADD b 10-1 f 1 g 7\nXADD b 11-1 f 1 g 8\nXADD b 12-1 f 1 g 8");
    assert_true(keys_equal(redis, "a", "b"));
    struct slice other = dump_of(redis, "b");
    struct slice one = dump_of(redis, "a");
    assert_false(slice_equal(other, one));
    payload_free(dump);
    payload_free(other);
    payload_free(one);
}

static void types_with_the_same_elements_differ(void **state)
{
    struct value_server *redis = *state;
    static const char *const builds[] = {
        "SET a x", "RPUSH a x", "SADD a x", "HSET a x 1", "ZADD a 1 x", "XADD a 1-1 x 1",
    };
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < 6; j++) {
            run(redis, "FLUSHALL");
            run(redis, builds[j]);
            run(redis, "RENAME a b");
            run(redis, builds[i]);
            assert_int_equal(keys_equal(redis, "a", "b"), i == j);
        }
    }
}

/* Compression makes other bytes of the same text. */
static void a_compressed_payload_is_equal_to_a_plain_one(void **state)
{
    struct value_server *redis = *state;
    static const char *const builds[] = {
        "EVAL \"redis.call('SET','a',string.rep('abcdefg',3000))\" 0",
        LARGE_LIMITS LUA_HASH("a", "1", "900", "1"),
        SMALL_LIMITS LUA_HASH("a", "1", "900", "1"),
        LARGE_LIMITS LUA_STREAM("a"),
        SMALL_LIMITS LUA_LIST("a", "string.rep('z',i)"),
    };
    for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++) {
        run(redis, "FLUSHALL");
        run(redis, builds[i]);
        run(redis, "CONFIG SET rdbcompression yes");
        struct slice packed = dump_of(redis, "a");
        run(redis, "CONFIG SET rdbcompression no");
        struct slice plain = dump_of(redis, "a");
        run(redis, "CONFIG SET rdbcompression yes");
        struct error err;
        bool equal = false;
        assert_true(packed.len < plain.len);
        assert_true(value_equal(packed, plain, &equal, &err));
        assert_true(equal);
        payload_free(packed);
        payload_free(plain);
    }
}

/* Where a listpack begins to use a longer form for a text's length, or for an entry's size. */
static void texts_around_every_border_of_size_are_read(void **state)
{
    struct value_server *redis = *state;
    static const int borders[] = {64, 128, 4096, 16384, 65536, 2097152};
    run(redis, LARGE_LIMITS "CONFIG SET hash-max-listpack-value 5000000");
    for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
        for (int size = borders[i] - 12; size < borders[i] + 2; size++) {
            char line[128];
            (void)snprintf(line, sizeof(line),
                           "EVAL \"redis.call('HSET',KEYS[1],'f',string.rep('x',%d),'g',1)\" 1 a",
                           size);
            run(redis, "FLUSHALL\nCONFIG SET hash-max-listpack-entries 0");
            run(redis, line);
            run(redis, "RENAME a b\nCONFIG SET hash-max-listpack-entries 10");
            run(redis, line);
            assert_encoding(redis, "a", "listpack");
            assert_true(keys_equal(redis, "a", "b"));
        }
    }
}

/* The threshold is 1 GB but for this command; a node's form is the byte behind type and count. */
static void a_list_of_plain_nodes_is_equal_to_one_of_listpacks(void **state)
{
    struct value_server *redis = *state;
    static const char build[] =
        "EVAL \"for i=1,9 do redis.call('RPUSH','a',string.rep('large'..i,2000),i) end\" 0";
    run(redis, "FLUSHALL");
    run(redis, build);
    run(redis, "RENAME a b\nDEBUG QUICKLIST-PACKED-THRESHOLD 1000B");
    run(redis, build);
    run(redis, "DEBUG QUICKLIST-PACKED-THRESHOLD 0");
    struct slice plain = dump_of(redis, "a");
    assert_memory_equal(plain.data, "\x12\x12\x01", 3);
    payload_free(plain);
    assert_true(keys_equal(redis, "a", "b"));
    run(redis, "LSET a 4 other");
    assert_false(keys_equal(redis, "a", "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_value_is_equal_in_any_encoding_and_order),
        cmocka_unit_test(a_restored_value_is_equal),
        cmocka_unit_test(any_single_change_is_seen),
        cmocka_unit_test(a_single_change_in_a_large_value_is_seen),
        cmocka_unit_test(groups_survive_restore_and_other_node_sizes),
        cmocka_unit_test(types_with_the_same_elements_differ),
        cmocka_unit_test(texts_around_every_border_of_size_are_read),
        cmocka_unit_test(a_list_of_plain_nodes_is_equal_to_one_of_listpacks),
        cmocka_unit_test(a_compressed_payload_is_equal_to_a_plain_one),
    };
    return cmocka_run_group_tests(tests, value_server_start, value_server_stop);
}
