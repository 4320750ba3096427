/* A shard that Sentinels watch, taken over from one process to another. The failover itself is done
 * by hand here, so that each step can be looked at; tests/migration/sentinel_test.c has real ones.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/cluster/sentinel.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "tests/support/ask.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"
#include "tests/support/sentinels.h"
#include "tests/support/test_store.h"
#include "tests/support/trio.h"
#include "tests/support/wait.h"

#define F       METADATA_FENCE
#define LONG_MS 60000

static struct test_store test;
static struct sentinel_group *sentinels;
static struct trio trio; /* the primary, its replica, and one that is neither */

static void name_primary(unsigned i)
{
    for (unsigned member = 0; member < SENTINELS_GROUP_MAX; member++) {
        sentinel_group_mislead(sentinels, member, "s1", trio_port(&trio, i));
    }
}

static int start(void **state)
{
    (void)state;
    struct topology_shard shard = {.name = "s1", .weight = 100};
    char place[128];
    script_init();
    test_store_init(&test);
    sentinels = sentinel_group_start(SENTINELS_GROUP_MAX);
    trio_start(&trio);
    sentinel_group_monitor(sentinels, "s1", trio_port(&trio, 0));
    sentinel_group_place(sentinels, "s1", place, sizeof(place));
    (void)snprintf(shard.sentinels, sizeof(shard.sentinels), "%s", place + strlen(SENTINEL_SCHEME));
    test_store_found(&test, &shard, 1);
    WAIT_UNTIL(trio_has_key(&trio, 1, F), LONG_MS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    sentinel_group_stop(sentinels);
    trio_stop(&trio);
    test_store_fini(&test);
    process_stop_all();
    return 0;
}

static void expect_takeover(bool accepts, enum takeover_result expected, const char *words)
{
    struct error err = {{0}};
    enum takeover_result result = cluster_takeover(test.store, "s1", accepts, &err);
    if (result != expected || strstr(err.text, words) == NULL) {
        fail_msg("got %d, not %d \"%s\": %s", (int)result, (int)expected, words, err.text);
    }
}

static void expect_named(unsigned i)
{
    trio_expect_named(&trio, &test, i);
}

/* --- what Sentinels say ---------------------------------------------------------------------- */

static void a_list_of_sentinels_is_a_name_and_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       "m",         "m@",         "@h:1",     "m@h",
                                        "m@h:1,", "m@h:1,h:1", "m@h:1,,g:1", "m@h:1@g:1"};
    struct error err = {{0}};
    struct sentinels *good = sentinels_new("m@h:1,[::1]:1,h:2", &err);
    assert_non_null(good);
    sentinels_free(good);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sentinels *bad = sentinels_new(wrong[i], &err);
        if (bad != NULL) {
            fail_msg("\"%s\" was taken", wrong[i]);
        }
    }
}

static void init_finds_the_primary_by_its_sentinels(void **state)
{
    (void)state;
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->shards[0].port, trio_port(&trio, 0));
    assert_string_equal(topology->shards[0].host, "127.0.0.1");
    topology_free(topology);
    expect_named(0);
    expect_takeover(false, TAKEOVER_DONE, "");
    assert_int_equal(test_store_epoch(&test), 1);
}

static void one_sentinel_of_three_is_not_believed(void **state)
{
    (void)state;
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    sentinel_group_mislead(sentinels, 0, "s1", trio_port(&trio, 1));
    expect_takeover(false, TAKEOVER_DONE, ""); /* the other two name what is in order */
    assert_int_equal(test_store_epoch(&test), 1);
    process_signal(sentinel_group_member(sentinels, 1), SIGSTOP);
    expect_takeover(true, TAKEOVER_FAILED, "no majority of the 3 Sentinels");
    assert_int_equal(test_store_epoch(&test), 1);
    process_signal(sentinel_group_member(sentinels, 1), SIGCONT);
}

/* Even a restart at the old address: perhaps another was promoted meanwhile. */
static void without_sentinels_nothing_is_taken_over(void **state)
{
    (void)state;
    redis_server_restart(trio.servers[0], false);
    for (unsigned i = 0; i < 2; i++) {
        process_kill(sentinel_group_member(sentinels, i));
    }
    expect_takeover(false, TAKEOVER_FAILED, "no majority of the 3 Sentinels");
    assert_int_equal(test_store_epoch(&test), 1);
}

/* --- who is taken over ----------------------------------------------------------------------- */

