/* The names and the fence's scripts: hello, publish, raise, remove_peer, write_fence. One test a
 * rule; each fails when its check is taken out of the script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/shard/fence.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "tests/support/lone_shard.h"

#define F      METADATA_FENCE
#define ABSENT "-UNFENCED the fence is absent"

static void names_are_those_the_server_gives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SCRIPT_COUNT; i++) {
        struct slice words[] = {SLICE("SCRIPT"), SLICE("LOAD"), script_text(i)};
        struct shard_reply *reply = shard_command(lone.link, words, 3, NULL);
        assert_non_null(reply);
        assert_true(slice_equal(shard_reply_text(reply), script_sha(i)));
        shard_reply_free(reply);
    }
}

/* --- hello ------------------------------------------------------------------------ */

static void hello_records_the_peer(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_ask(lone.link, "HGET " F " peer:p:1", "7:0");
}

static void hello_keeps_what_the_peer_has_published(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 6 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 6 p:1", "+OK");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 6 p:1 9", "+OK");
    expect_ask(lone.link, "HGET " F " peer:p:1", "9:6");
}

static void hello_records_the_last_connection_not_the_largest(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 9", "+OK");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_ask(lone.link, "HGET " F " peer:p:1", "7:0");
}

// field lesson: a stale router was forgotten alive
static void hello_with_an_older_epoch_is_fenced(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 4 p:1 7", "-FENCED 5");
    expect_ask(lone.link, "HEXISTS " F " peer:p:1", ":0");
}

static void hello_compares_epochs_as_numbers(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 10 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 9007199254740990", "[p:1, 7:0]");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 9007199254740989 p:1 8",
                  "-FENCED 9007199254740990");
}

static void hello_without_a_fence_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", ABSENT);
    expect_ask(lone.link, "EXISTS " F, ":0");
}

static void hello_to_another_process_than_the_fence_names_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "HSET " F " run_id aaaa", ":0");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7"), "-UNFENCED ");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_HELLO, F, "bbbb cccc 5 p:1 7"), "-UNFENCED ");
}

static void hello_after_a_restart_is_unfenced_though_fence_and_caller_agree(void **state)
{
    struct shard_identity before = *shard_link_identity(lone.link);
    (void)lone_shard_restart(state);
    assert_string_not_equal(before.run_id, shard_link_identity(lone.link)->run_id);
    expect_ask(lone.link, "HGET " F " run_id", before.run_id);
    char *args = mem_printf("%s %s 5 p:1 7", before.run_id, before.replid);
    expect_answer_prefix(ask_script(lone.link, SCRIPT_HELLO, F, args), "-UNFENCED this server is ");
    mem_free(args);
}

/* --- publish, raise, remove_peer ---------------------------------------------------- */

// field lesson: a late acknowledgement was taken for a newer one
static void publish_only_rises(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 10 p:1", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 9 p:1", "+OK");
    expect_ask(lone.link, "HGET " F " peer:p:1", "7:10");
}

static void publish_by_a_removed_peer_is_stale(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 6 p:1", "-STALE this peer was removed");
    expect_ask(lone.link, "HEXISTS " F " peer:p:1", ":0");
}

static void publish_without_a_fence_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 6 p:1", ABSENT);
}

static void the_fence_only_rises(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 10", "[]");
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 9", "[]");
    expect_ask(lone.link, "HGET " F " epoch", "10");
}

/* Whoever is not in the answer to a raise has said hello to the raised fence. */
static void raise_closes_the_shard_before_it_reads_the_peers(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 6", "[p:1, 7:0]");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:2 8", "-FENCED 6");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 6 p:2 8", "+OK");
}

static void raise_without_a_fence_is_unfenced(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 10", ABSENT);
    expect_ask(lone.link, "EXISTS " F, ":0");
}

static void a_peer_is_removed_only_while_its_connection_is_unchanged(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 8", "+OK");
    expect_script(lone.link, SCRIPT_REMOVE_PEER, F, "$ p:1 7", ":0");
    expect_ask(lone.link, "HGET " F " peer:p:1", "8:0");
    expect_script(lone.link, SCRIPT_REMOVE_PEER, F, "$ p:1 8", ":1");
    expect_ask(lone.link, "HEXISTS " F " peer:p:1", ":0");
    expect_script(lone.link, SCRIPT_REMOVE_PEER, F, "$ p:1 8", ":0");
}

static void remove_peer_on_another_process_is_unfenced(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_REMOVE_PEER, F, "aa bb p:1 7"), "-UNFENCED ");
    expect_ask(lone.link, "HEXISTS " F " peer:p:1", ":1");
}

/* --- write_fence -------------------------------------------------------------------- */

static void a_first_fence_is_written_only_where_there_is_none(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ first c s1 9",
                  "-UNFENCED there is a fence already, of shard s1");
    expect_ask(lone.link, "HGET " F " epoch", "5");
}

static void an_absent_fence_is_not_taken_over(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", ABSENT);
    expect_ask(lone.link, "EXISTS " F, ":0");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ accept c s1 9", "+OK");
    expect_ask(lone.link, "HGET " F " epoch", "9");
}

