#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/shard/fence.h"
#include "lib/topology/migration_state.h"
#include "lib/topology/ring.h"
#include "tests/support/ask.h"
#include "tests/support/test_store.h"

#define F       METADATA_FENCE
#define SERVERS 3

static struct test_store test;
static struct redis_server *servers[SERVERS];
static struct topology_shard shards[SERVERS];

static int start(void **state)
{
    (void)state;
    script_init();
    test_store_init(&test);
    for (unsigned i = 0; i < SERVERS; i++) {
        servers[i] = redis_server_start(NULL);
        shards[i] = (struct topology_shard){
            .host = "127.0.0.1", .port = redis_server_port(servers[i]), .weight = 100};
        (void)snprintf(shards[i].name, sizeof(shards[i].name), "s%u", i + 1);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SERVERS; i++) {
        redis_server_stop(servers[i]);
    }
    test_store_fini(&test);
    return 0;
}

static void expect_error(bool done, const struct error *err, const char *words)
{
    if (done || strstr(err->text, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, done ? "(it was done)" : err->text);
    }
}

static void expect_done(bool done, const struct error *err)
{
    if (!done) {
        fail_msg("%s", err->text);
    }
}

static bool init(unsigned count, bool adopt, struct error *err)
{
    struct init_options options = {
        .shards = shards, .nshards = count, .nslots = 64, .adopt = adopt};
    return cluster_init(test.store, &options, err);
}

static void init_well(unsigned count)
{
    struct error err = {{0}};
    expect_done(init(count, false, &err), &err);
}

static void expect_no_topology(void)
{
    bool is_missing = false;
    assert_null(store_read(test.store, &is_missing, NULL));
    assert_true(is_missing);
}

static void expect_fence(unsigned i, bool exists)
{
    struct fence_state fence;
    struct shard_link *link = ask_open(servers[i]);
    assert_true(fence_read(link, &fence, NULL));
    assert_int_equal(fence.exists, exists);
    if (exists) {
        assert_string_equal(fence.shard, shards[i].name);
        assert_true(shard_identity_equal(&fence.identity, shard_link_identity(link)));
    }
    shard_close(link);
}

static void tell(unsigned i, const char *command)
{
    struct shard_link *link = ask_open(servers[i]);
    mem_free(ask(link, command));
    shard_close(link);
}

/* --- init ------------------------------------------------------------------------------------- */

static void init_places_slots_by_the_ring_and_fences_the_shards(void **state)
{
    (void)state;
    uint16_t owner[64];
    init_well(2);
    struct topology *topology = test_store_read(&test);
    ring_place(topology, NULL, owner);
    assert_int_equal(topology->epoch, 1);
    assert_int_equal(topology->nshards, 2);
    assert_memory_equal(topology->owner, owner, sizeof(owner));
    assert_true(topology_slots_owned(topology, 0) > 0 && topology_slots_owned(topology, 1) > 0);
    topology_free(topology);
    expect_fence(0, true);
    expect_fence(1, true);
    expect_fence(2, false);
}

static void init_of_other_shards_over_a_cluster_is_refused(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_error(init(3, false, &err), &err, "already, at epoch 1");
    expect_fence(2, false);
}

static void init_again_completes_the_fences_that_a_crash_left_out(void **state)
{
    (void)state;
    init_well(2);
    tell(1, "DEL " F);
    init_well(2);
    expect_fence(1, true);
    assert_int_equal(test_store_epoch(&test), 1);
    init_well(2);
}

static void connections_from_before_are_killed_before_the_first_fence(void **state)
{
    (void)state;
    struct shard_link *stale = ask_open(servers[0]);
    init_well(2);
    assert_null(shard_commandf(stale, NULL, "PING"));
    shard_close(stale);
}

static void init_again_does_not_take_a_restarted_shard_without_a_fence(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    tell(1, "DEL " F);
    redis_server_restart(servers[1], false);
    expect_error(init(2, false, &err), &err, "sluicectl shard accept s2");
    expect_fence(1, false);
    expect_done(cluster_accept_shard(test.store, "s2", &err), &err);
    expect_fence(1, true);
}