/* It lives, and does not know yet. A proxy that does not know either was let in before. */
static void the_former_primary_is_closed_before_the_new_one_is_opened(void **state)
{
    (void)state;
    struct topology *older = test_store_read(&test);
    struct shard_link *stale = trio_open(&trio, 0);
    expect_script(stale, SCRIPT_HELLO, F, "$ 1 p:1 7", "+OK");
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    name_primary(1);
    expect_takeover(false, TAKEOVER_DONE, "");
    assert_null(shard_commandf(stale, NULL, "SET late 1"));
    shard_close(stale);
    assert_false(trio_has_key(&trio, 0, "late"));
    trio_expect_closed(&trio, 0);
    topology_free(older);
}

/* What a proxy says that has the new topology, and one that has the old. */
static void a_former_primary_that_comes_back_is_refused(void **state)
{
    (void)state;
    char words[160];
    struct topology *older = test_store_read(&test);
    redis_server_kill(trio.servers[0]);
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    name_primary(1);
    expect_takeover(false, TAKEOVER_DONE, "");
    redis_server_restart(trio.servers[0], false);
    struct topology *newer = test_store_read(&test);
    struct shard_link *link = trio_open(&trio, 0);
    const struct topology *known[] = {newer, older};
    const char *const answers[] = {"-UNFENCED the fence names another process",
                                   "-UNFENCED this server is another process"};
    for (unsigned i = 0; i < 2; i++) {
        const struct shard_identity *identity = &known[i]->shards[0].identity;
        (void)snprintf(words, sizeof(words), "%s %s 9 p:1 7", identity->run_id, identity->replid);
        char *answer = ask_script(link, SCRIPT_HELLO, F, words);
        if (strncmp(answer, answers[i], strlen(answers[i])) != 0) {
            fail_msg("\"%s\", not \"%s\"", answer, answers[i]);
        }
        mem_free(answer);
    }
    shard_close(link);
    expect_takeover(false, TAKEOVER_DONE, "");
    expect_named(1);
    topology_free(older);
    topology_free(newer);
}

/* It has the fence of the shard, and yet not what was written since it was the primary. */
static void a_former_primary_put_back_without_a_copy_waits_for_an_operator(void **state)
{
    (void)state;
    redis_server_kill(trio.servers[0]);
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    name_primary(1);
    expect_takeover(false, TAKEOVER_DONE, "");
    redis_server_restart(trio.servers[0], false);
    name_primary(0);
    expect_takeover(false, TAKEOVER_NOT_ALLOWED, "run sluicectl shard accept s1");
    expect_named(1);
    expect_takeover(true, TAKEOVER_DONE, "");
    expect_named(0);
}

static void neither_a_replica_nor_a_server_without_the_fence_is_taken_over(void **state)
{
    (void)state;
    name_primary(1);
    expect_takeover(true, TAKEOVER_FAILED, "is a replica");
    name_primary(2);
    expect_takeover(false, TAKEOVER_NOT_ALLOWED, "came back empty or is another server");
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_promoted_replica_is_taken_over_and_the_next_one_too(void **state)
{
    (void)state;
    redis_server_kill(trio.servers[0]);
    trio_tell(&trio, 1, "REPLICAOF NO ONE");
    name_primary(1);
    expect_takeover(false, TAKEOVER_DONE, "");
    expect_named(1);
    expect_takeover(false, TAKEOVER_DONE, "");
    assert_int_equal(test_store_epoch(&test), 2);
    trio_follow(&trio, 2, 1);
    WAIT_UNTIL(trio_has_key(&trio, 2, F), LONG_MS);
    redis_server_kill(trio.servers[1]);
    trio_tell(&trio, 2, "REPLICAOF NO ONE");
    name_primary(2);
    expect_takeover(false, TAKEOVER_DONE, "");
    expect_named(2);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_sentinels_is_a_name_and_addresses),
        CASE(init_finds_the_primary_by_its_sentinels),
        CASE(one_sentinel_of_three_is_not_believed),
        CASE(without_sentinels_nothing_is_taken_over),
        CASE(the_former_primary_is_closed_before_the_new_one_is_opened),
        CASE(a_former_primary_that_comes_back_is_refused),
        CASE(a_former_primary_put_back_without_a_copy_waits_for_an_operator),
        CASE(neither_a_replica_nor_a_server_without_the_fence_is_taken_over),
        CASE(a_promoted_replica_is_taken_over_and_the_next_one_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
