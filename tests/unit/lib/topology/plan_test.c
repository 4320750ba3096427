#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/topology/migration_state.h"
#include "lib/topology/plan.h"
#include "lib/topology/ring.h"
#include "tests/support/sample_topology.h"

/* Every slot moves once, away from its owner, is in no migration, and the target owes no purge. */
static unsigned check_plan(const struct topology *topology, const struct plan *plan)
{
    unsigned total = 0;
    struct slot_set seen;
    slot_set_init(&seen, topology->nslots);
    for (unsigned i = 0; i < plan->nmoves; i++) {
        const struct planned_move *move = &plan->moves[i];
        assert_true(move->source != move->target);
        assert_false(slot_set_intersects(&seen, &move->slots));
        assert_true(slot_set_count(&move->slots) > 0);
        total += slot_set_count(&move->slots);
        for (unsigned slot = slot_set_next(&move->slots, 0); slot < topology->nslots;
             slot = slot_set_next(&move->slots, slot + 1)) {
            assert_int_equal(topology->owner[slot], move->source);
            assert_null(topology_migration_of_slot(topology, slot));
            slot_set_add(&seen, slot);
        }
        for (unsigned j = 0; j < i; j++) {
            assert_true(plan->moves[j].source != move->source ||
                        plan->moves[j].target != move->target);
        }
    }
    slot_set_fini(&seen);
    return total;
}

static void carry_out(struct topology *topology, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->nmoves; i++) {
        const struct planned_move *move = &plan->moves[i];
        for (unsigned slot = slot_set_next(&move->slots, 0); slot < topology->nslots;
             slot = slot_set_next(&move->slots, slot + 1)) {
            topology->owner[slot] = (uint16_t)move->target;
        }
    }
}

/* Slots [first, last] of their present owner, which is one, in dual-write to the target. */
static struct migration *migrate(struct topology *topology, unsigned first, unsigned last,
                                 unsigned target)
{
    struct slot_set slots;
    struct migration_options options;
    migration_options_default(&options);
    slot_set_init(&slots, topology->nslots);
    for (unsigned slot = first; slot <= last; slot++) {
        slot_set_add(&slots, slot);
    }
    topology->epoch++;
    struct migration *migration =
        migration_open(topology, topology->owner[first], target, &slots, &options, NULL);
    assert_non_null(migration);
    migration_enter(topology, migration, PHASE_DUAL_WRITE);
    slot_set_fini(&slots);
    return migration;
}

static struct topology *all_on_first(unsigned nshards, unsigned nslots)
{
    struct topology *topology = sample_topology(nshards, nslots);
    memset(topology->owner, 0, nslots * sizeof(*topology->owner));
    return topology;
}

/* --- split -------------------------------------------------------------------------------- */

static void a_split_takes_its_share_of_the_slots_that_are_free(void **state)
{
    (void)state;

    static const struct {
        double share;
        unsigned expected;
    } cases[] = {{0.5, 28}, {1, 56}, {0.001, 1}, {0.25, 14}, {0.99, 55}};
    struct topology *topology = all_on_first(3, 64);
    (void)migrate(topology, 8, 15, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan plan;
        assert_true(plan_split(topology, 0, 1, cases[i].share, &plan, NULL));
        assert_int_equal(plan.nmoves, 1);
        assert_int_equal(check_plan(topology, &plan), cases[i].expected);
        assert_int_equal(plan.moves[0].target, 1);
        plan_fini(&plan);
    }
    topology_free(topology);
}

static void a_split_prefers_what_the_ring_of_both_gives_the_target(void **state)
{
    (void)state;
    struct topology *topology = all_on_first(2, 1024);
    uint16_t *placed = mem_alloc(1024 * sizeof(*placed));
    ring_place(topology, NULL, placed);
    unsigned preferred = 0;
    for (unsigned slot = 0; slot < 1024; slot++) {
        preferred += placed[slot] == 1;
    }
    for (unsigned i = 1; i <= 4; i++) {
        struct plan plan;
        assert_true(plan_split(topology, 0, 1, i * 0.25, &plan, NULL));
        unsigned taken = 0;
        for (unsigned slot = 0; slot < 1024; slot++) {
            taken += slot_set_has(&plan.moves[0].slots, slot) && placed[slot] == 1;
        }
        assert_int_equal(taken, i * 256 < preferred ? i * 256 : preferred);
        plan_fini(&plan);
    }
    mem_free(placed);
    topology_free(topology);
}

