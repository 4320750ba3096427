/* What repair makes of the migrations that a backup knows, by what the shards remember of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/repair.h"
#include "lib/shard/fence.h"
#include "lib/shard/script.h"
#include "lib/topology/migration_state.h"
#include "tests/support/ask.h"
#include "tests/support/test_store.h"

static struct test_store test;
static struct redis_server *servers[2];

static int start(void **state)
{
    (void)state;
    script_init();
    test_store_init(&test);
    servers[0] = redis_server_start_in_memory();
    servers[1] = redis_server_start_in_memory();
    test_store_found_on(&test, servers, 2, false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_stop(servers[0]);
    redis_server_stop(servers[1]);
    test_store_fini(&test);
    return 0;
}

/* One slot from s1 to s2. Its id. */
static uint64_t plan_migration(void)
{
    struct error err;
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    struct slot_set slots;
    struct migration_options options = {.hold_max_ms = 500};
    unsigned slot = 0;
    slot_set_init(&slots, next->nslots);
    while (next->owner[slot] != 0) {
        slot++;
    }
    slot_set_add(&slots, slot);
    struct migration *migration = migration_open(next, 0, 1, &slots, &options, &err);
    assert_non_null(migration);
    uint64_t id = migration->id;
    slot_set_fini(&slots);
    topology_free(present);
    test_store_write(&test, next);
    return id;
}

/* Its new generation. */
static uint64_t begin_migration(uint64_t id)
{
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    migration_enter(next, topology_find_migration(next, id), PHASE_DUAL_WRITE);
    uint64_t generation = next->epoch;
    topology_free(present);
    test_store_write(&test, next);
    return generation;
}

/* Of that generation a guard was closed on s2, and forgotten. */
static void forget_guards(uint64_t generation)
{
    char command[96];
    struct shard_link *link = ask_open(servers[1]);
    (void)snprintf(command, sizeof(command), "HSET " METADATA_FENCE " pruned %llu",
                   (unsigned long long)generation);
    mem_free(ask(link, command));
    shard_close(link);
}

static bool repair(struct error *err)
{
    const struct repair_places nobody = {NULL, 0};
    struct repair done;
    *err = (struct error){{0}};
    return cluster_repair(test.store, &nobody, &done, err);
}

/* It has no guard anywhere yet, so none of it can have been forgotten: that was another one's. */
static void a_planned_migration_is_not_taken_for_one_that_has_ended(void **state)
{
    struct error err;
    (void)state;
    forget_guards(plan_migration());
    if (!repair(&err)) {
        fail_msg("%s", err.text);
    }
}

static void one_that_had_begun_and_has_no_guard_has_ended(void **state)
{
    struct error err;
    (void)state;
    forget_guards(begin_migration(plan_migration()));
    assert_false(repair(&err));
    assert_non_null(strstr(err.text, "here a migration has ended"));
}

/* Whatever became of it has a generation of its own, later than the backup. */
static void a_planned_one_that_was_carried_out_since_the_backup_is_noticed(void **state)
{
    struct error err;
    (void)state;
    forget_guards(plan_migration() + 1);
    assert_false(repair(&err));
    assert_non_null(strstr(err.text, "it was part of a migration"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_planned_migration_is_not_taken_for_one_that_has_ended),
        TEST(one_that_had_begun_and_has_no_guard_has_ended),
        TEST(a_planned_one_that_was_carried_out_since_the_backup_is_noticed),
    };
    return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
