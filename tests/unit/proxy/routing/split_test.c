/* Commands over several shards: MGET, MSET, DEL and their like, DBSIZE, KEYS, SCAN. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "proxy/routing/split.h"
#include "tests/support/router_rig.h"

#define PATIENCE_MS 60000
#define KEYS        400u

static struct router_rig rig;
static int fd;

static int start(void **state)
{
    (void)state;
    router_rig_start(&rig, &(struct rig_options){.shards = 2, .timeout_ms = 1000});
    fd = rig_connect(&rig);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    (void)close(fd);
    router_rig_stop(&rig);
    process_stop_all();
    return 0;
}

static const char *a(void) /* two keys of each shard */
{
    return rig_key(&rig, 0, 0);
}

static const char *b(void)
{
    return rig_key(&rig, 0, 1);
}

static const char *c(void)
{
    return rig_key(&rig, 1, 0);
}

static const char *d(void)
{
    return rig_key(&rig, 1, 1);
}

static void mget_keeps_the_order_with_doubles_and_missing_keys(void **state)
{
    (void)state;
    rig_send(&rig, fd, "MSET %s 1 %s 2 %s 3", a(), c(), b());
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "MGET %s %s %s %s %s %s %s", c(), a(), "none", a(), d(), b(), c());
    rig_expect(&rig, fd,
               "*7\r\n$1\r\n2\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n$1\r\n2\r\n");
    rig_send(&rig, fd, "LPUSH %s x", d());
    rig_expect(&rig, fd, ":1\r\n");
    rig_send(&rig, fd, "MGET %s %s", d(), a()); /* not a string: nil, as Redis says */
    rig_expect(&rig, fd, "*2\r\n$-1\r\n$1\r\n1\r\n");
}

static void the_last_value_of_a_double_key_stands(void **state)
{
    (void)state;
    rig_send(&rig, fd, "MSET %s 1 %s 2 %s 3 %s 4", a(), c(), a(), c());
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "MGET %s %s", a(), c());
    rig_expect(&rig, fd, "*2\r\n$1\r\n3\r\n$1\r\n4\r\n");
}

static void mset_with_an_odd_argument_writes_nothing(void **state)
{
    (void)state;
    rig_send(&rig, fd, "MSET %s 1 %s", a(), c());
    rig_expect(&rig, fd, "-ERR wrong number of arguments for 'mset' command\r\n");
    rig_send(&rig, fd, "MSET %s", a());
    rig_expect(&rig, fd, "-ERR wrong number of arguments for 'mset' command\r\n");
    rig_send(&rig, fd, "EXISTS %s %s", a(), c());
    rig_expect(&rig, fd, ":0\r\n");
}

static void counts_of_the_shards_are_added(void **state)
{
    (void)state;
    rig_send(&rig, fd, "MSET %s 1 %s 2 %s 3 %s 4", a(), b(), c(), d());
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "EXISTS %s %s %s none", a(), c(), a());
    rig_expect(&rig, fd, ":3\r\n");
    rig_send(&rig, fd, "TOUCH %s %s", a(), c());
    rig_expect(&rig, fd, ":2\r\n");
    rig_send(&rig, fd, "DBSIZE");
    rig_expect(&rig, fd, ":4\r\n");
    rig_send(&rig, fd, "DEL %s %s %s none", a(), c(), a());
    rig_expect(&rig, fd, ":2\r\n");
    rig_send(&rig, fd, "UNLINK %s %s", b(), d());
    rig_expect(&rig, fd, ":2\r\n");
    rig_send(&rig, fd, "DBSIZE");
    rig_expect(&rig, fd, ":0\r\n");
}