static void what_cannot_be_split_is_refused(void **state)
{
    (void)state;

    static const struct {
        unsigned source, target;
        double share;
    } cases[] = {{0, 0, 0.5}, {0, 1, 0}, {0, 1, 1.01}, {0, 1, -1}, {0, 1, NAN}, {1, 0, 0.5}};
    struct topology *topology = all_on_first(2, 64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan plan;
        struct error err = {""};
        assert_false(
            plan_split(topology, cases[i].source, cases[i].target, cases[i].share, &plan, &err));
        assert_true(err.text[0] != '\0');
        assert_int_equal(plan.nmoves, 0);
    }
    topology_free(topology);
}

static void slots_with_leftovers_on_the_target_are_left_out(void **state)
{
    (void)state;
    struct topology *topology = all_on_first(2, 64);
    struct migration *migration = migrate(topology, 0, 31, 1);
    migration_enter(topology, migration, PHASE_ABORTING);
    migration_close(topology, migration, 1);
    struct plan plan;
    assert_true(plan_split(topology, 0, 1, 1, &plan, NULL));
    assert_int_equal(check_plan(topology, &plan), 32);
    assert_true(slot_set_has(&plan.moves[0].slots, 32));
    plan_fini(&plan);
    struct error err = {""};
    struct slot_set slots;
    slot_set_init(&slots, 64);
    slot_set_add(&slots, 31);
    assert_false(plan_move(topology, &slots, 1, &plan, &err));
    assert_non_null(strstr(err.text, "leftovers of slot 31"));
    slot_set_fini(&slots);
    topology_free(topology);
}

/* --- move --------------------------------------------------------------------------------- */

static void a_move_has_one_part_for_each_owner(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(3, 64);
    struct slot_set slots;
    slot_set_init(&slots, 64);
    assert_true(slot_set_parse(&slots, SLICE("0-5"), NULL));
    struct plan plan;
    assert_true(plan_move(topology, &slots, 1, &plan, NULL));
    assert_int_equal(plan.nmoves, 2);
    assert_int_equal(check_plan(topology, &plan), 4); /* slots 1 and 4 are there already */
    plan_fini(&plan);
    sample_remove_slot(&slots, 0);
    sample_remove_slot(&slots, 2);
    sample_remove_slot(&slots, 3);
    sample_remove_slot(&slots, 5);
    assert_true(plan_move(topology, &slots, 1, &plan, NULL));
    assert_int_equal(plan.nmoves, 0);
    (void)migrate(topology, 3, 3, 2);
    slot_set_add(&slots, 3);
    struct error err = {""};
    assert_false(plan_move(topology, &slots, 1, &plan, &err));
    assert_non_null(strstr(err.text, "slot 3 is in migration m2"));
    slot_set_fini(&slots);
    topology_free(topology);
}

/* --- rebalance ---------------------------------------------------------------------------- */

static void check_bounds(const struct topology *topology)
{
    double total = 0;
    for (unsigned i = 0; i < topology->nshards; i++) {
        total += topology->shards[i].weight;
    }
    for (unsigned i = 0; i < topology->nshards; i++) {
        double fair = topology->nslots * topology->shards[i].weight / total;
        unsigned owned = topology_slots_owned(topology, i);
        assert_true(owned <= ring_bound(topology, NULL, i));
        assert_true(owned + 1 >= fair * 0.8);
    }
}

static void what_the_ring_placed_is_balanced(void **state)
{
    (void)state;
    for (unsigned nshards = 1; nshards <= 16; nshards++) {
        struct topology *topology = sample_topology(nshards, SLOTS_DEFAULT);
        ring_place(topology, NULL, topology->owner);
        struct plan plan;
        assert_true(plan_rebalance(topology, &plan, NULL));
        assert_int_equal(plan.nmoves, 0);
        plan_fini(&plan);
        topology_free(topology);
    }
}

static void a_new_shard_gets_its_slots_by_the_fewest_moves(void **state)
{
    (void)state;
    for (unsigned nshards = 1; nshards <= 20; nshards++) {
        struct topology *topology = sample_topology(nshards, SLOTS_DEFAULT);
        ring_place(topology, NULL, topology->owner);
        sample_add_shard(topology, "new");
        unsigned must_go = 0;
        for (unsigned i = 0; i < nshards; i++) {
            unsigned owned = topology_slots_owned(topology, i);
            unsigned bound = ring_bound(topology, NULL, i);
            must_go += owned > bound ? owned - bound : 0;
        }
        unsigned must_come = (unsigned)(SLOTS_DEFAULT * 0.8 / (nshards + 1));
        struct plan plan;
        assert_true(plan_rebalance(topology, &plan, NULL));
        assert_int_equal(check_plan(topology, &plan), must_go > must_come ? must_go : must_come);
        carry_out(topology, &plan);
        check_bounds(topology);
        plan_fini(&plan);
        topology_free(topology);
    }
}

