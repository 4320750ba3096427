#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/topology/migration_state.h"
#include "lib/topology/topology.h"
#include "tests/support/sample_topology.h"

static void phases_have_names_and_directions(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= PHASE_ABORTING; i++) {
        enum phase phase;
        assert_true(phase_parse(phase_name((enum phase)i), &phase));
        assert_int_equal(phase, i);
    }
    enum phase phase;
    assert_false(phase_parse("Hold", &phase));
    assert_string_equal(phase_name(PHASE_HOLD_BACK), "hold-back");
    assert_int_equal(phase_direction(PHASE_SWITCHED), DIRECTION_REVERSE);
    assert_int_equal(phase_direction(PHASE_ABORTING), DIRECTION_FORWARD);
}

static void a_migration_id_is_m_and_a_number(void **state)
{
    (void)state;
    char text[MIGRATION_ID_TEXT_MAX];
    uint64_t id = 0;
    migration_id_format(42, text);
    assert_string_equal(text, "m42");
    migration_id_format(UINT64_MAX, text);
    assert_string_equal(text, "m18446744073709551615");
    assert_true(migration_id_parse(SLICE("m42"), &id));
    assert_int_equal(id, 42);
    static const char *const bad[] = {"", "m", "42", "m0", "m042", "m-1", "M42", "m42 ", "mm42"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(migration_id_parse(slice_of(bad[i]), &id));
    }
}

static void the_next_topology_shares_nothing(void **state)
{
    (void)state;
    struct random random;
    random_seed(&random, 3);
    struct topology *topology = sample_change_randomly(sample_topology(3, 64), &random, 60);
    struct topology *next = topology_next(topology);
    assert_int_equal(next->epoch, topology->epoch + 1);
    topology_free(topology);
    assert_true(topology_validate(next, NULL)); /* asan sees what was shared */
    topology_free(next);
}

/* s2 owns nothing and owes a purge; s3 owns half, m2 moves some of it to s4. */
static struct topology *four_shards(void)
{
    struct topology *topology = sample_topology(4, 16);
    struct slot_set slots;
    slot_set_init(&slots, 16);
    slot_set_add(&slots, 2);
    for (unsigned slot = 0; slot < 16; slot++) {
        topology->owner[slot] = slot % 2 == 0 ? 2 : 0;
    }
    struct migration_options options;
    migration_options_default(&options);
    topology->epoch = 5;
    struct migration *migration = migration_open(topology, 2, 1, &slots, &options, NULL);
    assert_non_null(migration);
    migration_enter(topology, migration, PHASE_DUAL_WRITE);
    migration_enter(topology, migration, PHASE_ABORTING);
    migration_close(topology, migration, 1);
    topology->epoch = 6;
    migration = migration_open(topology, 2, 3, &slots, &options, NULL);
    assert_non_null(migration);
    slot_set_fini(&slots);
    return topology;
}

static void a_removed_shard_leaves_no_trace_and_the_others_move_down(void **state)
{
    (void)state;
    struct topology *topology = four_shards();
    assert_true(topology_validate(topology, NULL));
    topology->epoch = 7;
    topology_remove_shard(topology, 1);
    assert_int_equal(topology->nshards, 3);
    assert_int_equal(topology->ndebts, 0);
    assert_int_equal(topology->owner_epoch, 7);
    assert_int_equal(topology_find_shard(topology, SLICE("s2")), -1);
    assert_int_equal(topology_find_shard(topology, SLICE("s3")), 1);
    assert_int_equal(topology->owner[0], 1);
    assert_int_equal(topology->owner[1], 0);
    assert_int_equal(topology->migrations[0].source, 1);
    assert_int_equal(topology->migrations[0].target, 2);
    assert_true(topology_validate(topology, NULL));
    topology_free(topology);
}

static void remove_owner(void *topology)
{
    topology_remove_shard(topology, 0);
}

static void remove_target(void *topology)
{
    topology_remove_shard(topology, 3);
}

