#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/topology/ring.h"
#include "tests/support/sample_topology.h"

static uint16_t *place(const struct topology *topology, const bool *is_candidate)
{
    uint16_t *owner = mem_alloc(topology->nslots * sizeof(*owner));
    ring_place(topology, is_candidate, owner);
    return owner;
}

static unsigned count_of(const uint16_t *owner, unsigned nslots, unsigned shard)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < nslots; slot++) {
        count += owner[slot] == shard;
    }
    return count;
}

static void no_shard_is_above_its_bound(void **state)
{
    (void)state;
    for (unsigned nshards = 1; nshards <= 40; nshards = nshards * 3 / 2 + 1) {
        struct topology *topology = sample_topology(nshards, SLOTS_DEFAULT);
        uint16_t *owner = place(topology, NULL);
        double fair = (double)SLOTS_DEFAULT / nshards;
        for (unsigned i = 0; i < nshards; i++) {
            unsigned count = count_of(owner, SLOTS_DEFAULT, i);
            assert_true(count <= fair * (1 + RING_EPSILON) + 1);
            assert_true(count >= fair * 0.7);
        }
        mem_free(owner);
        topology_free(topology);
    }
}

static void weights_are_respected(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(3, SLOTS_DEFAULT);
    topology->shards[1].weight = 200;
    topology->shards[2].weight = 50;
    uint16_t *owner = place(topology, NULL);
    for (unsigned i = 0; i < 3; i++) {
        double fair = SLOTS_DEFAULT * topology->shards[i].weight / 350.0;
        assert_true(count_of(owner, SLOTS_DEFAULT, i) <= fair * 1.05 + 1);
        assert_true(count_of(owner, SLOTS_DEFAULT, i) >= fair * 0.8);
    }
    mem_free(owner);
    topology_free(topology);
}

static void a_placement_hangs_on_names_and_weights_alone(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(5, SLOTS_DEFAULT);
    uint16_t *first = place(topology, NULL);
    topology->shards[2].port = 1;
    topology->shards[2].identity = sample_identity(4);
    memset(topology->owner, 0, SLOTS_DEFAULT * sizeof(*topology->owner));
    uint16_t *second = place(topology, NULL);
    assert_memory_equal(first, second, SLOTS_DEFAULT * sizeof(*first));
    mem_free(first);
    mem_free(second);
    topology_free(topology);
}

static void one_more_shard_moves_about_its_share(void **state)
{
    (void)state;
    for (unsigned nshards = 1; nshards <= 20; nshards++) {
        struct topology *few = sample_topology(nshards, SLOTS_DEFAULT);
        struct topology *more = sample_topology(nshards + 1, SLOTS_DEFAULT);
        uint16_t *before = place(few, NULL), *after = place(more, NULL);
        unsigned moved = 0;
        for (unsigned slot = 0; slot < SLOTS_DEFAULT; slot++) {
            moved += before[slot] != after[slot];
        }
        assert_true(moved <= SLOTS_DEFAULT * (1.0 / (nshards + 1) + RING_EPSILON));
        mem_free(before);
        mem_free(after);
        topology_free(few);
        topology_free(more);
    }
}

static void only_candidates_get_slots(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(4, 64);
    static const bool is_candidate[] = {false, true, false, true};
    uint16_t *owner = place(topology, is_candidate);
    assert_int_equal(count_of(owner, 64, 1) + count_of(owner, 64, 3), 64);
    assert_int_equal(ring_bound(topology, is_candidate, 1), 34);
    assert_int_equal(ring_bound(topology, NULL, 1), 17);
    mem_free(owner);
    topology_free(topology);
}

static void there_may_be_more_shards_than_slots(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(40, 16);
    topology->shards[3].weight = 1; /* has a point nevertheless */
    uint16_t *owner = place(topology, NULL);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(count_of(owner, 16, i) <= 1);
    }
    mem_free(owner);
    topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_shard_is_above_its_bound),
        cmocka_unit_test(weights_are_respected),
        cmocka_unit_test(a_placement_hangs_on_names_and_weights_alone),
        cmocka_unit_test(one_more_shard_moves_about_its_share),
        cmocka_unit_test(only_candidates_get_slots),
        cmocka_unit_test(there_may_be_more_shards_than_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
