#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/command/waiting.h"
#include "lib/topology/migration_state.h"

/* Two shards, one migration of slots 0-1 from a to b. */
static struct topology *two_shards(void)
{
    struct topology *topology = topology_new("0123456789abcdef0123456789abcdef", 16);
    struct topology_shard shard = {.host = "h", .port = 1, .weight = 100};
    (void)snprintf(shard.name, sizeof(shard.name), "a");
    (void)topology_add_shard(topology, &shard);
    (void)snprintf(shard.name, sizeof(shard.name), "b");
    (void)topology_add_shard(topology, &shard);
    topology->epoch = 1;
    return topology;
}

static struct topology *opened(struct migration **migration)
{
    struct topology *topology = two_shards();
    struct migration_options options;
    migration_options_default(&options);
    struct slot_set slots;
    slot_set_init(&slots, 16);
    slot_set_add(&slots, 3);
    slot_set_add(&slots, 4);
    *migration = migration_open(topology, 0, 1, &slots, &options, NULL);
    slot_set_fini(&slots);
    assert_non_null(*migration);
    return topology;
}

static enum waiting_state judge(enum waiting_goal goal, const struct topology *topology)
{
    struct slot_set slots;
    struct error err;
    slot_set_init(&slots, 16);
    slot_set_add(&slots, 3);
    struct waiting *waiting = waiting_new(goal);
    waiting_add(waiting, 1, "a", "b", &slots);
    enum waiting_state state = waiting_judge(waiting, 0, topology, &err);
    waiting_free(waiting);
    slot_set_fini(&slots);
    return state;
}

static void each_phase_is_judged_by_the_goal(void **state)
{
    (void)state;

    static const struct {
        enum phase phase;
        enum waiting_state switched, finalized, undone;
    } cases[] = {
        {PHASE_PLANNED, WAITING_GOES_ON, WAITING_GOES_ON, WAITING_GOES_ON},
        {PHASE_DUAL_WRITE, WAITING_GOES_ON, WAITING_GOES_ON, WAITING_GOES_ON},
        {PHASE_HOLD, WAITING_GOES_ON, WAITING_GOES_ON, WAITING_GOES_ON},
        {PHASE_SWITCHED, WAITING_DONE, WAITING_GOES_ON, WAITING_GOES_ON},
        {PHASE_HOLD_BACK, WAITING_GOES_ON, WAITING_GOES_ON, WAITING_GOES_ON},
        {PHASE_FINALIZING, WAITING_DONE, WAITING_GOES_ON, WAITING_FAILED},
        {PHASE_ABORTING, WAITING_FAILED, WAITING_FAILED, WAITING_GOES_ON},
    };
    struct migration *migration;
    struct topology *topology = opened(&migration);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        migration->phase = cases[i].phase;
        assert_int_equal(judge(WAITING_SWITCHED, topology), cases[i].switched);
        assert_int_equal(judge(WAITING_FINALIZED, topology), cases[i].finalized);
        assert_int_equal(judge(WAITING_UNDONE, topology), cases[i].undone);
    }
    topology_free(topology);
}

static void a_verify_is_done_when_its_request_is_withdrawn(void **state)
{
    struct migration *migration;
    struct topology *topology = opened(&migration);
    (void)state;
    migration->phase = PHASE_DUAL_WRITE;
    migration->request = REQUEST_VERIFY;
    assert_int_equal(judge(WAITING_VERIFIED, topology), WAITING_GOES_ON);
    migration->request = REQUEST_SWITCH;
    assert_int_equal(judge(WAITING_VERIFIED, topology), WAITING_FAILED);
    migration->request = REQUEST_NONE;
    assert_int_equal(judge(WAITING_VERIFIED, topology), WAITING_DONE);
    migration->phase = PHASE_ABORTING;
    assert_int_equal(judge(WAITING_VERIFIED, topology), WAITING_FAILED);
    topology_free(topology);
    topology = two_shards();
    assert_int_equal(judge(WAITING_VERIFIED, topology), WAITING_FAILED);
    topology_free(topology);
}

static void the_owner_tells_how_a_closed_migration_ended(void **state)
{
    (void)state;
    struct topology *topology = two_shards();
    assert_int_equal(judge(WAITING_SWITCHED, topology), WAITING_FAILED);
    assert_int_equal(judge(WAITING_FINALIZED, topology), WAITING_FAILED);
    assert_int_equal(judge(WAITING_UNDONE, topology), WAITING_DONE);
    topology->owner[3] = 1;
    assert_int_equal(judge(WAITING_SWITCHED, topology), WAITING_DONE);
    assert_int_equal(judge(WAITING_FINALIZED, topology), WAITING_DONE);
    assert_int_equal(judge(WAITING_UNDONE, topology), WAITING_FAILED);
    topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_is_judged_by_the_goal),
        cmocka_unit_test(a_verify_is_done_when_its_request_is_withdrawn),
        cmocka_unit_test(the_owner_tells_how_a_closed_migration_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