/* Slots that are moved go one by one, marked each. */
static void parts_of_moved_slots_are_dual_writes(void **state)
{
    (void)state;
    rig_begin_dual_write(&rig, 0, 1);
    rig_send(&rig, fd, "MSET %s 1 %s 2 %s 3", a(), b(), c());
    rig_expect(&rig, fd, "+OK\r\n");
    assert_int_equal(counter_read(&rig.counters.dual_writes), 2);
    rig_send(&rig, fd, "MGET %s %s %s", a(), b(), c());
    rig_expect(&rig, fd, "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_int_equal(counter_read(&rig.counters.dual_writes), 2);
    rig_send(&rig, fd, "DEL %s %s %s", a(), b(), c());
    rig_expect(&rig, fd, ":3\r\n");
    char command[64];
    (void)snprintf(command, sizeof(command), "EXISTS %s %s", a(), b());
    expect(rig.direct[1], command, ":0");
}

/* --- a part fails ----------------------------------------------------------------------------- */

static void a_shards_own_error_is_the_answer(void **state)
{
    (void)state;
    expect(rig.direct[1], "CONFIG SET maxmemory 1", "+OK");
    rig_send(&rig, fd, "MSET %s 1 %s 2", a(), c());
    rig_expect(&rig, fd, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    rig_send(&rig, fd, "MGET %s %s", a(), c());
    rig_expect(&rig, fd, "*2\r\n$1\r\n1\r\n$-1\r\n");
}

/* "Not executed, safe to retry" would be a lie. */
static void a_write_that_was_half_done_is_unknown_not_unavailable(void **state)
{
    (void)state;
    redis_server_kill(rig.servers[1]);
    RIG_UNTIL(&rig, counter_read(&rig.counters.shards[1].failures) >= 2, PATIENCE_MS);
    rig_send(&rig, fd, "MSET %s 1 %s 2", a(), c());
    rig_expect(&rig, fd, "-UNKNOWN ");
    rig_send(&rig, fd, "DEL %s %s", c(), a());
    rig_expect(&rig, fd, "-UNKNOWN ");
    rig_send(&rig, fd, "MGET %s %s", a(), c()); /* a read is none */
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    rig_send(&rig, fd, "MSET %s 1 %s 2", c(), d()); /* nothing was written */
    rig_expect(&rig, fd, "-UNAVAILABLE ");
}

static void a_part_of_unknown_outcome_makes_the_whole_unknown(void **state)
{
    (void)state;
    redis_server_kill(rig.servers[0]);
    RIG_UNTIL(&rig, counter_read(&rig.counters.shards[0].failures) >= 2, PATIENCE_MS);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "MSET %s 1 %s 2", a(), c()); /* unavailable, and unknown */
    rig_expect(&rig, fd, "-UNKNOWN ");
    rig_signal(&rig, 1, SIGCONT);
}

/* --- all keys --------------------------------------------------------------------------------- */

static void fill(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rig_send(&rig, fd, "SET k%u %u", i, i);
        rig_expect(&rig, fd, "+OK\r\n");
    }
}

/* One step: the cursor it returns, and which of the keys were seen. */
static uint64_t scan(uint64_t cursor, unsigned char *seen)
{
    size_t length;
    rig_send(&rig, fd, "SCAN %llu COUNT 50", (unsigned long long)cursor);
    char *reply = rig_reply(&rig, fd, &length);
    assert_memory_equal(reply, "*2\r\n$", 5);
    uint64_t next = strtoull(strchr(reply + 5, '\n') + 1, NULL, 10);
    for (const char *key = strstr(reply, "\nk"); key != NULL; key = strstr(key + 1, "\nk")) {
        unsigned long index = strtoul(key + 2, NULL, 10);
        assert_true(index < KEYS);
        seen[index]++;
    }
    assert_null(strstr(reply, "__sluice"));
    mem_free(reply);
    return next;
}

static void scan_hides_copies_and_our_own(void **state)
{
    (void)state;
    unsigned char seen[KEYS] = {0};
    rig_begin_dual_write(&rig, 0, 1);
    fill(KEYS);
    uint64_t cursor = 0;
    do {
        cursor = scan(cursor, seen);
    } while (cursor != 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(seen[i], 1);
    }
    size_t length;
    rig_send(&rig, fd, "KEYS *");
    char *reply = rig_reply(&rig, fd, &length);
    assert_int_equal(strtoul(reply + 1, NULL, 10), KEYS);
    assert_null(strstr(reply, "__sluice"));
    mem_free(reply);
}

static void a_scan_begins_anew_when_an_owner_changed(void **state)
{
    (void)state;
    unsigned char seen[KEYS] = {0};
    rig_begin_dual_write(&rig, 1, 0);
    fill(KEYS);
    uint64_t cursor = scan(0, seen);
    assert_int_not_equal(cursor, 0);
    /* Shard 0, scanned already in part, gets all keys. */
    rig_enter_phase(&rig, PHASE_HOLD);
    rig_enter_phase(&rig, PHASE_SWITCHED);
    memset(seen, 0, sizeof(seen));
    do {
        cursor = scan(cursor, seen);
    } while (cursor != 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(seen[i] > 0);
    }
}

