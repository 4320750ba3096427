#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "lib/topology/migration_state.h"
#include "tests/support/ask.h"
#include "tests/support/test_store.h"
#include "tests/support/wait.h"

#define F       METADATA_FENCE
#define LONG_MS 60000

static struct test_store test;
static struct redis_server *servers[2];

static int start(bool has_aof, bool serve_empty)
{
    script_init();
    test_store_init(&test);
    servers[0] = has_aof ? redis_server_start(NULL) : redis_server_start_in_memory();
    servers[1] = has_aof ? redis_server_start(NULL) : redis_server_start_in_memory();
    test_store_found_on(&test, servers, 2, serve_empty);
    return 0;
}

static int start_with_aof(void **state)
{
    (void)state;
    return start(true, false);
}

static int start_without_aof(void **state)
{
    (void)state;
    return start(false, false);
}

static int start_cache(void **state)
{
    (void)state;
    return start(false, true);
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(servers[0]);
    redis_server_stop(servers[1]);
    test_store_fini(&test);
    return 0;
}

/* Topology and fence name the process that is there, at the topology's epoch. */
static void expect_in_order(unsigned shard)
{
    struct fence_state fence;
    struct topology *topology = test_store_read(&test);
    struct shard_link *link = ask_open(servers[shard]);
    assert_true(fence_read(link, &fence, NULL));
    assert_true(fence.exists);
    assert_string_equal(fence.cluster, topology->cluster);
    assert_string_equal(fence.shard, topology->shards[shard].name);
    assert_true(shard_identity_equal(&fence.identity, shard_link_identity(link)));
    assert_true(shard_identity_equal(&topology->shards[shard].identity, shard_link_identity(link)));
    assert_true(fence.epoch <= topology->epoch);
    shard_close(link);
    topology_free(topology);
}

static void expect_takeover(const char *name, bool accepts, enum takeover_result expected)
{
    struct error err = {{0}};
    enum takeover_result result = cluster_takeover(test.store, name, accepts, &err);
    if (result != expected) {
        fail_msg("got %d, not %d: %s", (int)result, (int)expected, err.text);
    }
}

static void expect_refusal(bool accepts, const char *words)
{
    struct error err = {{0}};
    assert_int_equal(cluster_takeover(test.store, "s1", accepts, &err), TAKEOVER_NOT_ALLOWED);
    if (strstr(err.text, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, err.text);
    }
}

static void tell(unsigned shard, const char *command)
{
    struct shard_link *link = ask_open(servers[shard]);
    mem_free(ask(link, command));
    shard_close(link);
}

static void expect_new_base_since(uint64_t base)
{
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->nmigrations, 1);
    assert_true(topology->migrations[0].base > base);
    assert_int_equal(topology->migrations[0].generation, topology->migrations[0].base);
    topology_free(topology);
}

/* --- cases ----------------------------------------------------------------------------------- */

