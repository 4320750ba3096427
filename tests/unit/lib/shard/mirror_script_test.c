/* The scripts of a migration: make, guard, apply, renumber, clear, purge, drop, marked_write. One
 * test a rule; each fails when its check is taken out of the script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "tests/support/lone_shard.h"

#define F      METADATA_FENCE
#define VER    "__sluice:m7:9:f:ver"
#define SEQ    "__sluice:m7:9:f:seq"
#define DIRTY  "__sluice:m7:9:f:dirty"
#define LOST   "-LOST "
#define ABSENT "-UNFENCED the fence is absent"

/* An empty shard of epoch 5, with the metadata of migration 7, base 9, generation 9, guard open. */
static int made(void **state)
{
    expect_ask(lone.link, "CONFIG SET maxmemory 0 maxmemory-policy noeviction", "+OK");
    (void)lone_shard_fence(state);
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 1", "+OK");
    expect_script(lone.link, SCRIPT_MAKE, F " " SEQ " " DIRTY, "$ 7 9 1", "+OK");
    return 0;
}

static int fenced(void **state)
{
    expect_ask(lone.link, "CONFIG SET maxmemory 0", "+OK");
    return lone_shard_fence(state);
}

/* Another process than the topology and the fence name, as after REPLICAOF there and back. */
static void become_another_process(void)
{
    expect_ask(lone.link, "DEBUG CHANGE-REPL-ID", "+OK");
}

/* --- make ---------------------------------------------------------------------------- */

static void make_adds_sentinels_and_opens_the_guard(void **state)
{
    (void)state;
    expect_ask(lone.link, "HGETALL " VER, "[__sluice:sentinel, 1]");
    expect_ask(lone.link, "HGETALL " SEQ, "[__sluice:sentinel, 1]");
    expect_ask(lone.link, "SMEMBERS " DIRTY, "[__sluice:sentinel]");
    expect_ask(lone.link, "HGET " F " guard:7", "9:1");
}

static void make_keeps_the_numbers_and_marks_that_came_before_it(void **state)
{
    (void)state;
    expect_ask(lone.link, "HINCRBY " SEQ " k 1", ":1");
    expect_ask(lone.link, "SADD " DIRTY " k", ":1");
    expect_script(lone.link, SCRIPT_MAKE, F " " SEQ " " DIRTY, "$ 7 9 1", "+OK");
    expect_ask(lone.link, "HGET " SEQ " k", "1");
    expect_ask(lone.link, "SISMEMBER " DIRTY " k", ":1");
    expect_ask(lone.link, "SISMEMBER " DIRTY " __sluice:sentinel", ":1");
}

static void make_of_an_older_generation_is_stale_and_makes_nothing(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " F " guard:7 10:1", ":1");
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 4", "-STALE 10:1");
    expect_ask(lone.link, "EXISTS " VER, ":0");
    expect_ask(lone.link, "HGET " F " guard:7", "10:1");
}

static void make_of_a_new_generation_raises_the_guard_even_to_a_lower_state(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " F " guard:7 9:4", ":1");
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 10 1", "+OK");
    expect_ask(lone.link, "HGET " F " guard:7", "10:1");
}

static void make_again_keeps_a_larger_state_of_its_generation(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1", "+OK");
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 1", "+OK");
    expect_ask(lone.link, "HGET " F " guard:7", "9:2");
}

static void make_without_a_fence_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 1", ABSENT);
    expect_ask(lone.link, "DBSIZE", ":0");
}

static void make_on_another_process_is_unfenced_though_the_fence_agrees(void **state)
{
    (void)state;
    become_another_process();
    expect_answer_prefix(ask_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 1"),
                         "-UNFENCED this server is ");
    expect_ask(lone.link, "EXISTS " VER, ":0");
}

/* --- guard --------------------------------------------------------------------------- */

/* The guards went with the fence (FLUSHALL); a new one was written at epoch 20. */
static void fence_anew(void)
{
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ accept c s1 20", "+OK");
}

/* A migrator of the time before wakes up: by now the shard may own the slots, and its guard would
 * let it purge the only copy. */