static void removing_a_shard_that_is_needed_is_a_bug(void **state)
{
    (void)state;
    struct topology *topology = four_shards();
    assert_true(sample_aborts(remove_owner, topology));
    assert_true(sample_aborts(remove_target, topology));
    topology_free(topology);
}

/* --- former primaries ------------------------------------------------------------------------ */

static void remember(struct topology *topology, unsigned shard, unsigned process)
{
    struct topology_shard former = topology->shards[shard];
    former.identity = sample_identity(process);
    topology_remember_former(topology, &former);
}

static void formers_are_kept_until_they_are_closed_but_not_without_end(void **state)
{
    (void)state;
    struct topology *topology = four_shards();
    topology_remember_former(topology, &topology->shards[0]); /* whose process nobody knows */
    assert_int_equal(topology->nformers, 0);
    for (unsigned i = 0; i < TOPOLOGY_FORMERS_MAX + 3; i++) {
        remember(topology, i % 2, 100 + i);
        remember(topology, i % 2, 100 + i);
    }
    assert_int_equal(topology->nformers, TOPOLOGY_FORMERS_MAX);
    assert_true(topology_validate(topology, NULL));
    struct shard_identity oldest = sample_identity(102), kept = sample_identity(103);
    assert_int_equal(topology_find_former(topology, &oldest), -1);
    assert_int_equal(topology_find_former(topology, &kept), 0);
    assert_true(topology_forget_former(topology, &kept));
    assert_false(topology_forget_former(topology, &kept));
    struct topology *next = topology_next(topology);
    topology_remove_shard(next, 1);
    assert_int_equal(next->nformers, TOPOLOGY_FORMERS_MAX / 2);
    assert_true(topology_validate(next, NULL));
    topology_free(next);
    topology_free(topology);
}

static void a_process_that_is_the_shards_again_is_no_former_one(void **state)
{
    (void)state;
    struct topology *topology = four_shards();
    struct shard_identity process = sample_identity(7);
    remember(topology, 0, 7);
    topology_replace_process(topology, 0, &process);
    assert_int_equal(topology->nformers, 0);
    remember(topology, 0, 7);
    assert_false(topology_validate(topology, NULL));
    topology_free(topology);
}

/* --- validation --------------------------------------------------------------------------- */

typedef void break_fn(struct topology *topology);

static void b_epoch(struct topology *t)
{
    t->epoch = 0;
}

static void b_owner_epoch(struct topology *t)
{
    t->owner_epoch = t->epoch + 1;
}

static void b_cluster(struct topology *t)
{
    t->cluster[5] = 'X';
}

static void b_no_shards(struct topology *t)
{
    t->nshards = 0;
}

static void b_owner(struct topology *t)
{
    t->owner[15] = 4;
}

static void b_name(struct topology *t)
{
    t->shards[0].name[0] = '"';
}

static void b_same_name(struct topology *t)
{
    (void)snprintf(t->shards[0].name, sizeof(t->shards[0].name), "s2");
}

static void b_same_address(struct topology *t)
{
    t->shards[0].port = t->shards[1].port;
}

static void b_same_process(struct topology *t)
{
    t->shards[0].identity = t->shards[1].identity = sample_identity(1);
}

static void b_half_identity(struct topology *t)
{
    t->shards[0].identity = sample_identity(1);
    t->shards[0].identity.replid[0] = '\0';
}

static void b_weight(struct topology *t)
{
    t->shards[0].weight = 0;
}

static void b_host(struct topology *t)
{
    t->shards[0].host[0] = ' ';
}

static void b_source_is_target(struct topology *t)
{
    t->migrations[0].target = t->migrations[0].source;
}

static void b_authority(struct topology *t)
{
    t->owner[2] = 3;
}

static void b_no_slots(struct topology *t)
{
    sample_remove_slot(&t->migrations[0].slots, 2);
}