/* The owner changes while the very last step is under way. */
static void the_last_step_of_a_scan_begins_anew_too(void **state)
{
    (void)state;
    unsigned char seen[KEYS] = {0};
    uint64_t cursor = 0, last = 0;
    rig_begin_dual_write(&rig, 1, 0);
    fill(KEYS);
    do {
        last = cursor;
        cursor = scan(cursor, seen);
    } while (cursor != 0);
    /* The same again, up to the last step. */
    memset(seen, 0, sizeof(seen));
    for (cursor = scan(0, seen); cursor != last;) {
        cursor = scan(cursor, seen);
    }
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "SCAN %llu COUNT 50", (unsigned long long)cursor);
    for (int i = 0; i < 10; i++) {
        rig_turn(&rig);
    }
    struct topology *next = rig_next(&rig);
    migration_enter(next, &next->migrations[0], PHASE_ABORTING);
    (void)rig_adopt(&rig, next);
    next = rig_next(&rig);
    migration_close(next, &next->migrations[0], -1);
    (void)rig_adopt(&rig, next);
    next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] = 0;
    }
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    rig_signal(&rig, 1, SIGCONT);
    size_t length;
    char *reply = rig_reply(&rig, fd, &length);
    assert_memory_equal(reply, "*2\r\n$", 5);
    cursor = strtoull(strchr(reply + 5, '\n') + 1, NULL, 10);
    mem_free(reply);
    assert_int_not_equal(cursor, 0);
    do {
        cursor = scan(cursor, seen);
    } while (cursor != 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(seen[i] > 0);
    }
}

static void keys_asks_again_when_an_owner_changed_meanwhile(void **state)
{
    (void)state;
    size_t length;
    fill(KEYS);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "KEYS *");
    for (int i = 0; i < 10; i++) {
        rig_turn(&rig);
    }
    /* A key of the second shard was moved to the first, which has answered before. */
    char command[128];
    (void)snprintf(command, sizeof(command), "SET %s moved", c());
    struct topology *next = rig_next(&rig);
    next->owner[slot_of_key(slice_of(c()), RIG_SLOTS)] = 0;
    next->owner_epoch = next->epoch;
    expect(rig.direct[0], command, "+OK");
    char *moved = mem_printf("\r\n%s\r\n", c());
    (void)rig_adopt(&rig, next);
    rig_signal(&rig, 1, SIGCONT);
    char *reply = rig_reply(&rig, fd, &length);
    assert_non_null(strstr(reply, moved));
    mem_free(reply);
    mem_free(moved);
}

/* A module's: keys from the second argument to the last but one, as JSON.MGET k... path. */
static void groups_are_counted_between_what_stands_around_them(void **state)
{
    static const struct key_spec spec = {
        .begin = KEY_BEGIN_INDEX, .find = KEY_FIND_RANGE, .index = 2, .last = -2, .step = 1};
    static const struct command_info info = {.specs = &spec, .nspecs = 1};
    const struct slice mset[] = {SLICE("mset")};
    const struct command_info *pairs = command_find(command_table_builtin(), mset, 1);
    (void)state;
    assert_int_equal(split_groups(&info, 1), 0);
    assert_int_equal(split_groups(&info, 3), 0);
    assert_int_equal(split_groups(&info, 4), 1);
    assert_int_equal(split_groups(&info, 7), 4);
    assert_int_equal(split_groups(pairs, 1), 0);
    assert_int_equal(split_groups(pairs, 2), 0);
    assert_int_equal(split_groups(pairs, 3), 1);
    assert_int_equal(split_groups(pairs, 4), 0);
    assert_int_equal(split_groups(pairs, 7), 3);
}

static void bad_cursors_are_refused_or_begin_anew(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", "18446744073709551616", "1x"};
    unsigned char seen[KEYS] = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig_send(&rig, fd, "SCAN %s", bad[i]);
        rig_expect(&rig, fd, "-ERR invalid cursor\r\n");
    }
    assert_int_equal(scan(UINT64_MAX, seen), scan(0, seen));
    rig_send(&rig, fd, "SCAN -1 COUNT x"); /* strtoul takes it, so Redis does */
    rig_expect(&rig, fd, "-ERR value is not an integer or out of range\r\n");
    rig_send(&rig, fd, "SCAN 0 COUNT x");
    rig_expect(&rig, fd, "-ERR value is not an integer or out of range\r\n");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_counted_between_what_stands_around_them),
        TEST(mget_keeps_the_order_with_doubles_and_missing_keys),
        TEST(the_last_value_of_a_double_key_stands),
        TEST(mset_with_an_odd_argument_writes_nothing),
        TEST(counts_of_the_shards_are_added),
        TEST(parts_of_moved_slots_are_dual_writes),
        TEST(a_shards_own_error_is_the_answer),
        TEST(a_write_that_was_half_done_is_unknown_not_unavailable),
        TEST(a_part_of_unknown_outcome_makes_the_whole_unknown),
        TEST(scan_hides_copies_and_our_own),
        TEST(a_scan_begins_anew_when_an_owner_changed),
        TEST(the_last_step_of_a_scan_begins_anew_too),
        TEST(keys_asks_again_when_an_owner_changed_meanwhile),
        TEST(bad_cursors_are_refused_or_begin_anew),
    };
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
