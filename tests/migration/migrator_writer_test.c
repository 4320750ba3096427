/* Migrations under the writes of two stand-ins for proxies, whose every acknowledged write an
 * oracle knows; the migrator is killed at every one of its fail points and started again. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/shard/metadata.h"
#include "tests/support/cluster.h"
#include "tests/support/migration_rig.h"
#include "tests/support/proxy_stand_in.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define TYPES   5
#define WRITERS 2
#define WRITES  200

static int set_up(void **state)
{
    static const char *const fast[] = {"--appendonly", "no", NULL};
    static struct migration_rig rig;
    rig_start(&rig, fast);
    /* The stand-ins do not come back when they are killed, so a busy machine must not get them
     * killed. */
    rig.options.barrier_timeout_ms = 5000;
    rig.options.hold_max_ms = 20000;
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_stop(*state);
    return 0;
}

static void start_writers(struct migration_rig *rig, struct proxy_stand_in *writers[WRITERS])
{
    static const char *const names[] = {"p1", "p2"};
    uint64_t seed = scratch_seed();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = proxy_stand_in_start(rig, names[i], seed + i);
    }
}

static void wait_for_writes(struct proxy_stand_in *writers[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        uint64_t enough = proxy_stand_in_writes(writers[i]) + WRITES;
        uint64_t deadline_us = deadline_after_ms(2000);
        while (proxy_stand_in_writes(writers[i]) < enough && !deadline_is_over(deadline_us)) {
            clock_sleep_ms(WAIT_POLL_MS);
        }
    }
}

static void stop_writers(struct proxy_stand_in *writers[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_true(proxy_stand_in_stop(writers[i]) > 0);
    }
}

// field lesson: two owners, or none, around the switch
static void no_acknowledged_write_is_lost_by_a_switch(void **state)
{
    struct migration_rig *rig = *state;
    struct proxy_stand_in *writers[WRITERS];
    rig_load_all_types(rig, TYPES);
    rig_open_migration(rig);
    start_writers(rig, writers);
    wait_for_writes(writers);
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
    wait_for_writes(writers);
    rig_enter(rig, PHASE_FINALIZING);
    rig_wait_phase(rig, RIG_CLOSED);
    wait_for_writes(writers);
    stop_writers(writers);
    rig_expect_equal(rig, true);
    rig_expect_clean(rig);
    assert_int_equal(rig_records(rig, "finding"), 0);
}

static void no_acknowledged_write_is_lost_by_a_rollback(void **state)
{
    struct migration_rig *rig = *state;
    struct proxy_stand_in *writers[WRITERS];
    rig_load_all_types(rig, TYPES);
    rig_open_migration(rig);
    start_writers(rig, writers);
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
    wait_for_writes(writers);
    rig_request(rig, REQUEST_ROLLBACK);
    rig_wait_phase(rig, RIG_CLOSED);
    wait_for_writes(writers);
    stop_writers(writers);
    rig_expect_equal(rig, false);
    rig_expect_clean(rig);
    assert_int_equal(rig_records(rig, "finding"), 0);
}

static void the_copy_is_kept_equal_in_the_rollback_window(void **state)
{
    struct migration_rig *rig = *state;
    struct proxy_stand_in *writers[WRITERS];
    rig_load_all_types(rig, TYPES);
    rig_open_migration(rig);
    start_writers(rig, writers);
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
    wait_for_writes(writers);
    stop_writers(writers);
    /* Nobody writes any more: the marks are drained to the last. */
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    char dirty[METADATA_NAME_MAX] = "";
    redisReply *found = redisCommand(rig->on_target, "KEYS __sluice:m*:r:dirty");
    assert_int_equal(found->elements, 1);
    (void)snprintf(dirty, sizeof(dirty), "%s", found->element[0]->str);
    freeReplyObject(found);
    long long marks = 0;
    do {
        redisReply *count = redisCommand(rig->on_target, "SCARD %s", dirty);
        marks = count->integer;
        freeReplyObject(count);
    } while (marks > 1 && !deadline_is_over(deadline_us));
    assert_int_equal(marks, 1);
    rig_expect_copies_equal(rig);
}

/* A proxy that hangs without a lease is killed at once, one with a lease after barrier_timeout;
 * what it sends afterwards never arrives. */
// field lesson: one dead proxy blocked every move, and failover too
static void a_hung_proxy_does_not_stop_a_migration(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, TYPES);
    rig->options.barrier_timeout_ms = 1000;
    rig->options.hold_max_ms = 5000;
    rig_open_migration(rig);
    struct proxy_stand_in *alive = proxy_stand_in_start(rig, "alive", 1);
    struct proxy_stand_in *hung = proxy_stand_in_start(rig, "hung", 2);
    WAIT_UNTIL(proxy_stand_in_writes(hung) > 0, LONG_MS);
    WAIT_UNTIL(proxy_stand_in_writes(alive) > 0, LONG_MS);
    proxy_stand_in_hang(hung, true, true);
    uint64_t start_us = clock_now_us();
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
    assert_true(clock_now_us() - start_us >= rig->options.barrier_timeout_ms * 1000);
    assert_true(rig_journal_has(rig, "\"killed\":1"));
    assert_true(rig_journal_has(rig, "\"killed_names\":\"hung:"));
    rig_enter(rig, PHASE_FINALIZING);
    rig_wait_phase(rig, RIG_CLOSED);
    assert_true(proxy_stand_in_stop(alive) > 0);
    assert_true(proxy_stand_in_stop(hung) > 0); /* it did not write again, so it has no fault */
    rig_expect_equal(rig, true);
}

