/* Adoption, draining, holding and waiting: what a router does while the topology changes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/shard/metadata.h"
#include "tests/support/router_rig.h"

#define PATIENCE_MS 60000

static struct router_rig rig;

static int start_with(const struct rig_options *options)
{
    router_rig_start(&rig, options);
    return 0;
}

static int start(void **state)
{
    return start_with(&(struct rig_options){.shards = 2, .protocol = rig_protocol_of(state)});
}

static int start_three(void **state)
{
    return start_with(&(struct rig_options){
        .shards = 3, .timeout_ms = 1000, .wait_ms = 10000, .protocol = rig_protocol_of(state)});
}

static int start_hasty(void **state)
{
    return start_with(&(struct rig_options){
        .timeout_ms = 1000, .wait_ms = 10000, .protocol = rig_protocol_of(state)});
}

static int stop(void **state)
{
    (void)state;
    router_rig_stop(&rig);
    process_stop_all();
    return 0;
}

static unsigned slot_of(const char *key)
{
    return slot_of_key(slice_of(key), RIG_SLOTS);
}

/* Adopts a topology in which the key's slot is the shard's. */
static uint64_t give_slot(const char *key, unsigned shard)
{
    struct topology *next = rig_next(&rig);
    next->owner[slot_of(key)] = (uint16_t)shard;
    next->owner_epoch = next->epoch;
    return rig_adopt(&rig, next);
}

/* A connection that is about to be let in: the shard stands still, the old one was given up. */
static void make_shard_wait(int fd, unsigned shard)
{
    unsigned before = rig.ngiven_up;
    rig_signal(&rig, shard, SIGSTOP);
    rig_send(&rig, fd, "GET %s", rig_key(&rig, shard, 9));
    RIG_UNTIL(&rig, rig.ngiven_up > before, PATIENCE_MS);
    rig_expect(&rig, fd, "-UNKNOWN ");
}

/* --- draining ------------------------------------------------------------------------------ */

// field lesson: position read before the writes had drained
static void an_epoch_is_drained_only_when_older_requests_have_ended(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    rig_send(&rig, fd, "SET %s 1", key);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_signal(&rig, 0, SIGSTOP);
    rig_send(&rig, fd, "INCR %s", key);
    rig_turn_a_while(&rig);
    uint64_t before = rig.topology->epoch;
    uint64_t epoch = give_slot(key, 1);
    RIG_UNTIL(&rig, rig.drained[1] == epoch, PATIENCE_MS);
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[0], before);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, ":2\r\n");
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    rig_send(&rig, fd, "GET %s", key);
    rig_expect(&rig, fd, rig_null(&rig)); /* from the new owner */
    (void)close(fd);
}

static void a_shard_whose_slots_did_not_change_drains_at_once(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_signal(&rig, 0, SIGSTOP);
    rig_send(&rig, fd, "GET %s", rig_key(&rig, 0, 0));
    rig_turn_a_while(&rig);
    struct topology *next = rig_next(&rig);
    next->shards[1].weight++;
    uint64_t epoch = rig_adopt(&rig, next);
    RIG_UNTIL(&rig, rig.drained[0] == epoch && rig.drained[1] == epoch, PATIENCE_MS);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, rig_null(&rig));
    (void)close(fd);
}

/* The mirror is the last thing under way; no other request comes to look at the drains. */
static void the_reply_of_a_mirror_drains_too(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_begin_dual_write(&rig, 0, 1);
    uint64_t before = rig.topology->epoch;
    RIG_UNTIL(&rig, rig.drained[0] == before && rig.drained[1] == before, PATIENCE_MS);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 0, 0));
    rig_turn_a_while(&rig);
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[1], before);
    rig_signal(&rig, 1, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    RIG_UNTIL(&rig, rig.drained[1] == rig.topology->epoch, 1000);
    assert_int_equal(rig.drained[0], rig.topology->epoch);
    (void)close(fd);
}

/* As above, when the unit of a larger value is still to be read. */
static void the_reply_of_a_state_that_was_read_drains_too(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_begin_dual_write(&rig, 0, 1);
    rig_turn_a_while(&rig);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "RPUSH %s v", rig_key(&rig, 0, 0));
    rig_turn_a_while(&rig);
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_signal(&rig, 1, SIGCONT);
    rig_expect(&rig, fd, ":1\r\n");
    RIG_UNTIL(&rig, rig_is_ready(&rig), 1000);
    (void)close(fd);
}

