#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/topology/migration_state.h"
#include "tests/support/sample_topology.h"

#define NPHASES (PHASE_ABORTING + 1)

/* Two shards of 8 slots each, and slots 0 and 2 of s1 in a migration to s2, planned at epoch 2. */
struct fixture {
    struct topology *topology;
    struct migration *migration;
};

static void next_epoch(struct fixture *fixture)
{
    struct topology *next = topology_next(fixture->topology);
    topology_free(fixture->topology);
    fixture->topology = next;
    fixture->migration = next->migrations; /* the first one, if there is one */
}

static struct slot_set slots_of(const char *text)
{
    struct slot_set slots;
    slot_set_init(&slots, 16);
    bool ok = slot_set_parse(&slots, slice_of(text), NULL);
    assert_true(ok);
    return slots;
}

static struct migration *open_migration(struct topology *next, unsigned source, unsigned target,
                                        const char *text, struct error *err)
{
    struct migration_options options;
    migration_options_default(&options);
    struct slot_set slots = slots_of(text);
    struct migration *migration = migration_open(next, source, target, &slots, &options, err);
    slot_set_fini(&slots);
    return migration;
}

static void start(struct fixture *fixture)
{
    fixture->topology = sample_topology(2, 16);
    next_epoch(fixture);
    fixture->migration = open_migration(fixture->topology, 0, 1, "0,2", NULL);
    ASSERT(fixture->migration != NULL);
}

static void verify(struct fixture *fixture)
{
    fixture->migration->made = fixture->migration->base;
    fixture->migration->verified = fixture->migration->base;
}

static void enter(struct fixture *fixture, enum phase to)
{
    next_epoch(fixture);
    migration_enter(fixture->topology, fixture->migration, to);
    assert_true(topology_validate(fixture->topology, NULL));
}

/* Brings a fresh migration to the phase by the shortest way, with its base verified. */
static void start_in(struct fixture *fixture, enum phase phase)
{
    static const enum phase ways[NPHASES][5] = {
        [PHASE_PLANNED] = {PHASE_PLANNED},
        [PHASE_DUAL_WRITE] = {PHASE_DUAL_WRITE},
        [PHASE_HOLD] = {PHASE_DUAL_WRITE, PHASE_HOLD},
        [PHASE_SWITCHED] = {PHASE_DUAL_WRITE, PHASE_HOLD, PHASE_SWITCHED},
        [PHASE_HOLD_BACK] = {PHASE_DUAL_WRITE, PHASE_HOLD, PHASE_SWITCHED, PHASE_HOLD_BACK},
        [PHASE_FINALIZING] = {PHASE_DUAL_WRITE, PHASE_HOLD, PHASE_SWITCHED, PHASE_FINALIZING},
        [PHASE_ABORTING] = {PHASE_DUAL_WRITE, PHASE_ABORTING},
    };

    start(fixture);
    for (unsigned i = 0; ways[phase][i] != PHASE_PLANNED; i++) {
        enter(fixture, ways[phase][i]);
        if (ways[phase][i] == PHASE_DUAL_WRITE) {
            verify(fixture);
        }
    }
    assert_int_equal(fixture->migration->phase, phase);
}

static void owners_are(const struct fixture *fixture, unsigned shard)
{
    assert_int_equal(fixture->topology->owner[0], shard);
    assert_int_equal(fixture->topology->owner[2], shard);
    /* Nobody else's slots move. */
    assert_int_equal(topology_slots_owned(fixture->topology, 1), shard == 1 ? 10 : 8);
}

/* --- tests -------------------------------------------------------------------------------- */

struct attempt {
    struct fixture *fixture;
    enum phase to;
};

static void attempt_edge(void *context)
{
    struct attempt *attempt = context;
    migration_enter(attempt->fixture->topology, attempt->fixture->migration, attempt->to);
}

static void the_edges_are_those_of_the_drawing_and_any_other_is_a_bug(void **state)
{
    (void)state;
    for (unsigned from = 0; from < NPHASES; from++) {
        struct fixture fixture;
        start_in(&fixture, (enum phase)from);
        next_epoch(&fixture);
        for (unsigned to = 0; to < NPHASES; to++) {
            struct attempt attempt = {&fixture, (enum phase)to};
            assert_int_equal(sample_aborts(attempt_edge, &attempt),
                             !sample_edge_is_drawn((enum phase)from, (enum phase)to));
        }
        topology_free(fixture.topology);
    }
}