// field lesson: late cleanup deleted the next migration's keys
static void a_guard_from_before_the_fence_is_stale(void **state)
{
    (void)state;
    fence_anew();
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "-STALE 0:0 born 20");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 19 3 -1", "-STALE 0:0 born 20");
    expect_ask(lone.link, "HEXISTS " F " guard:7", ":0");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 20 3 -1", "+OK");
}

static void make_of_a_base_from_before_the_fence_is_stale_and_makes_nothing(void **state)
{
    (void)state;
    fence_anew();
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 19 1", "-STALE 0:0 born 20");
    expect_ask(lone.link, "EXISTS " VER, ":0");
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 20 1", "+OK");
}

static void the_guard_only_rises(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "+OK");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "+OK");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1", "-STALE 9:3");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 8 4 -1", "-STALE 9:3");
    expect_ask(lone.link, "HGET " F " guard:7", "9:3");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 10 1 -1", "+OK");
    expect_ask(lone.link, "HGET " F " guard:7", "10:1");
}

static void the_owner_guard_needs_the_sentinel_of_ver(void **state)
{
    (void)state;
    expect_ask(lone.link, "HDEL " VER " __sluice:sentinel", ":1");
    expect_script(lone.link, SCRIPT_GUARD, F " " VER, "$ 7 9 2 -1", LOST VER);
    expect_ask(lone.link, "HGET " F " guard:7", "9:1");
}

static void the_owner_guard_is_refused_once_keys_were_evicted(void **state)
{
    (void)state;
    char evicted[24];
    assert_true(shard_info(lone.link, "stats", "evicted_keys", evicted, sizeof(evicted), NULL));
    assert_string_equal(evicted, "0");
    expect_script(lone.link, SCRIPT_GUARD, F " " VER, "$ 7 9 2 3", "-EVICTED 0");
    expect_ask(lone.link, "HGET " F " guard:7", "9:1");
    expect_script(lone.link, SCRIPT_GUARD, F " " VER, "$ 7 9 2 0", "+OK");
}

static void guard_without_a_fence_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1", ABSENT);
    expect_ask(lone.link, "EXISTS " F, ":0");
}

static void guard_on_another_process_is_unfenced_though_the_fence_agrees(void **state)
{
    (void)state;
    become_another_process();
    expect_answer_prefix(ask_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1"),
                         "-UNFENCED this server is ");
    expect_ask(lone.link, "HGET " F " guard:7", "9:1");
}

/* --- apply --------------------------------------------------------------------------- */

/* One key of a batch: the payload of a string value, or of an absent key when value is null; the
 * string itself where `expiry` begins with an s. */
struct state {
    const char *key;
    const char *seq;
    const char *expiry;
    const char *value;
};

static struct shard_reply *dump_of(const char *value)
{
    expect_ask(lone.link, "CONFIG SET maxmemory 0", "+OK");
    shard_reply_free(shard_commandf(lone.link, NULL, "SET __scratch %s", value));
    struct shard_reply *dump = shard_commandf(lone.link, NULL, "DUMP __scratch");
    assert_non_null(dump);
    expect_ask(lone.link, "DEL __scratch", ":1");
    return dump;
}

/* Applies `count` states in one batch for migration 7 and the generation. */
static char *apply_batch(const char *generation, const struct state *states, unsigned count)
{
    const struct shard_identity *identity = shard_link_identity(lone.link);
    struct slice words[64] = {SLICE(F), SLICE(VER)};
    struct shard_reply *dumps[8] = {NULL};
    struct slice *args = words + 2 + count;
    for (unsigned i = 0; i < count; i++) {
        bool is_itself = states[i].expiry[0] == 's';
        dumps[i] = states[i].value == NULL || is_itself ? NULL : dump_of(states[i].value);
        words[2 + i] = slice_of(states[i].key);
        args[4 + 3 * i] = slice_of(states[i].seq);
        args[5 + 3 * i] = slice_of(states[i].expiry);
        args[6 + 3 * i] = is_itself          ? slice_of(states[i].value)
                          : dumps[i] == NULL ? SLICE("")
                                             : shard_reply_text(dumps[i]);
    }
    args[0] = slice_of(identity->run_id);
    args[1] = slice_of(identity->replid);
    args[2] = SLICE("7");
    args[3] = slice_of(generation);
    assert_true(shard_load_scripts(lone.link, NULL));
    shard_append_script(lone.link, SCRIPT_APPLY, words, 2 + count + 4 + 3 * count, 2 + count);
    char *text = reply_as_text(shard_take(lone.link, NULL));
    for (unsigned i = 0; i < count; i++) {
        shard_reply_free(dumps[i]);
    }
    return text;
}

