/* A shard with a fixed address that an operator moves to another server: its replica, mostly. With
 * real redis-servers; each step may be the last of a process that dies. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/failover.h"
#include "lib/cluster/former.h"
#include "lib/cluster/readdress.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "tests/support/ask.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/trio.h"
#include "tests/support/wait.h"

#define F       METADATA_FENCE
#define LONG_MS 60000

static struct test_store test;
static struct trio trio;

static int start(void **state)
{
    (void)state;
    script_init();
    test_store_init(&test);
    trio_start(&trio);
    trio_found(&trio, &test);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    trio_stop(&trio);
    test_store_fini(&test);
    process_stop_all();
    return 0;
}

static struct failover_view fail_over(unsigned to, bool accept_loss)
{
    struct error err = {{0}};
    struct failover_view view;
    struct topology_shard place = trio_place(&trio, to);
    if (!failover_run(test.store, "s1", &place, accept_loss, &view, &err)) {
        fail_msg("%s", err.text);
    }
    return view;
}

static void expect_refusal(unsigned to, bool accept_loss, const char *words)
{
    struct error err = {{0}};
    struct failover_view view;
    struct topology_shard place = trio_place(&trio, to);
    uint64_t before = test_store_epoch(&test);
    if (failover_run(test.store, "s1", &place, accept_loss, &view, &err)) {
        fail_msg("done, not refused: %s", words);
    }
    if (strstr(err.text, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, err.text);
    }
    assert_int_equal(test_store_epoch(&test), before);
}

static void expect_named(unsigned i)
{
    trio_expect_named(&trio, &test, i);
}

static unsigned count_formers(void)
{
    struct topology *topology = test_store_read(&test);
    unsigned count = topology->nformers;
    topology_free(topology);
    return count;
}

/* What the migrator does with the first of them. */
static bool close_first_former(void)
{
    struct error err;
    struct topology *topology = test_store_read(&test);
    assert_true(topology->nformers > 0);
    bool is_closed = former_close(test.store, &topology->formers[0], &err) &&
                     former_forget(test.store, &topology->formers[0], &err);
    topology_free(topology);
    return is_closed;
}

/* On a slow machine the failover itself may not have come to it. */
static void close_all_formers(void)
{
    while (count_formers() > 0) {
        WAIT_UNTIL(close_first_former(), LONG_MS);
    }
}

static void suspend(unsigned i)
{
    process_signal(redis_server_process(trio.servers[i]), SIGSTOP);
}

static void awake(unsigned i)
{
    process_signal(redis_server_process(trio.servers[i]), SIGCONT);
}

static void cut_off(unsigned i)
{
    trio_tell(&trio, i, "REPLICAOF 127.0.0.1 1");
}

/* --- a replica ------------------------------------------------------------------------------- */