static void opening_names_it_by_its_epoch_and_leaves_the_owners(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    const struct migration *migration = fixture.migration;
    assert_int_equal(migration->id, 2);
    assert_int_equal(migration->generation, 2);
    assert_int_equal(migration->base, 2);
    assert_int_equal(migration->entry_epoch, 2);
    assert_int_equal(migration->made, 0);
    assert_int_equal(migration->verified, 0);
    assert_int_equal(migration->phase, PHASE_PLANNED);
    owners_are(&fixture, 0);
    assert_int_equal(fixture.topology->owner_epoch, 1);
    assert_true(topology_validate(fixture.topology, NULL));
    topology_free(fixture.topology);
}

static void what_cannot_move_is_not_opened(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    next_epoch(&fixture);

    static const struct {
        unsigned source, target;
        const char *slots;
        const char *word;
    } cases[] = {
        {0, 0, "4", "both"},
        {0, 1, "", "no slots"},
        {0, 1, "4,5", "owned by \"s2\""},
        {0, 1, "2,4", "in migration m2"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {""};
        assert_null(open_migration(fixture.topology, cases[i].source, cases[i].target,
                                   cases[i].slots, &err));
        assert_non_null(strstr(err.text, cases[i].word));
    }
    assert_int_equal(fixture.topology->nmigrations, 1);
    topology_free(fixture.topology);
}

static void dual_write_begins_generation_and_base(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    next_epoch(&fixture); /* something else changed in between */
    fixture.migration->request = REQUEST_VERIFY;
    enter(&fixture, PHASE_DUAL_WRITE);
    assert_int_equal(fixture.migration->id, 2);
    assert_int_equal(fixture.migration->generation, 4);
    assert_int_equal(fixture.migration->base, 4);
    assert_int_equal(fixture.migration->entry_epoch, 4);
    assert_int_equal(fixture.migration->request, REQUEST_NONE);
    owners_are(&fixture, 0);
    topology_free(fixture.topology);
}

static void hold_keeps_generation_and_base(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_DUAL_WRITE);
    fixture.migration->request = REQUEST_SWITCH;
    enter(&fixture, PHASE_HOLD);
    assert_int_equal(fixture.migration->generation, 3);
    assert_int_equal(fixture.migration->base, 3);
    assert_int_equal(fixture.migration->entry_epoch, 4);
    assert_int_equal(fixture.migration->request, REQUEST_NONE);
    owners_are(&fixture, 0);
    topology_free(fixture.topology);
}

static void attempt_unverified(void *context)
{
    struct attempt *attempt = context;
    attempt->fixture->migration->verified--;
    attempt_edge(attempt);
}

static void a_hold_needs_what_was_verified_since_the_base(void **state)
{
    (void)state;

    static const enum phase edges[][2] = {{PHASE_DUAL_WRITE, PHASE_HOLD},
                                          {PHASE_SWITCHED, PHASE_HOLD_BACK}};

    for (unsigned i = 0; i < 2; i++) {
        struct fixture fixture;
        start_in(&fixture, edges[i][0]);
        next_epoch(&fixture);
        struct attempt attempt = {&fixture, edges[i][1]};
        assert_true(sample_aborts(attempt_unverified, &attempt));
        assert_false(sample_aborts(attempt_edge, &attempt));
        topology_free(fixture.topology);
    }
}

static void an_undone_hold_raises_the_generation_and_keeps_the_rest(void **state)
{
    (void)state;

    static const enum phase edges[][2] = {{PHASE_HOLD, PHASE_DUAL_WRITE},
                                          {PHASE_HOLD_BACK, PHASE_SWITCHED}};

    for (unsigned i = 0; i < 2; i++) {
        struct fixture fixture;
        start_in(&fixture, edges[i][0]);
        fixture.migration->request = REQUEST_SWITCH;
        uint64_t owner_epoch = fixture.topology->owner_epoch;
        enter(&fixture, edges[i][1]);
        const struct migration *migration = fixture.migration;
        assert_int_equal(migration->generation, fixture.topology->epoch);
        assert_int_equal(migration->entry_epoch, fixture.topology->epoch);
        assert_int_equal(migration->base, 3);
        assert_int_equal(migration->made, 3);
        assert_int_equal(migration->verified, 3);
        assert_int_equal(migration->request, REQUEST_SWITCH);
        assert_int_equal(fixture.topology->owner_epoch, owner_epoch);
        topology_free(fixture.topology);
    }
}