static void expect_apply(const char *key, const char *seq, const char *value, const char *answer)
{
    struct state one = {key, seq, "-1", value};
    expect_answer(apply_batch("9", &one, 1), answer);
}

static void apply_writes_the_state_and_its_number(void **state)
{
    (void)state;
    expect_apply("k", "3", "one", "[:1]");
    expect_ask(lone.link, "GET k", "one");
    expect_ask(lone.link, "PTTL k", ":-1");
    expect_ask(lone.link, "HGET " VER " k", "3");
}

static void apply_needs_the_guard_open_for_its_generation(void **state)
{
    (void)state;
    struct state one = {"k", "3", "-1", "one"};
    expect_answer(apply_batch("8", &one, 1), "-STALE 9:1");
    expect_answer(apply_batch("10", &one, 1), "-STALE 9:1");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1", "+OK");
    expect_answer(apply_batch("9", &one, 1), "-STALE 9:2");
    expect_ask(lone.link, "HDEL " F " guard:7", ":1");
    expect_answer(apply_batch("9", &one, 1), "-STALE 0:0");
    expect_ask(lone.link, "EXISTS k", ":0");
}

static void apply_needs_the_fence_of_this_process(void **state)
{
    (void)state;
    struct state one = {"k", "3", "-1", "one"};
    expect_ask(lone.link, "HSET " F " replid aaaa", ":0");
    expect_answer_prefix(apply_batch("9", &one, 1), "-UNFENCED the fence names another process");
    expect_ask(lone.link, "EXISTS k", ":0");
    expect_ask(lone.link, "DEL " F, ":1");
    expect_answer(apply_batch("9", &one, 1), ABSENT);
}

static void apply_needs_the_sentinel_of_ver(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " VER " other 1", ":1");
    expect_ask(lone.link, "HDEL " VER " __sluice:sentinel", ":1");
    expect_apply("k", "3", "one", LOST VER);
    expect_ask(lone.link, "EXISTS k", ":0");
}

// field lesson: a late acknowledgement was taken for a newer one
static void apply_needs_a_larger_number_not_an_equal_one(void **state)
{
    (void)state;
    expect_apply("k", "3", "one", "[:1]");
    expect_apply("k", "3", "two", "[:0]");
    expect_apply("k", "2", "two", "[:0]");
    expect_ask(lone.link, "GET k", "one");
    expect_apply("k", "4", "two", "[:1]");
    expect_ask(lone.link, "GET k", "two");
}

static void apply_compares_numbers_not_texts(void **state)
{
    (void)state;
    expect_apply("k", "9", "nine", "[:1]");
    expect_apply("k", "10", "ten", "[:1]");
    expect_apply("k", "9007199254740991", "large", "[:1]");
    expect_ask(lone.link, "HGET " VER " k", "9007199254740991");
    expect_apply("k", "9007199254740990", "late", "[:0]");
    expect_ask(lone.link, "GET k", "large");
}

static void number_0_is_applied_only_where_no_number_is_known(void **state)
{
    (void)state;
    expect_apply("k", "0", "backfilled", "[:1]");
    expect_ask(lone.link, "HEXISTS " VER " k", ":0");
    expect_apply("k", "0", "again", "[:1]");
    expect_apply("k", "1", "mirrored", "[:1]");
    expect_apply("k", "0", "late", "[:0]");
    expect_ask(lone.link, "GET k", "mirrored");
}

static void a_state_replaces_the_one_before_and_its_expiry(void **state)
{
    (void)state;
    expect_ask(lone.link, "RPUSH k a b", ":2");
    expect_ask(lone.link, "EXPIRE k 1000", ":1");
    expect_apply("k", "1", "text", "[:1]");
    expect_ask(lone.link, "GET k", "text");
    expect_ask(lone.link, "PTTL k", ":-1");
}