static void init_refuses_keys_unless_adopted(void **state)
{
    (void)state;
    struct error err = {{0}};
    tell(0, "MSET a 1 b 2");
    expect_error(init(1, false, &err), &err, "holds 2 keys: empty it, or take them with --adopt");
    expect_no_topology();
    expect_fence(0, false);
    expect_done(init(1, true, &err), &err);
    expect_fence(0, true);
}

static void init_refuses_keys_that_the_ring_puts_on_another_shard(void **state)
{
    (void)state;
    struct error err = {{0}};
    for (unsigned i = 0; i < 32; i++) {
        char command[32];
        (void)snprintf(command, sizeof(command), "SET key%u 1", i);
        tell(0, command);
    }
    expect_error(init(2, true, &err), &err, "keys that belong on other shards (for example \"key");
    expect_no_topology();
}

static void init_adopts_keys_that_are_where_the_ring_puts_them(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct topology *draft = topology_new("0123456789abcdef0123456789abcdef", 64);
    (void)topology_add_shard(draft, &shards[0]);
    (void)topology_add_shard(draft, &shards[1]);
    ring_place(draft, NULL, draft->owner);
    for (unsigned i = 0; i < 32; i++) {
        char command[32];
        int length = snprintf(command, sizeof(command), "SET key%u 1", i);
        struct slice key = {command + 4, (size_t)length - 6};
        tell(draft->owner[slot_of_key(key, 64)], command);
    }
    topology_free(draft);
    expect_error(init(2, false, &err), &err, "take them with --adopt");
    expect_done(init(2, true, &err), &err);
    expect_fence(1, true);
}

static void init_refuses_a_shard_of_another_cluster(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct shard_link *link = ask_open(servers[1]);
    expect_script(link, SCRIPT_WRITE_FENCE, F, "$ first 00000000000000000000000000000000 x 5",
                  "+OK");
    shard_close(link);
    expect_error(init(2, true, &err), &err,
                 "is shard \"x\" of cluster 00000000000000000000000000000000 already");
    expect_no_topology();
}

static void init_refuses_two_names_of_one_server(void **state)
{
    (void)state;
    struct error err = {{0}};
    shards[1].port = shards[0].port;
    expect_error(init(2, false, &err), &err, "have the same address");
    (void)snprintf(shards[1].host, sizeof(shards[1].host), "localhost");
    expect_error(init(2, false, &err), &err, "are the same Redis process");
    expect_no_topology();
    expect_fence(0, false);
}

static void init_refuses_what_cannot_be_a_shard(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct init_options options = {.shards = shards, .nshards = 1, .nslots = 100};
    expect_error(cluster_init(test.store, &options, &err), &err, "must be a power of two");
    options.nshards = 0;
    expect_error(cluster_init(test.store, &options, &err), &err, "at least one shard");
    redis_server_kill(servers[1]);
    expect_error(init(2, false, &err), &err, "shard \"s2\": cannot connect to 127.0.0.1:");
    tell(0, "REPLICAOF 127.0.0.1 1");
    expect_error(init(1, false, &err), &err, "is a replica");
    expect_no_topology();
}

/* --- shard add, remove ------------------------------------------------------------------------ */

static void an_added_shard_owns_nothing_and_is_fenced(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->nshards, 3);
    assert_int_equal(topology_slots_owned(topology, 2), 0);
    assert_int_equal(topology->epoch, 2);
    topology_free(topology);
    expect_fence(2, true);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    assert_int_equal(test_store_epoch(&test), 2);
}

static void an_addition_that_a_crash_cut_short_is_completed(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    tell(2, "DEL " F);
    redis_server_restart(servers[2], false);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    expect_fence(2, true);
}

