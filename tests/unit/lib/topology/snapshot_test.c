#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/topology/migration_state.h"
#include "lib/topology/snapshot.h"
#include "tests/support/sample_topology.h"

/* Three shards of 64 slots; slots 0 and 3 of s1 on their way to s2, verified. */
static struct topology *moving_to(enum phase phase)
{
    static const enum phase way[] = {PHASE_DUAL_WRITE, PHASE_HOLD, PHASE_SWITCHED, PHASE_HOLD_BACK,
                                     PHASE_ABORTING};
    struct topology *topology = sample_topology(3, 64);
    struct topology *next = topology_next(topology);
    topology_free(topology);
    struct migration_options options;
    migration_options_default(&options);
    struct slot_set slots;
    slot_set_init(&slots, 64);
    slot_set_add(&slots, 0);
    slot_set_add(&slots, 3);
    struct migration *migration = migration_open(next, 0, 1, &slots, &options, NULL);
    assert_non_null(migration);
    slot_set_fini(&slots);
    for (unsigned i = 0; migration->phase != phase; i++) {
        migration_enter(next, migration, way[i]);
        migration->made = migration->verified = migration->base;
    }
    return next;
}

static void an_entry_says_where_requests_go_in_each_phase(void **state)
{
    (void)state;

    static const struct {
        enum phase phase;
        uint16_t authority, copy;
        bool is_held, is_dual;
    } cases[] = {
        {PHASE_PLANNED, 0, NO_SHARD, false, false},  {PHASE_DUAL_WRITE, 0, 1, false, true},
        {PHASE_HOLD, 0, NO_SHARD, true, false},      {PHASE_SWITCHED, 1, 0, false, true},
        {PHASE_HOLD_BACK, 1, NO_SHARD, true, false}, {PHASE_ABORTING, 0, NO_SHARD, false, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct snapshot *snapshot = snapshot_new(moving_to(cases[i].phase));
        const struct slot_entry *entry = snapshot_entry(snapshot, 3);
        assert_int_equal(entry->authority, cases[i].authority);
        assert_int_equal(entry->copy, cases[i].copy);
        assert_int_equal(entry->is_held, cases[i].is_held);
        assert_int_equal(entry->is_dual, cases[i].is_dual);
        assert_ptr_equal(entry->migration, snapshot->topology->migrations);
        assert_int_equal(snapshot_entry(snapshot, 6)->authority, 0);
        assert_null(snapshot_entry(snapshot, 6)->migration);
        assert_int_equal(snapshot_entry(snapshot, 5)->authority, 2);
        snapshot_unref(snapshot);
    }
}

static void a_snapshot_lives_as_long_as_somebody_holds_it(void **state)
{
    (void)state;
    struct snapshot *snapshot = snapshot_new(sample_topology(1, 16));
    assert_ptr_equal(snapshot_ref(snapshot), snapshot);
    snapshot_unref(snapshot);
    assert_int_equal(snapshot_entry(snapshot, 15)->authority, 0);
    snapshot_unref(snapshot); /* the leak check of the asan flavour watches this one */
    snapshot_unref(NULL);
}

typedef void change_fn(struct topology *next);

static void only_the_epoch(struct topology *next)
{
    next->owner_epoch = next->epoch;
}

static void what_requests_do_not_feel(struct topology *next)
{
    struct migration *migration = &next->migrations[0];
    migration->is_paused = true;
    migration->request = REQUEST_VERIFY;
    migration->made = 0;
    migration->verified = 0;
    migration->entry_epoch = next->epoch;
    migration->options.keys_per_second = 5;
    next->shards[1].weight = 7;
}

static void a_new_generation(struct topology *next)
{
    next->migrations[0].generation = next->epoch;
}

static void a_new_base(struct topology *next)
{
    next->migrations[0].base = next->epoch;
}

static void a_hold(struct topology *next)
{
    migration_enter(next, &next->migrations[0], PHASE_HOLD);
}

static void the_end_of_the_migration(struct topology *next)
{
    migration_enter(next, &next->migrations[0], PHASE_ABORTING);
    migration_close(next, &next->migrations[0], -1);
}

static void another_process_of_the_source(struct topology *next)
{
    struct shard_identity identity = sample_identity(9);
    next->shards[0].identity = identity;
}

static void another_process_of_the_target(struct topology *next)
{
    struct shard_identity identity = sample_identity(9);
    next->shards[1].identity = identity;
}

static void another_owner_of_slot_5(struct topology *next)
{
    next->owner[5] = 0;
}

/* Shard indexes move, names stay: s3 stands first now. */
static void only_the_order_of_the_shards(struct topology *next)
{
    static const uint16_t moved[] = {1, 2, 0};
    struct topology_shard last = next->shards[2];
    memmove(&next->shards[1], &next->shards[0], 2 * sizeof(last));
    next->shards[0] = last;
    for (unsigned slot = 0; slot < next->nslots; slot++) {
        next->owner[slot] = moved[next->owner[slot]];
    }
    next->migrations[0].source = moved[next->migrations[0].source];
    next->migrations[0].target = moved[next->migrations[0].target];
}

static void an_entry_changes_when_requests_must_notice(void **state)
{
    (void)state;

    /* Slot 0 is in the migration s1 -> s2 in dual-write, slot 6 is plainly on s1, 5 on s3. */
    static const struct {
        change_fn *change;
        bool slot_0, slot_6, slot_5;
        bool concerned[3];
    } cases[] = {
        {only_the_epoch, false, false, false, {false, false, false}},
        {what_requests_do_not_feel, false, false, false, {false, false, false}},
        {only_the_order_of_the_shards, false, false, false, {false, false, false}},
        {a_new_generation, true, false, false, {true, true, false}},
        {a_new_base, true, false, false, {true, true, false}},
        {a_hold, true, false, false, {true, true, false}},
        {the_end_of_the_migration, true, false, false, {true, true, false}},
        {another_process_of_the_source, true, true, false, {true, true, false}},
        {another_process_of_the_target, true, false, false, {true, true, false}},
        {another_owner_of_slot_5, false, false, true, {false, false, true}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct topology *next = moving_to(PHASE_DUAL_WRITE);
        struct snapshot *older = snapshot_new(topology_next(next));
        next->epoch = older->topology->epoch + 1;
        cases[i].change(next);
        struct snapshot *newer = snapshot_new(next);
        bool concerned[3] = {false, false, false};
        snapshot_shards_concerned(older, newer, concerned);
        assert_int_equal(slot_entry_changed(older, newer, 0), cases[i].slot_0);
        assert_int_equal(slot_entry_changed(older, newer, 6), cases[i].slot_6);
        assert_int_equal(slot_entry_changed(older, newer, 5), cases[i].slot_5);
        assert_memory_equal(concerned, cases[i].concerned, sizeof(concerned));
        snapshot_unref(older);
        snapshot_unref(newer);
    }
}

static void another_number_of_slots_changes_everything(void **state)
{
    (void)state;
    struct snapshot *older = snapshot_new(sample_topology(2, 64));
    struct snapshot *newer = snapshot_new(sample_topology(2, 32));
    bool concerned[2] = {false, false};
    snapshot_shards_concerned(older, newer, concerned);
    assert_true(slot_entry_changed(older, newer, 63));
    assert_true(concerned[0] && concerned[1]);
    snapshot_unref(older);
    snapshot_unref(newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_says_where_requests_go_in_each_phase),
        cmocka_unit_test(a_snapshot_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(an_entry_changes_when_requests_must_notice),
        cmocka_unit_test(another_number_of_slots_changes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