// field lesson: a deleted key came back from the backfill
static void an_absent_state_deletes_and_is_numbered(void **state)
{
    (void)state;
    expect_apply("k", "1", "one", "[:1]");
    expect_apply("k", "2", NULL, "[:1]");
    expect_ask(lone.link, "EXISTS k", ":0");
    expect_ask(lone.link, "HGET " VER " k", "2");
    expect_apply("k", "1", "late", "[:0]");
    expect_ask(lone.link, "EXISTS k", ":0");
}

// field lesson: a lifetime extended during the copy was lost
static void an_expiry_is_absolute(void **state)
{
    (void)state;
    char when[32];
    (void)snprintf(when, sizeof(when), "%llu", (unsigned long long)clock_wall_ms() + 600000);
    struct state one = {"k", "1", when, "one"};
    char *expected = mem_printf(":%s", when);
    expect_answer(apply_batch("9", &one, 1), "[:1]");
    expect_ask(lone.link, "PEXPIRETIME k", expected);
    mem_free(expected);
}

static void an_expiry_in_the_past_leaves_no_key_but_the_number(void **state)
{
    (void)state;
    struct state one = {"k", "2", "1000", "one"};
    expect_apply("k", "1", "before", "[:1]");
    expect_answer(apply_batch("9", &one, 1), "[:1]");
    expect_ask(lone.link, "EXISTS k", ":0");
    expect_ask(lone.link, "HGET " VER " k", "2");
}

static void a_string_may_come_as_itself(void **state)
{
    (void)state;
    char when[32];
    (void)snprintf(when, sizeof(when), "s%llu", (unsigned long long)clock_wall_ms() + 600000);
    struct state batch[] = {{"a", "1", "s-1", "one"},   {"b", "0", "s-1", ""},
                            {"c", "2", when, "timed"},  {"d", "1", "s-1", "was a list"},
                            {"e", "1", "s1000", "old"}, {"f", "1", "-1", "dumped"}};
    expect_ask(lone.link, "RPUSH d x y", ":2");
    expect_ask(lone.link, "SET a timed PX 100000", "+OK");
    expect_answer(apply_batch("9", batch, 6), "[:1, :1, :1, :1, :1, :1]");
    expect_ask(lone.link, "MGET a b c d e f", "[one, , timed, was a list, (nil), dumped]");
    expect_ask(lone.link, "PEXPIRETIME a", ":-1");
    char *expected = mem_printf(":%s", when + 1);
    expect_ask(lone.link, "PEXPIRETIME c", expected);
    mem_free(expected);
    expect_ask(lone.link, "HMGET " VER " a b c d e", "[1, (nil), 2, 1, 1]");
}

static void a_string_that_comes_as_itself_needs_a_larger_number_too(void **state)
{
    (void)state;
    struct state late[] = {{"k", "3", "s-1", "late"}, {"k", "2", "s-1", "later"}};
    struct state twice[] = {{"k", "5", "s-1", "first"}, {"k", "6", "-1", NULL}};
    expect_apply("k", "3", "kept", "[:1]");
    expect_answer(apply_batch("9", late, 2), "[:0, :0]");
    expect_ask(lone.link, "GET k", "kept");
    expect_answer(apply_batch("9", twice, 2), "[:1, :1]");
    expect_ask(lone.link, "EXISTS k", ":0");
    expect_ask(lone.link, "HGET " VER " k", "6");
}

static void apply_is_refused_for_memory_before_its_first_write(void **state)
{
    (void)state;
    expect_apply("k", "1", "one", "[:1]");
    struct shard_reply *dump = dump_of("two");
    expect_ask(lone.link, "CONFIG SET maxmemory 1", "+OK");
    struct slice payload = shard_reply_text(dump);
    const struct shard_identity *identity = shard_link_identity(lone.link);
    /* The first key is deleted: were it done, the second would pass under OOM. */
    struct slice words[] = {SLICE(F),
                            SLICE(VER),
                            SLICE("k"),
                            SLICE("l"),
                            slice_of(identity->run_id),
                            slice_of(identity->replid),
                            SLICE("7"),
                            SLICE("9"),
                            SLICE("2"),
                            SLICE("-1"),
                            SLICE(""),
                            SLICE("1"),
                            SLICE("-1"),
                            payload};
    shard_append_script(lone.link, SCRIPT_APPLY, words, 14, 4);
    expect_answer_prefix(reply_as_text(shard_take(lone.link, NULL)), "-OOM ");
    shard_reply_free(dump);
    expect_ask(lone.link, "GET k", "one");
    expect_ask(lone.link, "EXISTS l", ":0");
    expect_ask(lone.link, "HGET " VER " k", "1");
    expect_ask(lone.link, "CONFIG SET maxmemory 0", "+OK");
}