// field lesson: position read before the writes had drained
static void a_given_up_connection_counts_until_it_is_killed(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    rig_send(&rig, fd, "PFADD %s x", key);
    rig_expect(&rig, fd, ":1\r\n");
    make_shard_wait(fd, 0);
    assert_int_equal(rig.ngiven_up, 1);
    assert_string_equal(rig.given_up[0].shard, "s1");
    assert_true(rig.given_up[0].connection_id > 0);
    uint64_t before = rig.drained[0];
    uint64_t epoch = give_slot(key, 1);
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[0], before);
    rig_signal(&rig, 0, SIGCONT);
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[0], before); /* the connection is back, the old one uncertain */
    router_killed(rig.router, "s1", rig.given_up[0].connection_id + 1); /* of another */
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[0], before);
    router_killed(rig.router, "s1", rig.given_up[0].connection_id);
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    (void)close(fd);
}

/* --- holding ------------------------------------------------------------------------------- */

// field lesson: two connections to one shard reorder one client's commands
static void held_requests_go_to_the_new_authority_in_order(void **state)
{
    (void)state;
    int one = rig_connect(&rig), other = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0), *free_key = rig_key(&rig, 1, 0);
    rig_begin_dual_write(&rig, 0, 1);
    rig_send(&rig, one, "SET %s 0", key);
    rig_expect(&rig, one, "+OK\r\n");
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_send(&rig, one, "GET %s", key);
    rig_send(&rig, one, "APPEND %s 1", key);
    rig_send(&rig, one, "APPEND %s 2", key);
    assert_true(rig_is_silent(&rig, one)); /* reads are held, too */
    rig_send(&rig, other, "GET %s", free_key);
    rig_expect(&rig, other, rig_null(&rig)); /* other slots go on */
    rig_send(&rig, other, "APPEND %s 3", key);
    assert_true(rig_is_silent(&rig, other));
    assert_int_equal(counter_read(&rig.counters.held_now), 4);
    rig_expect_direct(&rig, 0, "GET", key, "0");
    rig_enter_phase(&rig, PHASE_SWITCHED);
    rig_expect(&rig, one, "$1\r\n0\r\n");
    rig_expect(&rig, one, ":2\r\n");
    rig_expect(&rig, one, ":3\r\n");
    rig_expect(&rig, other, ":4\r\n");
    rig_expect_direct(&rig, 1, "GET", key, "0123");
    rig_expect_direct(&rig, 0, "GET", key, "0123"); /* mirrored back */
    assert_int_equal(counter_read(&rig.counters.held_now), 0);
    assert_int_equal(counter_read(&rig.counters.held), 4);
    (void)close(one);
    (void)close(other);
}

// field lesson: the pause timed out on one side while the other committed
static void an_undone_hold_releases_to_the_old_authority(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    rig_begin_dual_write(&rig, 0, 1);
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_send(&rig, fd, "SET %s v", key);
    assert_true(rig_is_silent(&rig, fd));
    /* The guard must be at the new generation before the mirror comes. */
    rig_enter_phase(&rig, PHASE_DUAL_WRITE);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect_direct(&rig, 0, "GET", key, "v");
    rig_expect_direct(&rig, 1, "GET", key, "v");
    (void)close(fd);
}

/* The clients are told after hold_max + store_timeout, however many epochs come by meanwhile. */
static void a_hold_that_nobody_ends_is_told_unavailable(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_begin_dual_write(&rig, 0, 1);
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 0, 0));
    uint64_t began_us = clock_now_us();
    char byte;
    while (recv(fd, &byte, 1, MSG_PEEK) < 0 && !deadline_is_over(began_us + 3000000)) {
        struct topology *next = rig_next(&rig);
        next->shards[1].weight++;
        (void)rig_adopt(&rig, next);
        rig_turn_a_while(&rig);
    }
    assert_true(clock_now_us() - began_us >= 1000000); /* the default hold_max */
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    assert_int_equal(counter_read(&rig.counters.held), 1);
    rig_expect_direct(&rig, 0, "GET", rig_key(&rig, 0, 0), "(nil)");
    rig_expect_direct(&rig, 1, "GET", rig_key(&rig, 0, 0), "(nil)");
    (void)close(fd);
}

