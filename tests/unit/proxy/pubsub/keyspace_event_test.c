#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/topology/migration_state.h"
#include "proxy/pubsub/keyspace_event.h"
#include "tests/support/sample_topology.h"

#define NSLOTS 16u

static void both_forms_name_the_key(void **state)
{
    struct slice key;
    (void)state;
    assert_true(keyspace_event_key(SLICE("__keyspace@0__:user:1"), SLICE("set"), &key));
    assert_true(slice_equal(key, SLICE("user:1")));
    assert_true(keyspace_event_key(SLICE("__keyevent@0__:del"), SLICE("user:2"), &key));
    assert_true(slice_equal(key, SLICE("user:2")));
    assert_true(keyspace_event_key(SLICE("__keyspace@0__:"), SLICE("set"), &key));
    assert_int_equal(key.len, 0);
}

static void ordinary_channels_are_no_events(void **state)
{
    static const char *const channels[] = {
        "", "__key", "__keyspace@1__:a", "__keyspace@0__", "x__keyspace@0__:a", "__keyevent@0_:a"};
    struct slice key;
    (void)state;
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        assert_false(keyspace_event_key(slice_of(channels[i]), SLICE("m"), &key));
    }
}

static void a_channel_lives_in_the_slot_of_its_name_an_event_in_that_of_its_key(void **state)
{
    (void)state;
    unsigned slot = slot_of_key(SLICE("acct:7"), NSLOTS);
    assert_int_equal(channel_slot(SLICE("acct:7"), SLICE("x"), NSLOTS), slot);
    assert_int_equal(channel_slot(SLICE("{acct:7}:events"), SLICE("x"), NSLOTS), slot);
    assert_int_equal(channel_slot(SLICE("__keyspace@0__:acct:7"), SLICE("x"), NSLOTS), slot);
    assert_int_equal(channel_slot(SLICE("__keyevent@0__:set"), SLICE("acct:7"), NSLOTS), slot);
}

/* A migration of every slot of s1 to s2, of three shards, in this phase. */
static struct snapshot *in_phase(enum phase phase)
{
    struct topology *topology = sample_topology(3, NSLOTS);
    struct slot_set slots;
    struct migration_options options;
    struct error err;
    slot_set_init(&slots, NSLOTS);
    for (unsigned slot = 0; slot < NSLOTS; slot += 3) {
        slot_set_add(&slots, slot);
    }
    migration_options_default(&options);
    struct migration *migration = migration_open(topology, 0, 1, &slots, &options, &err);
    if (migration == NULL) {
        fail_msg("%s", err.text);
    }
    slot_set_fini(&slots);
    migration->phase = phase;
    return snapshot_new(topology);
}

/* A key of s1. */
static const char *moving_key(void)
{
    static char key[16];
    unsigned n = 0;
    do {
        (void)snprintf(key, sizeof(key), "k%u", n++);
    } while (slot_of_key(slice_of(key), NSLOTS) % 3 != 0);
    return key;
}

static bool shows(const struct snapshot *snapshot, unsigned shard, const char *event)
{
    char by_key[64], by_event[64];
    const char *key = moving_key();
    (void)snprintf(by_key, sizeof(by_key), "__keyspace@0__:%s", key);
    (void)snprintf(by_event, sizeof(by_event), "__keyevent@0__:%s", event);
    bool is_visible = message_is_visible(snapshot, shard, slice_of(by_key), slice_of(event));
    assert_int_equal(message_is_visible(snapshot, shard, slice_of(by_event), slice_of(key)),
                     is_visible);
    return is_visible;
}

static void what_happens_to_a_copy_is_hidden(void **state)
{
    static const struct {
        enum phase phase;
        unsigned authority, copy;
    } cases[] = {{PHASE_DUAL_WRITE, 0, 1}, {PHASE_HOLD, 0, 1},     {PHASE_SWITCHED, 1, 0},
                 {PHASE_HOLD_BACK, 1, 0},  {PHASE_ABORTING, 0, 1}, {PHASE_FINALIZING, 1, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct snapshot *snapshot = in_phase(cases[i].phase);
        assert_true(shows(snapshot, cases[i].authority, "set"));
        assert_false(shows(snapshot, cases[i].copy, "set"));
        assert_false(shows(snapshot, cases[i].copy, "restore"));
        assert_false(shows(snapshot, 2, "set"));
        snapshot_unref(snapshot);
    }
}

static void sluice_s_own_keys_are_hidden_and_other_channels_are_not(void **state)
{
    (void)state;
    struct snapshot *snapshot = in_phase(PHASE_DUAL_WRITE);
    for (unsigned shard = 0; shard < 3; shard++) {
        assert_false(message_is_visible(snapshot, shard, SLICE("__keyspace@0__:__sluice:fence"),
                                        SLICE("hset")));
        assert_false(message_is_visible(snapshot, shard, SLICE("__keyevent@0__:hset"),
                                        SLICE("__sluice:fence")));
        assert_true(message_is_visible(snapshot, shard, SLICE("news"), SLICE("del")));
    }
    snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_name_the_key),
        cmocka_unit_test(ordinary_channels_are_no_events),
        cmocka_unit_test(a_channel_lives_in_the_slot_of_its_name_an_event_in_that_of_its_key),
        cmocka_unit_test(what_happens_to_a_copy_is_hidden),
        cmocka_unit_test(sluice_s_own_keys_are_hidden_and_other_channels_are_not),
    };
    return cmocka_run_group_tests_name("keyspace_event", tests, NULL, NULL);
}