static void a_batch_judges_each_key_alone(void **state)
{
    (void)state;
    expect_apply("b", "5", "kept", "[:1]");
    struct state batch[] = {{"a", "1", "-1", "a1"},
                            {"b", "4", "-1", "late"},
                            {"c", "0", "-1", "c0"},
                            {"d", "2", "-1", NULL}};
    expect_answer(apply_batch("9", batch, 4), "[:1, :0, :1, :1]");
    expect_ask(lone.link, "MGET a b c d", "[a1, kept, c0, (nil)]");
    expect_ask(lone.link, "HMGET " VER " a b c d", "[1, 5, (nil), 2]");
}

static void a_key_twice_in_a_batch_ends_at_its_larger_number(void **state)
{
    (void)state;
    struct state rising[] = {{"k", "1", "-1", "one"}, {"k", "2", "-1", "two"}};
    struct state falling[] = {{"l", "2", "-1", "two"}, {"l", "1", "-1", "one"}};
    struct state deleted[] = {{"m", "1", "-1", "one"}, {"m", "2", "-1", NULL}};
    expect_answer(apply_batch("9", rising, 2), "[:1, :1]");
    expect_answer(apply_batch("9", falling, 2), "[:1, :0]");
    expect_answer(apply_batch("9", deleted, 2), "[:1, :1]");
    expect_ask(lone.link, "MGET k l m", "[two, two, (nil)]");
    expect_ask(lone.link, "HMGET " VER " k l m", "[2, 2, 2]");
}

// field lesson: newer server to older server, payload refused
static void a_payload_that_cannot_be_read_leaves_the_others_and_no_number(void **state)
{
    (void)state;
    expect_apply("bad", "1", "one", "[:1]");
    expect_answer_prefix(
        ask_script(lone.link, SCRIPT_APPLY, F " " VER " bad gone", "$ 7 9 2 -1 rubbish 3 -1 ''"),
        "[-ERR DUMP payload version or checksum are wrong");
    expect_ask(lone.link, "HMGET " VER " bad gone", "[1, 3]");
}

/* Beyond what unpack() takes at once. */
static void a_large_batch_is_applied_whole(void **state)
{
    (void)state;

    enum {
        COUNT = 9000
    };
    struct slice *words = mem_alloc((2 + COUNT + 4 + 3 * COUNT) * sizeof(*words));
    char(*names)[16] = mem_alloc(COUNT * sizeof(*names));
    const struct shard_identity *identity = shard_link_identity(lone.link);
    struct shard_reply *dump = dump_of("x");
    struct slice *args = words + 2 + COUNT;
    words[0] = SLICE(F);
    words[1] = SLICE(VER);
    args[0] = slice_of(identity->run_id);
    args[1] = slice_of(identity->replid);
    args[2] = SLICE("7");
    args[3] = SLICE("9");
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%d", i);
        words[2 + i] = slice_of(names[i]);
        args[4 + 3 * i] = SLICE("1");
        args[5 + 3 * i] = SLICE("-1");
        args[6 + 3 * i] = shard_reply_text(dump);
    }
    assert_true(shard_load_scripts(lone.link, NULL));
    shard_append_script(lone.link, SCRIPT_APPLY, words, 2 + COUNT + 4 + 3 * COUNT, 2 + COUNT);
    struct shard_reply *reply = shard_take(lone.link, NULL);
    assert_int_equal(shard_reply_count(reply), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(shard_reply_integer(shard_reply_at(reply, i)), 1);
    }
    shard_reply_free(reply);
    shard_reply_free(dump);
    mem_free(words);
    mem_free(names);
    expect_ask(lone.link, "HLEN " VER, ":9001");
    expect_ask(lone.link, "GET k8999", "x");
}

/* --- renumber and clear ------------------------------------------------------------------ */