/* --- waiting for a shard ---------------------------------------------------------------------- */

static void what_waits_for_a_shard_that_loses_the_slot_goes_to_the_new_owner(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    make_shard_wait(fd, 0);
    rig_send(&rig, fd, "SET %s v", key);
    assert_true(rig_is_silent(&rig, fd));
    (void)give_slot(key, 1);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect_direct(&rig, 1, "GET", key, "v");
    (void)close(fd);
}

/* Keys that had one shard when the command came, and have two when it is sent. */
static void keys_that_waited_together_are_parted_by_the_new_topology(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *stays = rig_key(&rig, 0, 0), *goes = rig_key(&rig, 0, 1);
    assert_int_not_equal(slot_of(stays), slot_of(goes));
    const char *elsewhere = rig_key(&rig, 1, 0);
    make_shard_wait(fd, 0);
    rig_send(&rig, fd, "MSET %s 1 %s 2", stays, goes); /* one shard: goes as it came */
    rig_send(&rig, fd, "MSET %s 3 %s 4 %s 5", stays, goes, elsewhere); /* cut into two parts */
    rig_send(&rig, fd, "MGET %s %s %s", goes, elsewhere, stays);
    assert_true(rig_is_silent(&rig, fd));
    (void)give_slot(goes, 1);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect(&rig, fd, "*3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n3\r\n");
    rig_expect_direct(&rig, 1, "GET", goes, "4");
    rig_expect_direct(&rig, 0, "EXISTS", goes, ":0");
    rig_expect_direct(&rig, 0, "GET", stays, "3");
    (void)close(fd);
}

/* The same when a migration begins: each write must be marked under its own key. */
static void keys_that_waited_together_are_marked_when_a_migration_began(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *one = rig_key(&rig, 0, 0), *other = rig_key(&rig, 0, 1);
    make_shard_wait(fd, 0);
    rig_send(&rig, fd, "MSET %s 1 %s 2", one, other);
    assert_true(rig_is_silent(&rig, fd));
    /* The metadata are made once the shard runs; the proxy has adopted by then. */
    struct topology *next = rig_next(&rig);
    struct migration_options options;
    struct slot_set slots;
    struct error err = {{0}};
    migration_options_default(&options);
    slot_set_init(&slots, RIG_SLOTS);
    slot_set_add(&slots, slot_of(other));
    assert_non_null(migration_open(next, 0, 1, &slots, &options, &err));
    slot_set_fini(&slots);
    (void)rig_adopt(&rig, next);
    next = rig_next(&rig);
    migration_enter(next, &next->migrations[0], PHASE_DUAL_WRITE);
    (void)rig_adopt(&rig, next);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    struct metadata_names names;
    metadata_names_of(rig.topology->migrations[0].id, rig.topology->migrations[0].base,
                      DIRECTION_FORWARD, &names);
    char *marked = mem_printf("[%s]", other);
    rig_expect_direct(&rig, 0, "SMEMBERS", names.dirty, marked);
    mem_free(marked);
    rig_expect_direct(&rig, 0, "GET", one, "1");
    (void)close(fd);
}

static void what_waits_for_a_removed_shard_is_answered(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    make_shard_wait(fd, 2);
    struct topology *next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] = next->owner[slot] == 2 ? 0 : next->owner[slot];
    }
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 0, 0));
    rig_expect(&rig, fd, "+OK\r\n");
    expect(rig.direct[0], "DBSIZE", ":2");
    rig_send(&rig, fd, "DBSIZE");
    assert_true(rig_is_silent(&rig, fd));
    next = rig_next(&rig);
    topology_remove_shard(next, 2);
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    rig_expect(&rig, fd, ":1\r\n"); /* of those that are left */
    rig_send(&rig, fd, "DBSIZE");
    rig_expect(&rig, fd, ":1\r\n");
    rig_signal(&rig, 2, SIGCONT);
    (void)close(fd);
}

