/* The C side of the scripts: what goes in, and which outcome comes out. The rules themselves are in
 * script_test.c and mirror_script_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/shard/fence.h"
#include "tests/support/lone_shard.h"

#define F       METADATA_FENCE
#define CLUSTER "0123456789abcdef0123456789abcdef"

static struct metadata_names names;

static int start(void **state)
{
    metadata_names_of(7, 9, DIRECTION_REVERSE, &names);
    return lone_shard_start(state);
}

static int fenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    assert_int_equal(fence_write(lone.link, FENCE_WRITE_FIRST, CLUSTER, "s1", 5, NULL), FENCE_OK);
    return 0;
}

static struct guard_claim claim_of(uint64_t generation)
{
    return (struct guard_claim){shard_link_identity(lone.link), 7, generation};
}

static void names_say_migration_base_and_direction(void **state)
{
    (void)state;
    struct metadata_names forward;
    assert_string_equal(names.seq, "__sluice:m7:9:r:seq");
    assert_string_equal(names.dirty, "__sluice:m7:9:r:dirty");
    assert_string_equal(names.ver, "__sluice:m7:9:r:ver");
    metadata_names_of(UINT64_MAX, UINT64_MAX, DIRECTION_FORWARD, &forward);
    assert_string_equal(forward.dirty,
                        "__sluice:m18446744073709551615:18446744073709551615:f:dirty");
    assert_true(metadata_is_name(SLICE("__sluice:x")));
    assert_false(metadata_is_name(SLICE("__sluice")));
    assert_false(metadata_is_name(SLICE("x__sluice:x")));
}

static void words_of_errors_become_outcomes(void **state)
{
    (void)state;
    assert_int_equal(fence_outcome_of(SLICE("UNFENCED x")), FENCE_UNFENCED);
    assert_int_equal(fence_outcome_of(SLICE("STALE 9:1")), FENCE_STALE);
    assert_int_equal(fence_outcome_of(SLICE("FENCED 9")), FENCE_STALE);
    assert_int_equal(fence_outcome_of(SLICE("LOST x")), FENCE_LOST);
    assert_int_equal(fence_outcome_of(SLICE("EVICTED 3")), FENCE_LOST);
    assert_int_equal(fence_outcome_of(SLICE("OOM command")), FENCE_OOM);
    assert_int_equal(fence_outcome_of(SLICE("OOMPH")), FENCE_FAILED);
    assert_int_equal(fence_outcome_of(SLICE("BUSY Redis is busy")), FENCE_FAILED);
    assert_int_equal(fence_outcome_of(SLICE("")), FENCE_FAILED);
}

static void a_fence_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct fence_state fence;
    assert_true(fence_read(lone.link, &fence, NULL));
    assert_true(fence.exists);
    assert_string_equal(fence.cluster, CLUSTER);
    assert_string_equal(fence.shard, "s1");
    assert_int_equal(fence.epoch, 5);
    assert_true(shard_identity_equal(&fence.identity, shard_link_identity(lone.link)));
    assert_int_equal(fence_write(lone.link, FENCE_WRITE_FIRST, CLUSTER, "s1", 5, NULL),
                     FENCE_UNFENCED);
    expect_ask(lone.link, "DEL " F, ":1");
    assert_true(fence_read(lone.link, &fence, NULL));
    assert_false(fence.exists);
    assert_int_equal(fence.epoch, 0);
}

static void a_fence_that_is_not_ours_is_not_believed(void **state)
{
    (void)state;
    struct fence_state fence;
    struct error err;
    expect_ask(lone.link, "HSET " F " epoch many", ":0");
    assert_false(fence_read(lone.link, &fence, &err));
    expect_ask(lone.link, "DEL " F, ":1");
    expect_ask(lone.link, "SET " F " x", "+OK");
    assert_false(fence_read(lone.link, &fence, &err));
}

static void raise_gives_the_peers(void **state)
{
    (void)state;
    struct fence_peer *peers;
    unsigned count;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 proxy-1:abc 7", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 6 proxy-1:abc", "+OK");
    assert_int_equal(
        fence_raise(lone.link, shard_link_identity(lone.link), 6, &peers, &count, NULL), FENCE_OK);
    assert_int_equal(count, 1);
    assert_string_equal(peers[0].name, "proxy-1:abc");
    assert_int_equal(peers[0].connection_id, 7);
    assert_int_equal(peers[0].epoch, 6);
    mem_free(peers);
}

/* Better no barrier than one that passes over somebody. */
static void a_malformed_peer_fails_the_raise(void **state)
{
    (void)state;
    struct fence_peer *peers;
    unsigned count;
    expect_ask(lone.link, "HSET " F " peer:p:1 seven", ":1");
    assert_int_equal(
        fence_raise(lone.link, shard_link_identity(lone.link), 6, &peers, &count, NULL),
        FENCE_FAILED);
    assert_null(peers);
}