static void the_switch_gives_the_slots_to_the_target(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_HOLD);
    enter(&fixture, PHASE_SWITCHED);
    owners_are(&fixture, 1);
    assert_int_equal(fixture.topology->owner_epoch, 5);
    assert_int_equal(fixture.migration->generation, 5);
    assert_int_equal(fixture.migration->base, 3);
    assert_int_equal(fixture.migration->verified, 3);
    assert_int_equal(migration_authority(fixture.migration), 1);
    assert_int_equal(migration_copy(fixture.migration), 0);
    topology_free(fixture.topology);
}

static void hold_back_keeps_everything_but_the_phase(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_SWITCHED);
    enter(&fixture, PHASE_HOLD_BACK);
    owners_are(&fixture, 1);
    assert_int_equal(fixture.migration->generation, 5);
    assert_int_equal(fixture.migration->base, 3);
    assert_int_equal(fixture.migration->entry_epoch, 6);
    assert_int_equal(fixture.topology->owner_epoch, 5);
    topology_free(fixture.topology);
}

static void a_rollback_gives_the_slots_back_to_the_source(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_HOLD_BACK);
    enter(&fixture, PHASE_ABORTING);
    owners_are(&fixture, 0);
    assert_int_equal(fixture.migration->generation, 7);
    assert_int_equal(fixture.topology->owner_epoch, 7);
    assert_int_equal(migration_authority(fixture.migration), 0);
    topology_free(fixture.topology);
}

static void ending_raises_the_generation_and_moves_no_slot(void **state)
{
    (void)state;

    static const enum phase edges[][2] = {{PHASE_DUAL_WRITE, PHASE_ABORTING},
                                          {PHASE_HOLD, PHASE_ABORTING},
                                          {PHASE_SWITCHED, PHASE_FINALIZING}};

    for (unsigned i = 0; i < 3; i++) {
        struct fixture fixture;
        start_in(&fixture, edges[i][0]);
        uint64_t owner_epoch = fixture.topology->owner_epoch;
        enter(&fixture, edges[i][1]);
        assert_int_equal(fixture.migration->generation, fixture.topology->epoch);
        assert_int_equal(fixture.migration->base, 3);
        owners_are(&fixture, edges[i][0] == PHASE_SWITCHED ? 1 : 0);
        assert_int_equal(fixture.topology->owner_epoch, owner_epoch);
        topology_free(fixture.topology);
    }
}