/* From now on a slow machine makes no difference. */
static void be_patient(void)
{
    const struct router_tuning patient = {.shard_timeout_us = PATIENCE_MS * 1000,
                                          .connect_timeout_us = PATIENCE_MS * 1000,
                                          .wait_max_us = PATIENCE_MS * 1000,
                                          .mirror_timeout_us = PATIENCE_MS * 1000,
                                          .queue_max = UINT64_MAX};
    router_tune(rig.router, &patient);
}

/* The first shard goes, and the others move up. */
static void what_waits_for_a_shard_goes_to_that_shard_when_another_is_removed(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    struct topology *next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] = next->owner[slot] == 0 ? 2 : next->owner[slot];
    }
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    for (unsigned i = 0; i < 3; i++) {
        expect(rig.direct[i], "SET old 1", "+OK");
    }
    make_shard_wait(fd, 1);
    be_patient();
    rig_send(&rig, fd, "FLUSHALL");
    for (unsigned i = 0; i < 3; i += 2) {
        RIG_UNTIL(&rig, client_gets(rig.direct[i], "EXISTS old", ":0"), PATIENCE_MS);
        expect(rig.direct[i], "PING", "+PONG"); /* so its answer is on its way ... */
    }
    rig_turn_a_while(&rig); /* ... and here */
    expect(rig.direct[2], "SET new 1", "+OK");
    next = rig_next(&rig);
    topology_remove_shard(next, 0);
    (void)rig_adopt(&rig, next);
    rig_signal(&rig, 1, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    expect(rig.direct[1], "EXISTS old", ":0");
    expect(rig.direct[2], "GET new", "1");
    (void)close(fd);
}

static void a_dead_shard_is_told_and_its_unsent_requests_are_not_unknown(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    redis_server_kill(rig.servers[0]);
    RIG_UNTIL(&rig, counter_read(&rig.counters.shards[0].failures) >= 2, PATIENCE_MS);
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 0, 0));
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 1, 0));
    rig_expect(&rig, fd, "+OK\r\n");
    (void)close(fd);
}

static void waiting_ends_after_wait_max(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_signal(&rig, 0, SIGSTOP);
    rig_send(&rig, fd, "GET %s", rig_key(&rig, 0, 9));
    RIG_UNTIL(&rig, rig.ngiven_up > 0, PATIENCE_MS);
    rig_expect(&rig, fd, "-UNKNOWN ");
    rig_send(&rig, fd, "SET %s v", rig_key(&rig, 0, 0));
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    rig_signal(&rig, 0, SIGCONT);
    rig_expect_direct(&rig, 0, "EXISTS", rig_key(&rig, 0, 0), ":0");
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_IN_BOTH(an_epoch_is_drained_only_when_older_requests_have_ended, start, stop),
        RIG_IN_BOTH(a_shard_whose_slots_did_not_change_drains_at_once, start, stop),
        RIG_IN_BOTH(the_reply_of_a_mirror_drains_too, start, stop),
        RIG_IN_BOTH(the_reply_of_a_state_that_was_read_drains_too, start, stop),
        RIG_IN_BOTH(a_given_up_connection_counts_until_it_is_killed, start_hasty, stop),
        RIG_IN_BOTH(held_requests_go_to_the_new_authority_in_order, start, stop),
        RIG_IN_BOTH(an_undone_hold_releases_to_the_old_authority, start, stop),
        RIG_IN_BOTH(a_hold_that_nobody_ends_is_told_unavailable, start, stop),
        RIG_IN_BOTH(what_waits_for_a_shard_that_loses_the_slot_goes_to_the_new_owner, start_hasty,
                    stop),
        RIG_IN_BOTH(keys_that_waited_together_are_parted_by_the_new_topology, start_hasty, stop),
        RIG_IN_BOTH(keys_that_waited_together_are_marked_when_a_migration_began, start_hasty, stop),
        RIG_IN_BOTH(what_waits_for_a_removed_shard_is_answered, start_three, stop),
        RIG_IN_BOTH(what_waits_for_a_shard_goes_to_that_shard_when_another_is_removed, start_three,
                    stop),
        RIG_IN_BOTH(a_dead_shard_is_told_and_its_unsent_requests_are_not_unknown, start, stop),
        RIG_IN_BOTH(waiting_ends_after_wait_max, start_hasty, stop),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