static void nothing_is_done_where_all_is_in_order(void **state)
{
    (void)state;
    expect_takeover("s1", false, TAKEOVER_DONE);
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_restart_with_its_aof_is_taken_over(void **state)
{
    (void)state;
    uint64_t base = test_store_open_migration(&test, 0, 1);
    tell(0, "HSET " F " guard:9 9:2 peer:p:1 7:1");
    redis_server_restart(servers[0], false);
    expect_takeover("s1", false, TAKEOVER_DONE);
    expect_in_order(0);
    expect_new_base_since(base);
    struct shard_link *link = ask_open(servers[0]);
    expect_ask(link, "HMGET " F " guard:9 peer:p:1", "[9:2, (nil)]");
    shard_close(link);
    expect_takeover("s1", false, TAKEOVER_DONE);
    assert_int_equal(test_store_epoch(&test), 4);
}

static void a_shard_that_came_back_empty_waits_for_an_operator(void **state)
{
    (void)state;
    redis_server_restart(servers[0], false);
    expect_refusal(false, "shard s1 came back empty or is another server: look at it, then run "
                          "sluicectl shard accept s1");
    assert_int_equal(test_store_epoch(&test), 1);
    struct shard_link *link = ask_open(servers[0]);
    expect_ask(link, "EXISTS " F, ":0");
    shard_close(link);
    expect_takeover("s1", true, TAKEOVER_DONE);
    expect_in_order(0);
}

static void a_cache_that_came_back_empty_is_served(void **state)
{
    (void)state;
    redis_server_restart(servers[0], false);
    expect_takeover("s1", false, TAKEOVER_DONE);
    expect_in_order(0);
}

/* What took the fence took the metadata: a new base, though the process is the same. */
// field lesson: an epoch raised by a failover in the middle
static void a_lost_fence_begins_a_new_base_though_the_process_is_the_same(void **state)
{
    (void)state;
    uint64_t base = test_store_open_migration(&test, 0, 1);
    tell(0, "FLUSHALL");
    expect_takeover("s1", false, TAKEOVER_DONE);
    expect_in_order(0);
    expect_new_base_since(base);
}

static void a_flushed_shard_waits_for_an_operator(void **state)
{
    (void)state;
    uint64_t base = test_store_open_migration(&test, 0, 1);
    tell(0, "FLUSHALL");
    expect_refusal(false, "sluicectl shard accept s1");
    expect_takeover("s1", true, TAKEOVER_DONE);
    expect_new_base_since(base);
}

static void a_server_of_another_shard_is_refused_even_when_accepted(void **state)
{
    (void)state;
    tell(0, "HSET " F " shard s2");
    expect_refusal(false, "is of shard \"s2\"");
    expect_refusal(true, "is of shard \"s2\"");
    tell(0, "HSET " F " shard s1 cluster 00000000000000000000000000000000");
    expect_refusal(true, "of cluster 00000000000000000000000000000000");
    assert_int_equal(test_store_epoch(&test), 1);
}

/* A crash between the compare-and-swap and the fence. */
static void what_a_crash_left_after_the_naming_is_completed(void **state)
{
    (void)state;
    redis_server_restart(servers[0], false);
    struct shard_link *link = ask_open(servers[0]);
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    topology_replace_process(next, 0, shard_link_identity(link));
    test_store_write(&test, next);
    topology_free(present);
    shard_close(link);
    expect_takeover("s1", false, TAKEOVER_DONE);
    expect_in_order(0);
}

/* Topology moved to another process and back: the fence of the first still names it. */
static void a_fence_that_names_the_process_already_is_raised(void **state)
{
    (void)state;
    struct shard_identity other = {"1111111111111111111111111111111111111111",
                                   "2222222222222222222222222222222222222222"};
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    topology_replace_process(next, 0, &other);
    test_store_write(&test, next);
    topology_free(present);
    expect_takeover("s1", false, TAKEOVER_DONE);
    expect_in_order(0);
    struct shard_link *link = ask_open(servers[0]);
    expect_script(link, SCRIPT_HELLO, F, "$ 2 p:1 7", "-FENCED 3");
    expect_script(link, SCRIPT_HELLO, F, "$ 3 p:1 7", "+OK");
    shard_close(link);
}

static void connections_from_before_are_killed(void **state)
{
    (void)state;
    struct shard_link *plain = ask_open(servers[0]);
    struct shard_link *subscriber = ask_open(servers[0]);
    mem_free(ask(subscriber, "SUBSCRIBE news"));
    /* The fence names another process by now, as after REPLICAOF there and back. */
    expect_ask(plain, "DEBUG CHANGE-REPL-ID", "+OK");
    expect_takeover("s1", false, TAKEOVER_DONE);
    assert_null(shard_commandf(plain, NULL, "PING"));
    assert_null(shard_commandf(subscriber, NULL, "PING"));
    shard_close(plain);
    shard_close(subscriber);
    expect_in_order(0);
}

static void a_store_older_than_the_fence_is_not_acted_on(void **state)
{
    (void)state;
    struct error err = {{0}};
    tell(0, "HSET " F " epoch 50 run_id 1111111111111111111111111111111111111111");
    assert_int_equal(cluster_takeover(test.store, "s1", false, &err), TAKEOVER_FAILED);
    assert_non_null(strstr(err.text, "sluicectl store repair"));
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_dead_shard_or_a_replica_is_not_taken_over(void **state)
{
    (void)state;
    struct error err = {{0}};
    assert_int_equal(cluster_takeover(test.store, "nobody", false, &err), TAKEOVER_FAILED);
    assert_non_null(strstr(err.text, "there is no shard \"nobody\""));
    tell(0, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(cluster_takeover(test.store, "s1", true, &err), TAKEOVER_FAILED);
    assert_non_null(strstr(err.text, "is a replica"));
    redis_server_kill(servers[0]);
    assert_int_equal(cluster_takeover(test.store, "s1", true, &err), TAKEOVER_FAILED);
    assert_non_null(strstr(err.text, "cannot connect to 127.0.0.1:"));
    assert_int_equal(test_store_epoch(&test), 1);
}

/* Again and again, as a proxy does it: one attempt gives up when others are in its way for long. */
static void *take_over_alone(void *context)
{
    enum takeover_result *result = context;
    struct error err = {{0}};
    struct store *store = store_open(test.url, &err);
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    do {
        *result = cluster_takeover(store, "s1", false, &err);
    } while (*result == TAKEOVER_FAILED && !deadline_is_over(deadline_us));
    if (*result != TAKEOVER_DONE) {
        print_error("%s\n", err.text);
    }
    store_close(store);
    return NULL;
}

static void many_at_once_are_harmless(void **state)
{
    (void)state;

    enum {
        TAKERS = 8,
        ROUNDS = 5
    };

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t threads[TAKERS];
        enum takeover_result results[TAKERS];
        redis_server_restart(servers[0], false);
        for (unsigned i = 0; i < TAKERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, take_over_alone, &results[i]), 0);
        }
        for (unsigned i = 0; i < TAKERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(results[i], TAKEOVER_DONE);
        }
        expect_in_order(0);
    }
}