/* The plain write that a hung proxy still sends after the barrier of dual-write must not arrive: it
 * carries no mark. */
static void a_stale_plain_write_does_not_arrive_behind_the_barrier(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, TYPES);
    rig->options.manual_switch = true;
    rig_open_migration(rig);
    struct proxy_stand_in *hung = proxy_stand_in_start(rig, "hung", 3);
    WAIT_UNTIL(proxy_stand_in_writes(hung) > 0, LONG_MS);
    proxy_stand_in_hang(hung, true, false);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    proxy_stand_in_hang(hung, false, false);
    proxy_stand_in_stop_killed(hung);
    rig_request(rig, REQUEST_SWITCH);
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
}

/* The same for a dual write behind the barrier of the hold. */
static void a_stale_dual_write_does_not_arrive_behind_the_switch(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, TYPES);
    struct proxy_stand_in *hung = proxy_stand_in_start(rig, "hung", 4);
    WAIT_UNTIL(proxy_stand_in_writes(hung) > WRITES, LONG_MS);
    proxy_stand_in_hang(hung, true, false);
    rig_request(rig, REQUEST_SWITCH);
    rig_wait_phase(rig, PHASE_SWITCHED);
    proxy_stand_in_hang(hung, false, false);
    proxy_stand_in_stop_killed(hung);
    rig_finalize(rig);
}

/* Repairs are let in again in the new generation, whose guard somebody has to open. */
static void after_an_undone_hold_repairs_go_on(void **state)
{
    struct migration_rig *rig = *state;
    struct proxy_stand_in *writers[WRITERS];
    rig_load_all_types(rig, TYPES);
    rig_open_migration(rig);
    start_writers(rig, writers);
    rig_start_migrator(rig, "hold.before-owner-guard=stop@1");
    rig_wait_phase(rig, PHASE_HOLD);
    WAIT_UNTIL(process_is_stopped(rig->migrator), LONG_MS);
    rig_enter(rig, PHASE_DUAL_WRITE);
    wait_for_writes(writers);
    process_signal(rig->migrator, SIGCONT);
    rig_wait_phase(rig, PHASE_SWITCHED);
    stop_writers(writers);
    rig_finalize(rig);
    assert_true(rig_journal_has(rig, "\"undone\":true"));
}

static void wait_until_stopped_in(struct migration_rig *rig, int phase)
{
    WAIT_UNTIL(rig_phase(rig) == phase && process_is_stopped(rig->migrator), LONG_MS);
}

static void go_on_to(struct migration_rig *rig, int phase)
{
    process_signal(rig->migrator, SIGCONT);
    wait_until_stopped_in(rig, phase);
}

/* It was late once: the holds before were undone for other reasons, and are not its fault. */
static void only_holds_that_a_slow_proxy_undid_count_against_it(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, TYPES);
    rig->options.hold_max_ms = LONG_MS;
    rig_open_migration(rig);
    struct proxy_stand_in *slow = proxy_stand_in_start(rig, "slow", 6);
    WAIT_UNTIL(proxy_stand_in_writes(slow) > 0, LONG_MS);
    rig_start_migrator(rig, "dual-write.before-hold-cas=stop,hold.after-barrier=stop");
    for (unsigned i = 0; i < 2; i++) {
        wait_until_stopped_in(rig, PHASE_DUAL_WRITE);
        go_on_to(rig, PHASE_HOLD);
        rig_enter(rig, PHASE_DUAL_WRITE);
        process_signal(rig->migrator, SIGCONT);
        WAIT_UNTIL(rig_records(rig, "hold") == i + 1, LONG_MS);
    }
    wait_until_stopped_in(rig, PHASE_DUAL_WRITE);
    proxy_stand_in_hang(slow, true, true);
    process_signal(rig->migrator, SIGCONT);
    WAIT_UNTIL(rig_records(rig, "hold") == 3, LONG_MS);
    proxy_stand_in_hang(slow, false, true);
    wait_until_stopped_in(rig, PHASE_DUAL_WRITE);
    go_on_to(rig, PHASE_HOLD);
    process_signal(rig->migrator, SIGCONT);
    rig_wait_phase(rig, PHASE_SWITCHED);
    assert_false(rig_journal_has(rig, "\"killed\":1"));
    assert_true(proxy_stand_in_stop(slow) > 0);
    rig_expect_copies_equal(rig);
}

/* --- killed at every step --------------------------------------------------------------------- */