/* A proxy that knows nothing was let in before, and stays in. */
static void a_live_primary_is_closed_and_nothing_is_lost(void **state)
{
    (void)state;
    struct shard_link *stale = trio_open(&trio, 0);
    expect_script(stale, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    expect_ask(stale, "SET early 1", "+OK");
    struct failover_view view = fail_over(1, false);
    assert_int_equal(view.role, FAILOVER_TO_REPLICA);
    assert_int_equal(view.former, FORMER_ANSWERS);
    assert_true(view.is_proven && view.has_all);
    expect_named(1);
    assert_true(trio_has_key(&trio, 1, "early"));
    close_all_formers();

    assert_null(shard_commandf(stale, NULL, "SET late 1"));
    shard_close(stale);
    assert_false(trio_has_key(&trio, 0, "late"));
    trio_expect_closed(&trio, 0);
}

static void a_dead_primary_is_replaced_by_what_its_replica_has(void **state)
{
    (void)state;
    redis_server_kill(trio.servers[0]);
    struct failover_view view = fail_over(1, false);
    assert_int_equal(view.former, FORMER_SILENT);
    assert_true(view.is_proven);
    assert_false(view.has_all);
    expect_named(1);
    assert_int_equal(count_formers(), 1);
    /* As another process it is refused without being closed. */
    redis_server_restart(trio.servers[0], false);
    assert_true(close_first_former());
    assert_int_equal(count_formers(), 0);
    expect_named(1);
}

static void *follow_again(void *context)
{
    (void)context;
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", trio_port(&trio, 0));
    trio_tell(&trio, 1, words);
    return NULL;
}

/* The replica has been cut off, and comes back while the writes are held. */
static void writes_are_held_until_the_replica_has_everything(void **state)
{
    (void)state;
    pthread_t thread;
    cut_off(1);
    trio_tell(&trio, 0, "SET behind 1");
    assert_false(trio_has_key(&trio, 1, "behind"));
    assert_int_equal(pthread_create(&thread, NULL, follow_again, NULL), 0);
    struct failover_view view = fail_over(1, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(view.has_all);
    assert_true(trio_has_key(&trio, 1, "behind"));
    expect_named(1);
}

static void a_replica_that_is_behind_a_live_primary_is_refused(void **state)
{
    (void)state;
    cut_off(1);
    trio_tell(&trio, 0, "SET behind 1");
    expect_refusal(1, false, "has not: wait");
    trio_tell(&trio, 0, "SET writable 1"); /* and held no longer */
    expect_named(0);
    struct failover_view view = fail_over(1, true);
    assert_true(view.missing > 0);
    assert_false(view.has_all);
    expect_named(1);
}

/* Promoted by hand, or by one of us that died then; the primary went on. */
static void a_replica_that_was_promoted_before_is_taken_if_it_lacks_nothing(void **state)
{
    (void)state;
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    trio_tell(&trio, 0, "SET behind 1");
    expect_refusal(1, false, "has not: wait");
    trio_follow(&trio, 1, 0);
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    struct failover_view view = fail_over(1, false);
    assert_int_equal(view.role, FAILOVER_TO_PRIMARY);
    assert_true(view.has_all);
    expect_named(1);
}

static void a_shard_goes_back_to_the_server_where_it_was(void **state)
{
    (void)state;
    (void)fail_over(1, false);
    trio_follow(&trio, 0, 1);
    struct failover_view view = fail_over(0, false);
    assert_true(view.has_all);
    expect_named(0);
    trio_follow(&trio, 1, 0);
    (void)fail_over(1, false);
    expect_named(1);
    close_all_formers();
}

/* --- what is no replica ---------------------------------------------------------------------- */

static void what_is_not_proven_needs_an_operator_who_says_so(void **state)
{
    (void)state;
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    trio_tell(&trio, 1, "DEBUG CHANGE-REPL-ID"); /* as after a second failover */
    expect_refusal(1, false, "nor was it when promoted");
    expect_refusal(2, false, "has no fence of this shard");
    expect_named(0);
    assert_false(fail_over(1, true).is_proven);
    expect_named(1);
    assert_false(fail_over(2, true).is_fenced);
    expect_named(2);
}

static void another_shards_server_is_never_taken(void **state)
{
    (void)state;
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    struct shard_link *link = trio_open(&trio, 1);
    expect_ask(link, "HSET " F " shard s2", ":0");
    shard_close(link);
    expect_refusal(1, true, "has the fence of shard \"s2\"");
    expect_named(0);
}

/* --- dying ----------------------------------------------------------------------------------- */

#ifdef SLUICE_FAIL_POINTS
/* The first three tries end one step later each. */
static void what_died_at_any_step_is_finished_by_the_same_command(void **state)
{
    (void)state;
    expect_refusal(1, false, "fail point failover.held");
    trio_tell(&trio, 0, "SET writable 1");
    expect_refusal(1, false, "fail point failover.promoted");
    trio_tell(&trio, 0, "CLIENT UNPAUSE"); /* or ten seconds later */
    expect_named(0);
    /* Ends at takeover.named, the first time. */
    struct failover_view view = fail_over(1, false);
    assert_int_equal(view.role, FAILOVER_TO_PRIMARY);
    assert_true(trio_has_key(&trio, 1, "writable"));
    expect_named(1);
    uint64_t epoch = test_store_epoch(&test);
    assert_int_equal(fail_over(1, false).role, FAILOVER_DONE);
    assert_int_equal(test_store_epoch(&test), epoch);
}
#endif

/* --- the former primary ---------------------------------------------------------------------- */

/* It hangs, and so does a proxy that was let in. */
static void a_former_primary_is_closed_when_it_answers_again(void **state)
{
    (void)state;
    struct shard_link *stale = trio_open(&trio, 0);
    expect_script(stale, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    suspend(0);
    (void)fail_over(1, false);
    expect_named(1);
    assert_int_equal(count_formers(), 1);
    assert_false(close_first_former());
    assert_int_equal(count_formers(), 1);
    awake(0);
    assert_true(close_first_former());
    assert_int_equal(count_formers(), 0);
    assert_null(shard_commandf(stale, NULL, "SET late 1"));
    shard_close(stale);
}

/* Whoever was to close it comes late. */
static void a_former_primary_that_is_the_shards_again_is_not_closed(void **state)
{
    (void)state;
    struct error err = {{0}};
    suspend(0);
    (void)fail_over(1, false);
    struct topology *then = test_store_read(&test);
    awake(0);
    (void)fail_over(0, true);
    expect_named(0);
    assert_true(former_close(test.store, &then->formers[0], &err));
    expect_named(0);
    struct shard_link *link = trio_open(&trio, 0);
    expect_script(link, SCRIPT_HELLO, F, "$ 9 p:1 7", "+OK");
    shard_close(link);
    topology_free(then);
}

/* Between the look at its fence and the closing it was taken back: the fence has a later epoch. */
static void a_fence_that_was_written_since_is_not_closed(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct shard_link *link = trio_open(&trio, 0);
    assert_int_equal(fence_close(link, 7, 9, &err), FENCE_STALE);
    expect_script(link, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    assert_int_equal(fence_close(link, 1, 9, &err), FENCE_OK);
    expect_script(link, SCRIPT_HELLO, F, "$ 9 p:1 7",
                  "-UNFENCED the fence names another process, closed");
    shard_close(link);
}

/* A taker-over that named the process before the failover, and slept until now. */
static void a_closed_fence_is_not_opened_to_older_epochs_again(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct topology *then = test_store_read(&test);
    (void)fail_over(1, false);
    close_all_formers();
    struct shard_link *link = trio_open(&trio, 0);
    assert_int_equal(fence_write(link, FENCE_WRITE_TAKEOVER, then->cluster, "s1", 1, &err),
                     FENCE_OK);
    expect_script(link, SCRIPT_HELLO, F, "$ 1 p:1 7", "-FENCED 2");
    shard_close(link);
    topology_free(then);
}

/* --- another address ------------------------------------------------------------------------- */

static bool readdress(const char *host, uint16_t port, bool *is_changed, struct error *err)
{
    struct topology_shard place = {.name = "s1", .port = port};
    (void)snprintf(place.host, sizeof(place.host), "%s", host);
    return cluster_readdress(test.store, &place, is_changed, err);
}

static void the_same_process_may_have_another_address(void **state)
{
    (void)state;
    struct error err = {{0}};
    bool is_changed = false;
    uint64_t epoch = test_store_epoch(&test);
    assert_true(readdress("localhost", trio_port(&trio, 0), &is_changed, &err));
    assert_true(is_changed);
    assert_int_equal(test_store_epoch(&test), epoch + 1);
    assert_true(readdress("localhost", trio_port(&trio, 0), &is_changed, &err));
    assert_false(is_changed);
    assert_int_equal(test_store_epoch(&test), epoch + 1);
    expect_named(0);
    assert_int_equal(count_formers(), 0);
}

static void another_process_is_no_other_address(void **state)
{
    (void)state;
    struct error err = {{0}};
    bool is_changed = false;
    assert_false(readdress("127.0.0.1", trio_port(&trio, 1), &is_changed, &err));
    assert_non_null(strstr(err.text, "is a replica"));
    assert_false(readdress("127.0.0.1", trio_port(&trio, 2), &is_changed, &err));
    assert_non_null(strstr(err.text, "is not the process of shard"));
    expect_named(0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
#ifdef SLUICE_FAIL_POINTS
        CASE(what_died_at_any_step_is_finished_by_the_same_command), /* first: the points count */
#endif
        CASE(a_live_primary_is_closed_and_nothing_is_lost),
        CASE(a_dead_primary_is_replaced_by_what_its_replica_has),
        CASE(writes_are_held_until_the_replica_has_everything),
        CASE(a_replica_that_is_behind_a_live_primary_is_refused),
        CASE(a_replica_that_was_promoted_before_is_taken_if_it_lacks_nothing),
        CASE(a_shard_goes_back_to_the_server_where_it_was),
        CASE(what_is_not_proven_needs_an_operator_who_says_so),
        CASE(another_shards_server_is_never_taken),
        CASE(a_former_primary_is_closed_when_it_answers_again),
        CASE(a_former_primary_that_is_the_shards_again_is_not_closed),
        CASE(a_fence_that_was_written_since_is_not_closed),
        CASE(a_closed_fence_is_not_opened_to_older_epochs_again),
        CASE(the_same_process_may_have_another_address),
        CASE(another_process_is_no_other_address),
    };
    (void)setenv("SLUICE_FAIL",
                 "failover.held=error@1,failover.promoted=error@1,"
                 "takeover.named=error@1",
                 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