static void b_base(struct topology *t)
{
    t->migrations[0].base = t->epoch + 1;
}

static void b_generation(struct topology *t)
{
    t->migrations[0].generation = t->migrations[0].base - 1;
}

static void b_made(struct topology *t)
{
    t->migrations[0].made = t->migrations[0].base + 1;
}

static void b_verified_not_made(struct topology *t)
{
    t->migrations[0].verified = t->migrations[0].base;
}

static void b_unverified_hold(struct topology *t)
{
    t->migrations[0].phase = PHASE_HOLD;
}

static void b_timeout(struct topology *t)
{
    t->migrations[0].options.barrier_timeout_ms = t->migrations[0].options.hold_max_ms;
}

static void b_huge_option(struct topology *t)
{
    t->migrations[0].options.keys_per_second = UINT64_MAX;
}

static void b_debt_of_the_owner(struct topology *t)
{
    t->debts[0].shard = 2;
}

static void b_debt_where_it_moves(struct topology *t)
{
    t->debts[0].shard = 3;
}

static void b_debt_generation(struct topology *t)
{
    t->debts[0].generation = t->epoch + 1;
}

static void b_debt_of_an_open_one(struct topology *t)
{
    t->debts[0].migration = t->debts[0].generation = t->migrations[0].id;
}

static void what_must_hold_is_checked(void **state)
{
    (void)state;
    static break_fn *const breaks[] = {
        b_epoch,
        b_owner_epoch,
        b_cluster,
        b_no_shards,
        b_owner,
        b_name,
        b_same_name,
        b_same_address,
        b_same_process,
        b_half_identity,
        b_weight,
        b_host,
        b_authority,
        b_no_slots,
        b_source_is_target,
        b_base,
        b_generation,
        b_made,
        b_verified_not_made,
        b_unverified_hold,
        b_timeout,
        b_huge_option,
        b_debt_of_the_owner,
        b_debt_where_it_moves,
        b_debt_generation,
        b_debt_of_an_open_one,
    };
    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
        struct topology *topology = four_shards();
        unsigned nshards = topology->nshards;
        struct error err = {""};
        assert_true(topology_validate(topology, &err));
        breaks[i](topology);
        if (topology_validate(topology, &err) || err.text[0] == '\0') {
            fail_msg("rule %zu is not checked", i);
        }
        topology->nshards = nshards;
        topology_free(topology);
    }
}

static void a_slot_is_in_one_open_migration_at_most(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(3, 16);
    struct slot_set slots;
    slot_set_init(&slots, 16);
    slot_set_add(&slots, 0);
    struct migration_options options;
    migration_options_default(&options);
    topology->epoch = 2;
    assert_non_null(migration_open(topology, 0, 1, &slots, &options, NULL));
    topology->epoch = 3;
    sample_remove_slot(&slots, 0);
    slot_set_add(&slots, 3);
    struct migration *second = migration_open(topology, 0, 2, &slots, &options, NULL);
    assert_non_null(second);
    assert_true(topology_validate(topology, NULL));
    slot_set_add(&second->slots, 0);
    assert_false(topology_validate(topology, NULL));
    sample_remove_slot(&second->slots, 0);
    second->id = 2;
    assert_false(topology_validate(topology, NULL));
    slot_set_fini(&slots);
    topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_have_names_and_directions),
        cmocka_unit_test(a_migration_id_is_m_and_a_number),
        cmocka_unit_test(the_next_topology_shares_nothing),
        cmocka_unit_test(a_removed_shard_leaves_no_trace_and_the_others_move_down),
        cmocka_unit_test(removing_a_shard_that_is_needed_is_a_bug),
        cmocka_unit_test(formers_are_kept_until_they_are_closed_but_not_without_end),
        cmocka_unit_test(a_process_that_is_the_shards_again_is_no_former_one),
        cmocka_unit_test(what_must_hold_is_checked),
        cmocka_unit_test(a_slot_is_in_one_open_migration_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