static void renumber_hands_out_new_numbers_and_marks(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " SEQ " a 4", ":1");
    expect_script(lone.link, SCRIPT_RENUMBER, F " " SEQ " " DIRTY " a b", "$", "[:5, :1]");
    expect_ask(lone.link, "SMISMEMBER " DIRTY " a b", "[:1, :1]");
}

static void renumber_needs_both_sentinels_and_the_fence(void **state)
{
    (void)state;
    expect_ask(lone.link, "SREM " DIRTY " __sluice:sentinel", ":1");
    expect_script(lone.link, SCRIPT_RENUMBER, F " " SEQ " " DIRTY " a", "$", LOST DIRTY);
    expect_ask(lone.link, "HDEL " SEQ " __sluice:sentinel", ":1");
    expect_script(lone.link, SCRIPT_RENUMBER, F " " SEQ " " DIRTY " a", "$", LOST SEQ);
    expect_ask(lone.link, "DEL " F, ":1");
    expect_script(lone.link, SCRIPT_RENUMBER, F " " SEQ " " DIRTY " a", "$", ABSENT);
    expect_ask(lone.link, "EXISTS " SEQ " " DIRTY, ":0");
}

// field lesson: a late acknowledgement was taken for a newer one
static void a_mark_is_cleared_only_while_its_number_is_unchanged(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " SEQ " a 4 b 5", ":2");
    expect_ask(lone.link, "SADD " DIRTY " a b c", ":3");
    expect_script(lone.link, SCRIPT_CLEAR, F " " SEQ " " DIRTY, "$ a 3 b 5 c 0", ":2");
    expect_ask(lone.link, "SMISMEMBER " DIRTY " a b c __sluice:sentinel", "[:1, :0, :0, :1]");
}

static void clear_needs_both_sentinels_and_the_fence(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " SEQ " a 4", ":1");
    expect_ask(lone.link, "SADD " DIRTY " a", ":1");
    expect_ask(lone.link, "SREM " DIRTY " __sluice:sentinel", ":1");
    expect_script(lone.link, SCRIPT_CLEAR, F " " SEQ " " DIRTY, "$ a 4", LOST DIRTY);
    expect_ask(lone.link, "HDEL " SEQ " __sluice:sentinel", ":1");
    expect_script(lone.link, SCRIPT_CLEAR, F " " SEQ " " DIRTY, "$ a 4", LOST SEQ);
    expect_ask(lone.link, "HSET " F " run_id x", ":0");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_CLEAR, F " " SEQ " " DIRTY, "$ a 4"),
                         "-UNFENCED ");
    expect_ask(lone.link, "SISMEMBER " DIRTY " a", ":1");
}

/* --- purge and drop ------------------------------------------------------------------------ */

// field lesson: late cleanup deleted the next migration's keys
static void purge_needs_the_purge_guard_of_its_generation(void **state)
{
    (void)state;
    expect_ask(lone.link, "MSET a 1 b 2", "+OK");
    expect_script(lone.link, SCRIPT_PURGE, F " a b", "$ 7 9", "-STALE 9:1");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "+OK");
    expect_script(lone.link, SCRIPT_PURGE, F " a b", "$ 7 8", "-STALE 9:3");
    expect_script(lone.link, SCRIPT_PURGE, F " a b", "$ 6 9", "-STALE 0:0");
    expect_ask(lone.link, "EXISTS a b", ":2");
    expect_script(lone.link, SCRIPT_PURGE, F " a b c", "$ 7 9", ":2");
    expect_ask(lone.link, "EXISTS a b", ":0");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 4 -1", "+OK");
    expect_ask(lone.link, "SET a 1", "+OK");
    expect_script(lone.link, SCRIPT_PURGE, F " a", "$ 7 9", "-STALE 9:4");
}

static void purge_needs_the_fence_of_this_process(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "+OK");
    expect_ask(lone.link, "SET a 1", "+OK");
    expect_ask(lone.link, "HSET " F " run_id x", ":0");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_PURGE, F " a", "$ 7 9"), "-UNFENCED ");
    expect_ask(lone.link, "EXISTS a", ":1");
}