static void closing_removes_it_and_may_leave_a_debt(void **state)
{
    (void)state;

    static const struct {
        enum phase phase;
        int debt_shard;
    } cases[] = {{PHASE_PLANNED, -1},
                 {PHASE_ABORTING, -1},
                 {PHASE_ABORTING, 1},
                 {PHASE_FINALIZING, -1},
                 {PHASE_FINALIZING, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        start_in(&fixture, cases[i].phase);
        uint64_t generation = fixture.migration->generation;
        next_epoch(&fixture);
        migration_close(fixture.topology, fixture.migration, cases[i].debt_shard);
        assert_int_equal(fixture.topology->nmigrations, 0);
        assert_int_equal(fixture.topology->ndebts, cases[i].debt_shard >= 0);
        assert_true(topology_validate(fixture.topology, NULL));
        if (cases[i].debt_shard >= 0) {
            const struct purge_debt *debt = &fixture.topology->debts[0];
            assert_int_equal(debt->migration, 2);
            assert_int_equal(debt->shard, cases[i].debt_shard);
            assert_int_equal(debt->generation, generation);
            assert_int_equal(slot_set_count(&debt->slots), 2);
        }
        topology_free(fixture.topology);
    }
}

static void attempt_close(void *context)
{
    struct fixture *fixture = context;
    migration_close(fixture->topology, fixture->migration, -1);
}

static void attempt_debt_of_the_owner(void *context)
{
    struct fixture *fixture = context;
    int authority = (int)migration_authority(fixture->migration);
    migration_close(fixture->topology, fixture->migration, authority);
}

static void closing_what_still_moves_or_purging_the_owner_is_a_bug(void **state)
{
    (void)state;
    for (unsigned phase = 0; phase < NPHASES; phase++) {
        struct fixture fixture;
        start_in(&fixture, (enum phase)phase);
        next_epoch(&fixture);
        bool may_close =
            phase == PHASE_PLANNED || phase == PHASE_FINALIZING || phase == PHASE_ABORTING;
        assert_int_equal(sample_aborts(attempt_close, &fixture), !may_close);
        assert_true(sample_aborts(attempt_debt_of_the_owner, &fixture));
        topology_free(fixture.topology);
    }
}

static void slots_with_a_debt_are_not_moved_there_again(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_ABORTING);
    next_epoch(&fixture);
    migration_close(fixture.topology, fixture.migration, 1);
    next_epoch(&fixture);
    struct error err = {""};
    assert_null(open_migration(fixture.topology, 0, 1, "2,4", &err));
    assert_non_null(strstr(err.text, "leftovers of m2"));
    assert_non_null(open_migration(fixture.topology, 0, 1, "4,6", &err));
    topology_free(fixture.topology);
}

static void another_process_begins_a_new_base_and_undoes_a_hold(void **state)
{
    (void)state;

    static const enum phase after[NPHASES] = {
        [PHASE_PLANNED] = PHASE_PLANNED,    [PHASE_DUAL_WRITE] = PHASE_DUAL_WRITE,
        [PHASE_HOLD] = PHASE_DUAL_WRITE,    [PHASE_SWITCHED] = PHASE_SWITCHED,
        [PHASE_HOLD_BACK] = PHASE_SWITCHED, [PHASE_FINALIZING] = PHASE_FINALIZING,
        [PHASE_ABORTING] = PHASE_ABORTING,
    };

    for (unsigned i = 0; i < 2 * NPHASES; i++) {
        enum phase phase = (enum phase)(i / 2);
        unsigned shard = i % 2; /* source or target */
        struct fixture fixture;
        start_in(&fixture, phase);
        uint64_t entry_epoch = fixture.migration->entry_epoch;
        struct shard_identity identity = sample_identity(7);
        next_epoch(&fixture);
        topology_replace_process(fixture.topology, shard, &identity);
        uint64_t epoch = fixture.topology->epoch;
        const struct migration *migration = fixture.migration;
        assert_int_equal(migration->phase, after[phase]);
        assert_int_equal(migration->base, phase == PHASE_PLANNED ? 2 : epoch);
        assert_int_equal(migration->generation, phase == PHASE_PLANNED ? 2 : epoch);
        assert_int_equal(migration->entry_epoch, after[phase] != phase ? epoch : entry_epoch);
        assert_true(phase == PHASE_PLANNED || migration->verified < migration->base);
        assert_true(shard_identity_equal(&fixture.topology->shards[shard].identity, &identity));
        assert_int_equal(fixture.topology->owner_epoch, epoch);
        assert_true(topology_validate(fixture.topology, NULL));
        topology_free(fixture.topology);
    }
}

static void another_process_leaves_other_shards_migrations_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_HOLD);
    next_epoch(&fixture);
    sample_add_shard(fixture.topology, "s3");
    struct shard_identity identity = sample_identity(7);
    topology_replace_process(fixture.topology, 2, &identity);
    assert_int_equal(fixture.migration->phase, PHASE_HOLD);
    assert_int_equal(fixture.migration->base, 3);
    assert_int_equal(fixture.migration->generation, 3);
    topology_free(fixture.topology);
}

static void another_process_raises_the_generation_of_the_debts_on_its_shard(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_FINALIZING);
    next_epoch(&fixture);
    migration_close(fixture.topology, fixture.migration, (int)fixture.migration->source);
    uint64_t generation = fixture.topology->debts[0].generation;
    unsigned shard = fixture.topology->debts[0].shard;
    struct shard_identity identity = sample_identity(7);
    struct topology *next = topology_next(fixture.topology);
    topology_replace_process(next, 1 - shard, &identity);
    assert_int_equal(next->debts[0].generation, generation);
    topology_replace_process(next, shard, &identity);
    assert_int_equal(next->debts[0].generation, next->epoch);
    topology_free(next);
    topology_free(fixture.topology);
}