static void a_peer_is_killed_by_its_name_alone(void **state)
{
    (void)state;
    unsigned killed = 0;
    struct shard_link *peer = ask_open(lone.server), *also = ask_open(lone.server);
    struct shard_link *other = ask_open(lone.server);
    expect_ask(peer, "CLIENT SETNAME sluice:p:1", "+OK");
    expect_ask(also, "CLIENT SETNAME sluice:p:1", "+OK");
    expect_ask(other, "CLIENT SETNAME sluice:p:12", "+OK");
    assert_true(fence_kill_peer(lone.link, "p:1", &killed, NULL));
    assert_int_equal(killed, 2);
    assert_null(shard_commandf(peer, NULL, "PING"));
    assert_null(shard_commandf(also, NULL, "PING"));
    expect_ask(other, "PING", "+PONG");
    shard_close(peer);
    shard_close(also);
    shard_close(other);
}

static void a_peer_that_said_hello_again_is_stale_to_remove(void **state)
{
    (void)state;
    struct fence_peer peer = {"p:1", 7, 0};
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 8", "+OK");
    assert_int_equal(fence_remove_peer(lone.link, &peer, NULL), FENCE_STALE);
    peer.connection_id = 8;
    assert_int_equal(fence_remove_peer(lone.link, &peer, NULL), FENCE_OK);
    expect_ask(lone.link, "HEXISTS " F " peer:p:1", ":0");
}

static void make_guard_and_drop_go_through_a_life(void **state)
{
    (void)state;
    struct error err;
    struct guard_claim claim = claim_of(9), older = claim_of(8);
    struct slice all[] = {slice_of(names.seq), slice_of(names.dirty), slice_of(names.ver)};
    assert_int_equal(fence_make(lone.link, &claim, GUARD_OPEN, &names, true, NULL), FENCE_OK);
    assert_int_equal(fence_make(lone.link, &claim, GUARD_OPEN, &names, false, NULL), FENCE_OK);
    expect_ask(lone.link, "EXISTS __sluice:m7:9:r:seq __sluice:m7:9:r:dirty __sluice:m7:9:r:ver",
               ":3");
    assert_int_equal(fence_guard(lone.link, &older, GUARD_CLOSED, NULL, -1, &err), FENCE_STALE);
    assert_non_null(strstr(err.text, ": script guard: STALE 9:1"));
    assert_int_equal(fence_guard(lone.link, &claim, GUARD_OWNER, names.ver, 5, NULL), FENCE_LOST);
    assert_int_equal(fence_guard(lone.link, &claim, GUARD_OWNER, names.ver, 0, NULL), FENCE_OK);
    assert_int_equal(fence_drop(lone.link, &claim, all, 3, NULL), FENCE_STALE);
    assert_int_equal(fence_guard(lone.link, &claim, GUARD_CLOSED, NULL, -1, NULL), FENCE_OK);
    assert_int_equal(fence_drop(lone.link, &claim, all, 3, NULL), FENCE_OK);
    expect_ask(lone.link, "DBSIZE", ":1");
    expect_ask(lone.link, "HGET " F " guard:7", "9:4");
}

static void a_lost_ver_and_a_lost_fence_are_told_apart(void **state)
{
    (void)state;
    struct guard_claim claim = claim_of(9);
    assert_int_equal(fence_guard(lone.link, &claim, GUARD_OWNER, names.ver, -1, NULL), FENCE_LOST);
    expect_ask(lone.link, "DEL " F, ":1");
    assert_int_equal(fence_guard(lone.link, &claim, GUARD_OWNER, names.ver, -1, NULL),
                     FENCE_UNFENCED);
}

static void a_broken_link_is_a_failure_to_try_again(void **state)
{
    (void)state;
    struct error err;
    struct guard_claim claim = claim_of(9);
    struct shard_link *gone = ask_open(lone.server);
    mem_free(ask(gone, "CLIENT SETNAME sluice:gone:1"));
    unsigned killed;
    assert_true(fence_kill_peer(lone.link, "gone:1", &killed, NULL));
    assert_int_equal(fence_guard(gone, &claim, GUARD_OPEN, NULL, -1, &err), FENCE_FAILED);
    shard_close(gone);
}

int main(void)
{
#define FENCED(test) cmocka_unit_test_setup(test, fenced)
    const struct CMUnitTest tests[] = {
        FENCED(names_say_migration_base_and_direction),
        FENCED(words_of_errors_become_outcomes),
        FENCED(a_fence_is_read_as_it_was_written),
        FENCED(a_fence_that_is_not_ours_is_not_believed),
        FENCED(raise_gives_the_peers),
        FENCED(a_malformed_peer_fails_the_raise),
        FENCED(a_peer_is_killed_by_its_name_alone),
        FENCED(a_peer_that_said_hello_again_is_stale_to_remove),
        FENCED(make_guard_and_drop_go_through_a_life),
        FENCED(a_lost_ver_and_a_lost_fence_are_told_apart),
        FENCED(a_broken_link_is_a_failure_to_try_again),
    };
    return cmocka_run_group_tests(tests, start, lone_shard_stop);
}
