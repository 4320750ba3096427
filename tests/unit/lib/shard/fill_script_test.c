/* The script by which a backfill puts plain strings. One test a rule; each fails when its check is
 * taken out of the script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "tests/support/lone_shard.h"

#define F   METADATA_FENCE
#define VER "__sluice:m7:9:f:ver"

/* An empty shard of epoch 5, with the copy's metadata of migration 7, base 9, generation 9. */
static int made(void **state)
{
    expect_ask(lone.link, "CONFIG SET maxmemory 0 maxmemory-policy noeviction", "+OK");
    (void)lone_shard_fence(state);
    expect_script(lone.link, SCRIPT_MAKE, F " " VER, "$ 7 9 1", "+OK");
    return 0;
}

static char *fill_one(void)
{
    return ask_script(lone.link, SCRIPT_FILL, F " " VER " k", "$ 7 9 one");
}

static void keys_without_a_number_get_their_values(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_FILL, F " " VER " a b", "$ 7 9 one two", ":2");
    expect_ask(lone.link, "MGET a b", "[one, two]");
    expect_ask(lone.link, "HLEN " VER, ":1");
}

/* Whatever they were: of another type, with an expiry. */
static void what_the_keys_were_is_replaced(void **state)
{
    (void)state;
    expect_ask(lone.link, "RPUSH a x", ":1");
    expect_ask(lone.link, "SET b x PX 100000", "+OK");
    expect_script(lone.link, SCRIPT_FILL, F " " VER " a b", "$ 7 9 one two", ":2");
    expect_ask(lone.link, "MGET a b", "[one, two]");
    expect_ask(lone.link, "PTTL b", ":-1");
}

// field lesson: a deleted key came back from the backfill
static void a_late_fill_does_not_undo_a_numbered_state(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " VER " deleted 1 written 2", ":2");
    expect_ask(lone.link, "SET written new", "+OK");
    expect_script(lone.link, SCRIPT_FILL, F " " VER " deleted k written", "$ 7 9 old one old",
                  ":1");
    expect_ask(lone.link, "MGET deleted k written", "[(nil), one, new]");
    expect_script(lone.link, SCRIPT_FILL, F " " VER " deleted written", "$ 7 9 old old", ":0");
    expect_ask(lone.link, "MGET deleted written", "[(nil), new]");
}

static void the_guard_must_be_open_for_the_generation(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_FILL, F " " VER " k", "$ 7 8 one", "-STALE 9:1");
    expect_script(lone.link, SCRIPT_FILL, F " " VER " k", "$ 7 10 one", "-STALE 9:1");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 7 9 2 -1", "+OK");
    expect_answer(fill_one(), "-STALE 9:2");
    expect_ask(lone.link, "EXISTS k", ":0");
}

static void the_fence_must_name_this_process(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " F " replid aaaa", ":0");
    expect_answer_prefix(fill_one(), "-UNFENCED the fence names another process");
    expect_ask(lone.link, "DEL " F, ":1");
    expect_answer(fill_one(), "-UNFENCED the fence is absent");
    expect_ask(lone.link, "EXISTS k", ":0");
}

static void the_sentinel_must_be_there(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " VER " other 1", ":1");
    expect_ask(lone.link, "HDEL " VER " __sluice:sentinel", ":1");
    expect_answer(fill_one(), "-LOST " VER);
    expect_ask(lone.link, "EXISTS k", ":0");
}

static void a_full_shard_takes_nothing(void **state)
{
    (void)state;
    expect_answer(fill_one(), ":1"); /* loads it */
    expect_ask(lone.link, "DEL k", ":1");
    expect_ask(lone.link, "CONFIG SET maxmemory 1", "+OK");
    expect_answer_prefix(fill_one(), "-OOM ");
    expect_ask(lone.link, "CONFIG SET maxmemory 0", "+OK");
    expect_ask(lone.link, "EXISTS k", ":0");
}

#define MADE(function) cmocka_unit_test_setup(function, made)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MADE(keys_without_a_number_get_their_values),
        MADE(what_the_keys_were_is_replaced),
        MADE(a_late_fill_does_not_undo_a_numbered_state),
        MADE(the_guard_must_be_open_for_the_generation),
        MADE(the_fence_must_name_this_process),
        MADE(the_sentinel_must_be_there),
        MADE(a_full_shard_takes_nothing),
    };
    return cmocka_run_group_tests(tests, lone_shard_start, lone_shard_stop);
}