static void check_random_changes(uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    struct topology *topology = sample_topology(3, 64);
    for (unsigned i = 0; i < 200; i++) {
        struct error err = {""};
        topology = sample_change_randomly(topology, &random, 1);
        bool is_valid = topology_validate(topology, &err);
        if (!is_valid) {
            print_error("seed %llu, change %u: %s\n", (unsigned long long)seed, i, err.text);
        }
        assert_true(is_valid);
    }
    topology_free(topology);
}

static void whatever_is_done_leaves_a_valid_topology(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        check_random_changes(seed);
    }
}

static void the_horizon_of_guards_spares_what_is_open(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    enter(&fixture, PHASE_DUAL_WRITE);
    next_epoch(&fixture);
    next_epoch(&fixture);
    for (unsigned shard = 0; shard < 2; shard++) {
        assert_int_equal(topology_guard_horizon(fixture.topology, shard),
                         fixture.migration->generation);
    }
    /* Whatever has a smaller generation belongs to others. */
    assert_true(fixture.migration->generation < fixture.topology->epoch);
    topology_free(fixture.topology);
}

/* The guard by which the owner proves that it has what it took over. */
static void the_horizon_of_guards_spares_the_proof_of_an_owner(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_SWITCHED);
    uint64_t proof = fixture.migration->owner_generation;
    assert_true(proof > 0 && proof < fixture.migration->generation);
    assert_int_equal(topology_guard_horizon(fixture.topology, 0), proof);
    assert_int_equal(topology_guard_horizon(fixture.topology, 1), proof);
    topology_free(fixture.topology);
}

static void the_horizon_of_guards_spares_debts_of_that_shard(void **state)
{
    (void)state;
    struct fixture fixture;
    start_in(&fixture, PHASE_ABORTING);
    uint64_t generation = fixture.migration->generation;
    next_epoch(&fixture);
    migration_close(fixture.topology, fixture.migration, 1);
    next_epoch(&fixture);
    assert_int_equal(topology_guard_horizon(fixture.topology, 0), fixture.topology->epoch);
    assert_int_equal(topology_guard_horizon(fixture.topology, 1), generation);
    topology_free(fixture.topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_horizon_of_guards_spares_what_is_open),
        cmocka_unit_test(the_horizon_of_guards_spares_the_proof_of_an_owner),
        cmocka_unit_test(the_horizon_of_guards_spares_debts_of_that_shard),
        cmocka_unit_test(the_edges_are_those_of_the_drawing_and_any_other_is_a_bug),
        cmocka_unit_test(opening_names_it_by_its_epoch_and_leaves_the_owners),
        cmocka_unit_test(what_cannot_move_is_not_opened),
        cmocka_unit_test(dual_write_begins_generation_and_base),
        cmocka_unit_test(hold_keeps_generation_and_base),
        cmocka_unit_test(a_hold_needs_what_was_verified_since_the_base),
        cmocka_unit_test(an_undone_hold_raises_the_generation_and_keeps_the_rest),
        cmocka_unit_test(the_switch_gives_the_slots_to_the_target),
        cmocka_unit_test(hold_back_keeps_everything_but_the_phase),
        cmocka_unit_test(a_rollback_gives_the_slots_back_to_the_source),
        cmocka_unit_test(ending_raises_the_generation_and_moves_no_slot),
        cmocka_unit_test(closing_removes_it_and_may_leave_a_debt),
        cmocka_unit_test(closing_what_still_moves_or_purging_the_owner_is_a_bug),
        cmocka_unit_test(slots_with_a_debt_are_not_moved_there_again),
        cmocka_unit_test(another_process_begins_a_new_base_and_undoes_a_hold),
        cmocka_unit_test(another_process_leaves_other_shards_migrations_alone),
        cmocka_unit_test(another_process_raises_the_generation_of_the_debts_on_its_shard),
        cmocka_unit_test(whatever_is_done_leaves_a_valid_topology),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