enum way {
    WAY_FORWARD, /* switched, then finalized */
    WAY_BACK     /* switched, then rolled back */
};

/* Goes the whole way with a migrator that dies at the point, once it passes it for the nth time. */
static void go(struct migration_rig *rig, enum way way, const char *fail)
{
    bool is_restarted = false;
    bool is_asked = false;
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    rig_start_migrator(rig, fail);
    while (rig_phase(rig) != RIG_CLOSED) {
        if (!is_restarted && !process_is_running(rig->migrator)) {
            rig_start_migrator(rig, NULL);
            is_restarted = true;
        }
        if (!is_asked && rig_phase(rig) == PHASE_SWITCHED) {
            is_asked = true;
            if (way == WAY_BACK) {
                rig_request(rig, REQUEST_ROLLBACK);
            } else {
                rig_enter(rig, PHASE_FINALIZING);
            }
        }
        if (deadline_is_over(deadline_us)) {
            process_print_log(rig->migrator, 30);
            fail_msg("killed by %s, it does not come to an end; phase %d", fail, rig_phase(rig));
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    if (!is_restarted && process_is_running(rig->migrator)) {
        print_message("not passed: %s\n", fail);
    }
}

/* Forward, the slots go to and fro: the next round starts where this one ended. */
static void one_life(struct migration_rig *rig, enum way way, const char *fail, unsigned round)
{
    struct proxy_stand_in *writers[WRITERS];
    rig_open_migration(rig);
    start_writers(rig, writers);
    go(rig, way, fail);
    stop_writers(writers);
    rig_expect_equal(rig, way == WAY_FORWARD && round % 2 == 0);
    rig_expect_clean(rig);
}

/* The names that the program itself prints. */
static char *fail_points(void)
{
    char *program = program_path("sluice-migrator");
    const char *const argv[] = {program, "--list-fail-points", NULL};
    struct output output = process_run(argv, NULL, 60000);
    assert_int_equal(output.code, 0);
    char *names = mem_strdup(output.out);
    output_free(&output);
    mem_free(program);
    return names;
}

static bool is_chosen(const char *name, const char *const *prefixes)
{
    const char *only = getenv("SLUICE_ONLY_POINT");
    if (only != NULL) {
        return strcmp(only, name) == 0;
    }
    for (unsigned i = 0; prefixes[i] != NULL; i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* At all points whose names begin with one of the prefixes, there at the first to the last time
 * they are passed. */
static void killed_at(struct migration_rig *rig, enum way way, const char *const *prefixes,
                      unsigned last)
{
    char *names = fail_points();
    char *rest = NULL;
    unsigned round = 0;
    rig_load_all_types(rig, 1);
    for (char *name = strtok_r(names, "\n", &rest); name != NULL;
         name = strtok_r(NULL, "\n", &rest)) {
        for (unsigned nth = 1; nth <= last && is_chosen(name, prefixes); nth++) {
            char *fail = mem_printf("%s=kill@%u", name, nth);
            one_life(rig, way, fail, round++);
            mem_free(fail);
        }
    }
    mem_free(names);
}

static void killed_at_every_step_on_the_way_forward_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"barrier.",  "planned.",    "base.",
                                           "copy.",     "dual-write.", "hold.",
                                           "switched.", "purge.",      NULL};
    killed_at(*state, WAY_FORWARD, prefixes, 1);
}

static void killed_at_every_step_on_the_way_back_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"switched.", "hold-back.", "purge.", NULL};
    killed_at(*state, WAY_BACK, prefixes, 1);
}

/* The first time in the hold, the second time in the hold back. */
static void killed_in_either_hold_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"hold.", NULL};
    killed_at(*state, WAY_BACK, prefixes, 2);
}

static void killed_at_every_change_of_the_topology_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"change.", NULL};
    killed_at(*state, WAY_BACK, prefixes, 8);
}

static void killed_at_every_journal_record_it_goes_on(void **state)
{
    static const char *const prefixes[] = {"journal.before-append", NULL};
    killed_at(*state, WAY_FORWARD, prefixes, 16);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_acknowledged_write_is_lost_by_a_switch),
        TEST(no_acknowledged_write_is_lost_by_a_rollback),
        TEST(the_copy_is_kept_equal_in_the_rollback_window),
        TEST(a_hung_proxy_does_not_stop_a_migration),
        TEST(a_stale_plain_write_does_not_arrive_behind_the_barrier),
        TEST(a_stale_dual_write_does_not_arrive_behind_the_switch),
        TEST(after_an_undone_hold_repairs_go_on),
        TEST(only_holds_that_a_slow_proxy_undid_count_against_it),
        TEST(killed_at_every_step_on_the_way_forward_it_goes_on),
        TEST(killed_at_every_step_on_the_way_back_it_goes_on),
        TEST(killed_in_either_hold_it_goes_on),
        TEST(killed_at_every_change_of_the_topology_it_goes_on),
        TEST(killed_at_every_journal_record_it_goes_on),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