static void drop_needs_the_closed_guard_of_its_generation(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 3 -1", "+OK");
    expect_script(lone.link, SCRIPT_DROP, F " " SEQ " " DIRTY " " VER, "$ 7 9", "-STALE 9:3");
    expect_ask(lone.link, "EXISTS " SEQ " " DIRTY " " VER, ":3");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 4 -1", "+OK");
    expect_script(lone.link, SCRIPT_DROP, F " " SEQ, "$ 7 10", "-STALE 9:4");
    expect_script(lone.link, SCRIPT_DROP, F " " SEQ " " DIRTY " " VER, "$ 7 9", ":3");
}

static void drop_needs_the_fence_of_this_process(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 4 -1", "+OK");
    expect_ask(lone.link, "HSET " F " run_id x", ":0");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_DROP, F " " SEQ, "$ 7 9"), "-UNFENCED ");
    expect_ask(lone.link, "EXISTS " SEQ, ":1");
}

static void forget_needs_no_guard_but_the_fence_of_this_process(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_FORGET, F " " SEQ " " DIRTY " " VER, "$", ":3");
    expect_ask(lone.link, "EXISTS " SEQ " " DIRTY " " VER, ":0");
    expect_ask(lone.link, "HSET " SEQ " a 1", ":1");
    expect_ask(lone.link, "HSET " F " run_id x", ":0");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_FORGET, F " " SEQ, "$"), "-UNFENCED ");
    expect_ask(lone.link, "EXISTS " SEQ, ":1");
}

/* --- marked_write --------------------------------------------------------------------------- */

static void a_marked_write_runs_and_marks_above_maxmemory(void **state)
{
    (void)state;
    expect_ask(lone.link, "MSET a 1 b 2 c 3", "+OK");
    expect_ask(lone.link, "CONFIG SET maxmemory 1", "+OK");
    expect_answer_prefix(ask(lone.link, "SET a 2"), "-OOM ");
    expect_script(lone.link, SCRIPT_MARKED_WRITE, F " " SEQ " " DIRTY " a b", "$ 2 2 DEL a b",
                  ":2");
    expect_ask(lone.link, "CONFIG SET maxmemory 0", "+OK");
    expect_ask(lone.link, "EXISTS a b", ":0");
    expect_ask(lone.link, "HMGET " SEQ " a b", "[1, 1]");
    expect_ask(lone.link, "SMISMEMBER " DIRTY " a b", "[:1, :1]");
}

static void a_marked_write_marks_only_the_written_keys(void **state)
{
    (void)state;
    expect_ask(lone.link, "SADD x m", ":1");
    expect_script(lone.link, SCRIPT_MARKED_WRITE, F " " SEQ " " DIRTY " x y", "$ 1 2 SREM x m",
                  ":1");
    expect_ask(lone.link, "HMGET " SEQ " x y", "[1, (nil)]");
}

static void a_marked_write_answers_the_commands_own_error(void **state)
{
    (void)state;
    expect_ask(lone.link, "SET a 1", "+OK");
    expect_script(lone.link, SCRIPT_MARKED_WRITE, F " " SEQ " " DIRTY " a", "$ 1 2 LPOP a",
                  "-WRONGTYPE Operation against a key holding the wrong kind of value");
}

/* UNLINK of so many written keys, through marked_write. */
static char *marked_unlink(unsigned nkeys)
{
    const struct shard_identity *identity = shard_link_identity(lone.link);
    struct slice *words = mem_alloc((2 * nkeys + 9) * sizeof(*words));
    char digits[20];
    unsigned count = 0;
    words[count++] = SLICE(F);
    words[count++] = SLICE(SEQ);
    words[count++] = SLICE(DIRTY);
    for (unsigned i = 0; i < nkeys; i++) {
        words[count++] = SLICE("a");
    }
    words[count++] = slice_of(identity->run_id);
    words[count++] = slice_of(identity->replid);
    words[count++] = (struct slice){digits, number_format_u64(digits, nkeys)};
    words[count++] = SLICE("2");
    words[count++] = SLICE("UNLINK");
    for (unsigned i = 0; i < nkeys; i++) {
        words[count++] = SLICE("a");
    }
    assert_true(shard_load_scripts(lone.link, NULL));
    shard_append_script(lone.link, SCRIPT_MARKED_WRITE, words, count, 3 + nkeys);
    mem_free(words);
    return reply_as_text(shard_take(lone.link, NULL));
}