/* A failover holds the primary's writes only so long. */
static void nobody_is_named_once_held_writes_may_go_on(void **state)
{
    (void)state;
    struct error err;
    struct topology *before = test_store_read(&test);
    struct topology_shard to = before->shards[0];
    redis_server_restart(servers[0], false);
    assert_int_equal(cluster_takeover_at(test.store, "s1", &to, clock_now_us(), false, &err),
                     TAKEOVER_FAILED);
    assert_non_null(strstr(err.text, "run it again"));
    struct topology *after = test_store_read(&test);
    assert_int_equal(after->epoch, before->epoch);
    topology_free(before);
    topology_free(after);
    assert_int_equal(
        cluster_takeover_at(test.store, "s1", &to, clock_now_us() + 60000000, false, &err),
        TAKEOVER_DONE);
    expect_in_order(0);
}

int main(void)
{
#define WITH_AOF(test)    cmocka_unit_test_setup_teardown(test, start_with_aof, stop)
#define WITHOUT_AOF(test) cmocka_unit_test_setup_teardown(test, start_without_aof, stop)
#define CACHE(test)       cmocka_unit_test_setup_teardown(test, start_cache, stop)
    const struct CMUnitTest tests[] = {
        WITH_AOF(nobody_is_named_once_held_writes_may_go_on),
        WITHOUT_AOF(nothing_is_done_where_all_is_in_order),
        WITH_AOF(a_restart_with_its_aof_is_taken_over),
        WITHOUT_AOF(a_shard_that_came_back_empty_waits_for_an_operator),
        CACHE(a_cache_that_came_back_empty_is_served),
        CACHE(a_lost_fence_begins_a_new_base_though_the_process_is_the_same),
        WITHOUT_AOF(a_flushed_shard_waits_for_an_operator),
        WITHOUT_AOF(a_server_of_another_shard_is_refused_even_when_accepted),
        WITH_AOF(what_a_crash_left_after_the_naming_is_completed),
        WITHOUT_AOF(a_fence_that_names_the_process_already_is_raised),
        WITHOUT_AOF(connections_from_before_are_killed),
        WITHOUT_AOF(a_store_older_than_the_fence_is_not_acted_on),
        WITHOUT_AOF(a_dead_shard_or_a_replica_is_not_taken_over),
        WITH_AOF(many_at_once_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