static void any_distribution_is_brought_within_its_bounds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct random random;
        random_seed(&random, seed);
        struct topology *topology = sample_topology(2 + (unsigned)random_below(&random, 9), 1024);
        for (unsigned i = 0; i < topology->nshards; i++) {
            topology->shards[i].weight = 50 + (uint32_t)random_below(&random, 300);
        }
        unsigned favoured = 1 + (unsigned)random_below(&random, topology->nshards);
        for (unsigned slot = 0; slot < 1024; slot++) {
            topology->owner[slot] = (uint16_t)random_below(&random, favoured);
        }
        struct plan plan, again;
        assert_true(plan_rebalance(topology, &plan, NULL));
        (void)check_plan(topology, &plan);
        carry_out(topology, &plan);
        check_bounds(topology);
        assert_true(plan_rebalance(topology, &again, NULL));
        assert_int_equal(again.nmoves, 0);
        plan_fini(&plan);
        topology_free(topology);
    }
}

static void open_migrations_count_as_ended_and_are_left_alone(void **state)
{
    (void)state;
    struct topology *topology = all_on_first(2, 64);
    (void)migrate(topology, 0, 31, 1);
    struct plan plan;
    assert_true(plan_rebalance(topology, &plan, NULL));
    assert_int_equal(plan.nmoves, 0);
    topology->migrations[0].request = REQUEST_ROLLBACK;
    assert_true(plan_rebalance(topology, &plan, NULL));
    assert_int_equal(check_plan(topology, &plan), 30); /* to 34, the bound, all from 32-63 */
    plan_fini(&plan);
    topology->migrations[0].request = REQUEST_NONE;
    migration_enter(topology, &topology->migrations[0], PHASE_ABORTING);
    assert_true(plan_rebalance(topology, &plan, NULL));
    assert_int_equal(check_plan(topology, &plan), 30);
    plan_fini(&plan);
    topology_free(topology);
}

/* --- drain -------------------------------------------------------------------------------- */

static void a_drain_moves_everything_off(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(4, 1024);
    struct plan plan;
    assert_true(plan_drain(topology, 1, &plan, NULL));
    assert_int_equal(check_plan(topology, &plan), 256);
    assert_int_equal(plan.nmoves, 3);
    carry_out(topology, &plan);
    assert_int_equal(topology_slots_owned(topology, 1), 0);
    plan_fini(&plan);
    assert_true(plan_drain(topology, 1, &plan, NULL));
    assert_int_equal(plan.nmoves, 0);
    topology_free(topology);
}

static void a_shard_that_still_gets_slots_or_is_alone_is_not_drained(void **state)
{
    (void)state;
    struct topology *topology = all_on_first(2, 64);
    struct plan plan;
    struct error err = {""};
    (void)migrate(topology, 0, 7, 1);
    assert_false(plan_drain(topology, 1, &plan, &err));
    assert_non_null(strstr(err.text, "m2 brings it slots"));
    assert_true(plan_drain(topology, 0, &plan, NULL));
    assert_int_equal(check_plan(topology, &plan), 56);
    plan_fini(&plan);
    topology_free(topology);
    topology = sample_topology(1, 64);
    assert_false(plan_drain(topology, 0, &plan, &err));
    assert_non_null(strstr(err.text, "no other shard"));
    topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_takes_its_share_of_the_slots_that_are_free),
        cmocka_unit_test(a_split_prefers_what_the_ring_of_both_gives_the_target),
        cmocka_unit_test(what_cannot_be_split_is_refused),
        cmocka_unit_test(slots_with_leftovers_on_the_target_are_left_out),
        cmocka_unit_test(a_move_has_one_part_for_each_owner),
        cmocka_unit_test(what_the_ring_placed_is_balanced),
        cmocka_unit_test(a_new_shard_gets_its_slots_by_the_fewest_moves),
        cmocka_unit_test(any_distribution_is_brought_within_its_bounds),
        cmocka_unit_test(open_migrations_count_as_ended_and_are_left_alone),
        cmocka_unit_test(a_drain_moves_everything_off),
        cmocka_unit_test(a_shard_that_still_gets_slots_or_is_alone_is_not_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