static void a_shard_with_keys_is_not_added(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    tell(2, "SET a 1");
    expect_error(cluster_add_shard(test.store, &shards[2], false, &err), &err, "holds 1 keys");
    expect_error(cluster_add_shard(test.store, &shards[2], true, &err), &err,
                 "(for example \"a\") and would be invisible");
    expect_fence(2, false);
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_name_or_server_in_use_is_not_added(void **state)
{
    (void)state;
    struct error err = {{0}};
    struct topology_shard shard = shards[2];
    init_well(2);
    (void)snprintf(shard.name, sizeof(shard.name), "s1");
    expect_error(cluster_add_shard(test.store, &shard, false, &err), &err,
                 "there is a shard \"s1\" already");
    shard = shards[0];
    (void)snprintf(shard.name, sizeof(shard.name), "s9");
    expect_error(cluster_add_shard(test.store, &shard, false, &err), &err, "the same address");
    (void)snprintf(shard.host, sizeof(shard.host), "localhost");
    expect_error(cluster_add_shard(test.store, &shard, false, &err), &err, "is shard \"s1\" of");
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_shard_that_owns_slots_is_not_removed(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_error(cluster_remove_shard(test.store, "s1", true, &err), &err, "slots: run sluicectl");
    expect_error(cluster_remove_shard(test.store, "x", true, &err), &err, "no shard \"x\"");
}

static void a_removed_shard_can_be_added_again(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    expect_done(cluster_remove_shard(test.store, "s3", false, &err), &err);
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->nshards, 2);
    topology_free(topology);
    redis_server_restart(servers[2], false);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    expect_fence(2, true);
}

/* Aborts it and leaves the purge of s3 as a debt. */
static void leave_a_debt(void)
{
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    migration_enter(next, &next->migrations[0], PHASE_ABORTING);
    migration_close(next, &next->migrations[0], 2);
    test_store_write(&test, next);
    topology_free(present);
}

static void a_shard_in_a_migration_or_with_a_debt_is_not_removed_unless_forced(void **state)
{
    (void)state;
    struct error err = {{0}};
    init_well(2);
    expect_done(cluster_add_shard(test.store, &shards[2], false, &err), &err);
    (void)test_store_open_migration(&test, 0, 2); /* to the spare s3 */
    tell(2, "FLUSHALL");
    expect_error(cluster_add_shard(test.store, &shards[2], false, &err), &err,
                 "sluicectl shard accept s3");
    expect_error(cluster_remove_shard(test.store, "s3", true, &err), &err, "is in migration m3");
    leave_a_debt();
    expect_error(cluster_remove_shard(test.store, "s3", false, &err), &err, "--force");
    expect_done(cluster_remove_shard(test.store, "s3", true, &err), &err);
    struct topology *topology = test_store_read(&test);
    assert_int_equal(topology->ndebts, 0);
    assert_int_equal(topology->nshards, 2);
    topology_free(topology);
}

int main(void)
{
#define CLUSTER(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        CLUSTER(init_places_slots_by_the_ring_and_fences_the_shards),
        CLUSTER(init_of_other_shards_over_a_cluster_is_refused),
        CLUSTER(init_again_completes_the_fences_that_a_crash_left_out),
        CLUSTER(connections_from_before_are_killed_before_the_first_fence),
        CLUSTER(init_again_does_not_take_a_restarted_shard_without_a_fence),
        CLUSTER(init_refuses_keys_unless_adopted),
        CLUSTER(init_refuses_keys_that_the_ring_puts_on_another_shard),
        CLUSTER(init_adopts_keys_that_are_where_the_ring_puts_them),
        CLUSTER(init_refuses_a_shard_of_another_cluster),
        CLUSTER(init_refuses_two_names_of_one_server),
        CLUSTER(init_refuses_what_cannot_be_a_shard),
        CLUSTER(an_added_shard_owns_nothing_and_is_fenced),
        CLUSTER(an_addition_that_a_crash_cut_short_is_completed),
        CLUSTER(a_shard_with_keys_is_not_added),
        CLUSTER(a_name_or_server_in_use_is_not_added),
        CLUSTER(a_shard_that_owns_slots_is_not_removed),
        CLUSTER(a_removed_shard_can_be_added_again),
        CLUSTER(a_shard_in_a_migration_or_with_a_debt_is_not_removed_unless_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