/* More than unpack() can pass on would fail after the marks, with words of Lua's. */
static void a_marked_write_of_too_many_arguments_is_refused_whole(void **state)
{
    (void)state;
    expect_ask(lone.link, "SET a 1", "+OK");
    expect_answer(marked_unlink(8000), "-OOM command not allowed when used memory > 'maxmemory'.");
    expect_ask(lone.link, "HEXISTS " SEQ " a", ":0");
    expect_ask(lone.link, "EXISTS a", ":1");
    expect_answer(marked_unlink(7895), ":1");
}

/* --- the list --------------------------------------------------------------------------------- */

int main(void)
{
#define MADE(test)    cmocka_unit_test_setup(test, made)
#define FENCED(test)  cmocka_unit_test_setup(test, fenced)
#define RESTART(test) cmocka_unit_test_setup_teardown(test, made, lone_shard_restart)
    const struct CMUnitTest tests[] = {
        MADE(make_adds_sentinels_and_opens_the_guard),
        FENCED(make_keeps_the_numbers_and_marks_that_came_before_it),
        FENCED(make_of_an_older_generation_is_stale_and_makes_nothing),
        FENCED(make_of_a_new_generation_raises_the_guard_even_to_a_lower_state),
        MADE(make_again_keeps_a_larger_state_of_its_generation),
        MADE(make_without_a_fence_is_unfenced),
        cmocka_unit_test_setup_teardown(make_on_another_process_is_unfenced_though_the_fence_agrees,
                                        fenced, lone_shard_restart),
        MADE(the_guard_only_rises),
        MADE(a_guard_from_before_the_fence_is_stale),
        FENCED(make_of_a_base_from_before_the_fence_is_stale_and_makes_nothing),
        MADE(the_owner_guard_needs_the_sentinel_of_ver),
        MADE(the_owner_guard_is_refused_once_keys_were_evicted),
        MADE(guard_without_a_fence_is_unfenced),
        RESTART(guard_on_another_process_is_unfenced_though_the_fence_agrees),
        MADE(apply_writes_the_state_and_its_number),
        MADE(apply_needs_the_guard_open_for_its_generation),
        MADE(apply_needs_the_fence_of_this_process),
        MADE(apply_needs_the_sentinel_of_ver),
        MADE(apply_needs_a_larger_number_not_an_equal_one),
        MADE(apply_compares_numbers_not_texts),
        MADE(number_0_is_applied_only_where_no_number_is_known),
        MADE(a_state_replaces_the_one_before_and_its_expiry),
        MADE(an_absent_state_deletes_and_is_numbered),
        MADE(an_expiry_is_absolute),
        MADE(an_expiry_in_the_past_leaves_no_key_but_the_number),
        MADE(a_string_may_come_as_itself),
        MADE(a_string_that_comes_as_itself_needs_a_larger_number_too),
        MADE(apply_is_refused_for_memory_before_its_first_write),
        MADE(a_batch_judges_each_key_alone),
        MADE(a_key_twice_in_a_batch_ends_at_its_larger_number),
        MADE(a_payload_that_cannot_be_read_leaves_the_others_and_no_number),
        MADE(a_large_batch_is_applied_whole),
        MADE(renumber_hands_out_new_numbers_and_marks),
        MADE(renumber_needs_both_sentinels_and_the_fence),
        MADE(a_mark_is_cleared_only_while_its_number_is_unchanged),
        MADE(clear_needs_both_sentinels_and_the_fence),
        MADE(purge_needs_the_purge_guard_of_its_generation),
        MADE(purge_needs_the_fence_of_this_process),
        MADE(drop_needs_the_closed_guard_of_its_generation),
        MADE(drop_needs_the_fence_of_this_process),
        MADE(forget_needs_no_guard_but_the_fence_of_this_process),
        MADE(a_marked_write_runs_and_marks_above_maxmemory),
        MADE(a_marked_write_marks_only_the_written_keys),
        MADE(a_marked_write_answers_the_commands_own_error),
        MADE(a_marked_write_of_too_many_arguments_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, lone_shard_start, lone_shard_stop);
}