static void a_fence_of_another_cluster_or_shard_is_neither_taken_over_nor_accepted(void **state)
{
    (void)state;
    static const char *const args[] = {"$ takeover d s1 9", "$ takeover c s2 9", "$ accept d s1 9",
                                       "$ accept c s2 9"};
    for (size_t i = 0; i < 4; i++) {
        expect_script(lone.link, SCRIPT_WRITE_FENCE, F, args[i],
                      "-UNFENCED the fence is of shard s1 of cluster c");
    }
}

static void a_fence_is_written_only_by_who_knows_the_server(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_answer_prefix(ask_script(lone.link, SCRIPT_WRITE_FENCE, F, "aa bb first c s1 5"),
                         "-UNFENCED this server is ");
    expect_ask(lone.link, "EXISTS " F, ":0");
}

static void a_takeover_never_lowers_the_epoch(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_RAISE, F, "$ 10", "[]");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    expect_ask(lone.link, "HGET " F " epoch", "10");
}

static void a_takeover_empties_the_peers_and_keeps_the_guards(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_ask(lone.link, "HSET " F " run_id aaaa guard:3 4:2", ":1");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    expect_ask(lone.link, "HMGET " F " peer:p:1 guard:3 epoch", "[(nil), 4:2, 9]");
    expect_ask(lone.link, "HGET " F " run_id", shard_link_identity(lone.link)->run_id);
}

/* Two take over at once: the slower one must not forget who said hello to the faster one's. */
static void a_second_takeover_keeps_the_peers_of_the_first(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    expect_ask(lone.link, "HMGET " F " peer:p:1 epoch", "[7:0, 9]");
}

/* Who closed it may have died before it ended their connections. */
static void a_closed_fence_that_is_taken_back_keeps_its_peers(void **state)
{
    (void)state;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_CLOSE_FENCE, F, "$ 5 8", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    expect_ask(lone.link, "HMGET " F " peer:p:1 epoch", "[0:0, 9]");
}

/* It may have been closed by a process before, whose connections had the same ids: a barrier that
 * found none of the peer's must not forget one that comes then. */
static void a_peer_that_comes_back_to_a_fence_taken_back_is_not_removed(void **state)
{
    (void)state;
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    struct error err;
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 5 p:1 7", "+OK");
    expect_script(lone.link, SCRIPT_PUBLISH, F, "$ 5 p:1", "+OK");
    expect_script(lone.link, SCRIPT_CLOSE_FENCE, F, "$ 5 8", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    assert_int_equal(
        fence_raise(lone.link, shard_link_identity(lone.link), 9, &peers, &count, &err), FENCE_OK);
    assert_int_equal(count, 1);
    assert_int_equal(peers[0].epoch, 5);
    expect_script(lone.link, SCRIPT_HELLO, F, "$ 9 p:1 7", "+OK");
    assert_int_equal(fence_remove_peer(lone.link, &peers[0], &err), FENCE_STALE);
    mem_free(peers);
    expect_ask(lone.link, "HGET " F " peer:p:1", "7:5");
}

/* Guards are as old as the fence that they are in, and no older. */
static void a_fence_knows_the_epoch_at_which_there_was_none(void **state)
{
    (void)state;
    expect_ask(lone.link, "HGET " F " born", "5");
    expect_ask(lone.link, "HSET " F " run_id aaaa", ":0");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ takeover c s1 9", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ accept c s1 10", "+OK");
    expect_ask(lone.link, "HGET " F " born", "5");
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, F, "$ accept c s1 11", "+OK");
    expect_ask(lone.link, "HGET " F " born", "11");
}

int main(void)
{
#define FENCED(test) cmocka_unit_test_setup(test, lone_shard_fence)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_the_server_gives),
        FENCED(hello_records_the_peer),
        FENCED(hello_keeps_what_the_peer_has_published),
        FENCED(hello_records_the_last_connection_not_the_largest),
        FENCED(hello_with_an_older_epoch_is_fenced),
        FENCED(hello_compares_epochs_as_numbers),
        FENCED(hello_without_a_fence_is_unfenced),
        FENCED(hello_to_another_process_than_the_fence_names_is_unfenced),
        FENCED(hello_after_a_restart_is_unfenced_though_fence_and_caller_agree),
        FENCED(publish_only_rises),
        FENCED(publish_by_a_removed_peer_is_stale),
        FENCED(publish_without_a_fence_is_unfenced),
        FENCED(the_fence_only_rises),
        FENCED(raise_closes_the_shard_before_it_reads_the_peers),
        FENCED(raise_without_a_fence_is_unfenced),
        FENCED(a_peer_is_removed_only_while_its_connection_is_unchanged),
        FENCED(remove_peer_on_another_process_is_unfenced),
        FENCED(a_first_fence_is_written_only_where_there_is_none),
        FENCED(an_absent_fence_is_not_taken_over),
        FENCED(a_fence_of_another_cluster_or_shard_is_neither_taken_over_nor_accepted),
        FENCED(a_fence_is_written_only_by_who_knows_the_server),
        FENCED(a_takeover_never_lowers_the_epoch),
        FENCED(a_takeover_empties_the_peers_and_keeps_the_guards),
        FENCED(a_second_takeover_keeps_the_peers_of_the_first),
        FENCED(a_closed_fence_that_is_taken_back_keeps_its_peers),
        FENCED(a_peer_that_comes_back_to_a_fence_taken_back_is_not_removed),
        FENCED(a_fence_knows_the_epoch_at_which_there_was_none),
    };
    return cmocka_run_group_tests(tests, lone_shard_start_with_aof, lone_shard_stop);
}
