/* Requests that come in pieces while the topology changes, and while their shard hangs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/router_rig.h"

#define PATIENCE_MS 60000
#define VALUE_BYTES ((size_t)2 << 20)
#define HALF_BYTES  (VALUE_BYTES / 2)
#define REPLY_BYTES ((size_t)64 << 20)

static struct router_rig rig;
static char *value; /* VALUE_BYTES of it */

static int start_with(const struct rig_options *options)
{
    router_rig_start(&rig, options);
    value = mem_alloc(VALUE_BYTES);
    memset(value, 'v', VALUE_BYTES);
    return 0;
}

static int start(void **state)
{
    return start_with(&(struct rig_options){
        .shards = 2, .timeout_ms = PATIENCE_MS, .protocol = rig_protocol_of(state)});
}

/* A barrier that waits so long for a proxy, in milliseconds: uploads get half of it. */
static int start_with_barrier(void **state, uint64_t barrier_timeout_ms)
{
    struct rig_options options = {
        .shards = 2, .timeout_ms = PATIENCE_MS, .protocol = rig_protocol_of(state)};
    migration_options_default(&options.migration);
    options.migration.barrier_timeout_ms = barrier_timeout_ms;
    options.migration.hold_max_ms = 2 * barrier_timeout_ms;
    return start_with(&options);
}

static int start_patient(void **state)
{
    return start_with_barrier(state, 600000);
}

static int start_impatient(void **state)
{
    return start_with_barrier(state, 100);
}

static int stop(void **state)
{
    (void)state;
    router_rig_stop(&rig);
    mem_free(value);
    process_stop_all();
    return 0;
}

/* From now on a shard that gets no further for so long is given up. */
static void set_timeout_ms(uint64_t timeout_ms)
{
    router_tune(rig.router, &(struct router_tuning){.shard_timeout_us = timeout_ms * 1000,
                                                    .connect_timeout_us = PATIENCE_MS * 1000,
                                                    .wait_max_us = PATIENCE_MS * 1000,
                                                    .queue_max = UINT64_MAX});
}

/* "SET key <VALUE_BYTES>", without its value. */
static void send_header(int fd, const char *key)
{
    rig_write(&rig, fd, SLICE("*3\r\n$3\r\nSET\r\n"));
    char *rest = mem_printf("$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, VALUE_BYTES);
    rig_write(&rig, fd, slice_of(rest));
    mem_free(rest);
}

static bool shard_has_part(unsigned shard)
{
    char *list = client_ask(rig.direct[shard], "CLIENT LIST TYPE normal");
    bool has = false;
    for (const char *at = strstr(list, " qbuf="); at != NULL; at = strstr(at + 1, " qbuf=")) {
        has = has || strtoul(at + strlen(" qbuf="), NULL, 10) >= HALF_BYTES;
    }
    mem_free(list);
    return has;
}

/* The key is "old", and half of another value is with shard 0. */
static int begin(const char *key)
{
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SET %s old", key);
    rig_expect(&rig, fd, "+OK\r\n");
    send_header(fd, key);
    rig_write(&rig, fd, (struct slice){value, HALF_BYTES});
    RIG_UNTIL(&rig, shard_has_part(0), PATIENCE_MS);
    return fd;
}

static void end(int fd)
{
    rig_write(&rig, fd, (struct slice){value, VALUE_BYTES - HALF_BYTES});
    rig_write(&rig, fd, SLICE("\r\n"));
}

/* Opens a migration of shard 0's slots to shard 1. */
static uint64_t plan_migration(void)
{
    struct error err = {{0}};
    struct topology *next = rig_next(&rig);
    struct migration_options options;
    struct slot_set slots;
    migration_options_default(&options);
    slot_set_init(&slots, RIG_SLOTS);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot += 2) {
        slot_set_add(&slots, slot);
    }
    if (migration_open(next, 0, 1, &slots, &options, &err) == NULL) {
        fail_msg("%s", err.text);
    }
    slot_set_fini(&slots);
    return rig_adopt(&rig, next);
}

/* Not even its connection is opened: on it, it could overtake them. */
static void it_waits_until_what_came_before_it_is_answered(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "APPEND %s a", key);
    rig_expect(&rig, fd, ":1\r\n");
    uint64_t connects = counter_read(&rig.counters.shards[0].connects);
    rig_signal(&rig, 0, SIGSTOP);
    rig_send(&rig, fd, "APPEND %s b", key);
    send_header(fd, key);
    rig_write(&rig, fd, (struct slice){value, 1000});
    rig_turn_a_while(&rig);
    assert_int_equal(counter_read(&rig.counters.shards[0].connects), connects);
    rig_signal(&rig, 0, SIGCONT);
    rig_write(&rig, fd, (struct slice){value, VALUE_BYTES - 1000});
    rig_write(&rig, fd, SLICE("\r\n"));
    rig_expect(&rig, fd, ":2\r\n");
    rig_expect(&rig, fd, "+OK\r\n");
    assert_int_equal(counter_read(&rig.counters.shards[0].connects), connects + 1);
    rig_expect_direct(&rig, 0, "STRLEN", key, ":2097152");
    mem_free(key);
    (void)close(fd);
}

/* --- the topology changes --------------------------------------------------------------------- */

static void a_change_that_leaves_the_slot_where_it_is_does_not_wait_for_it(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = begin(key);
    uint64_t epoch = plan_migration();
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    end(fd);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect_direct(&rig, 0, "STRLEN", key, ":2097152");
    mem_free(key);
    (void)close(fd);
}

/* With its last byte it is in flight as any write. */
static void a_whole_one_is_waited_for(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = begin(key);
    uint64_t before = rig.topology->epoch;
    rig_write(&rig, fd, (struct slice){value, VALUE_BYTES - HALF_BYTES});
    rig_write(&rig, fd, SLICE("\r"));
    rig_turn_a_while(&rig);
    rig_signal(&rig, 0, SIGSTOP);
    rig_write(&rig, fd, SLICE("\n"));
    rig_turn_a_while(&rig);
    uint64_t epoch = plan_migration();
    RIG_UNTIL(&rig, rig.drained[1] == epoch, PATIENCE_MS);
    rig_turn_a_while(&rig);
    assert_int_equal(rig.drained[0], before);
    rig_signal(&rig, 0, SIGCONT);
    rig_expect(&rig, fd, "+OK\r\n");
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    mem_free(key);
    (void)close(fd);
}

static void one_that_ends_soon_is_waited_for_when_dual_writes_begin(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = begin(key);
    rig_begin_dual_write(&rig, 0, 1);
    uint64_t epoch = rig.topology->epoch;
    RIG_UNTIL(&rig, rig.drained[1] == epoch, PATIENCE_MS);
    rig_turn_a_while(&rig);
    assert_true(rig.drained[0] < epoch);
    end(fd);
    rig_expect(&rig, fd, "+OK\r\n");
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    rig_expect_direct(&rig, 0, "STRLEN", key, ":2097152");
    mem_free(key);
    (void)close(fd);
}

static void one_that_stalls_is_not_waited_for_long_when_dual_writes_begin(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = begin(key);
    rig_begin_dual_write(&rig, 0, 1);
    RIG_UNTIL(&rig, rig.drained[0] == rig.topology->epoch, PATIENCE_MS);
    assert_int_equal(rig.ngiven_up, 0); /* nothing that anybody had to kill */
    RIG_UNTIL(&rig, !shard_has_part(0), PATIENCE_MS);
    assert_true(rig_is_silent(&rig, fd));
    end(fd);
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    rig_expect_direct(&rig, 0, "GET", key, "old");
    rig_send(&rig, fd, "APPEND %s x", key);
    rig_expect(&rig, fd, ":4\r\n");
    mem_free(key);
    (void)close(fd);
}

static void one_whose_slot_is_another_shards_now_ends_at_once(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = begin(key);
    struct topology *next = rig_next(&rig);
    next->owner[slot_of_key(slice_of(key), RIG_SLOTS)] = 1;
    next->owner_epoch = next->epoch;
    uint64_t epoch = rig_adopt(&rig, next);
    RIG_UNTIL(&rig, rig.drained[0] == epoch && rig.drained[1] == epoch, PATIENCE_MS);
    assert_int_equal(rig.ngiven_up, 0);
    end(fd);
    rig_expect(&rig, fd, "-UNAVAILABLE ");
    rig_send(&rig, fd, "GET %s", key);
    rig_expect(&rig, fd, rig_null(&rig));
    rig_expect_direct(&rig, 0, "GET", key, "old");
    mem_free(key);
    (void)close(fd);
}

/* Marked and mirrored as a whole: in a slot with a copy nothing passes. */
static void in_a_slot_with_a_copy_it_is_kept_whole(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    int fd = rig_connect(&rig);
    rig_begin_dual_write(&rig, 0, 1);
    send_header(fd, key);
    rig_write(&rig, fd, (struct slice){value, HALF_BYTES});
    rig_turn_a_while(&rig);
    assert_false(shard_has_part(0));
    end(fd);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect_direct(&rig, 0, "STRLEN", key, ":2097152");
    assert_true(counter_read(&rig.counters.dual_writes) > 0);
    mem_free(key);
    (void)close(fd);
}

/* --- the shard hangs -------------------------------------------------------------------------- */

static void a_client_that_is_slow_is_no_fault_of_the_shard(void **state)
{
    (void)state;
    const char *key = rig_key(&rig, 0, 0);
    int fd = begin(key);
    set_timeout_ms(100);
    uint64_t until_us = loop_now_us(rig.loop) + 500000;
    RIG_UNTIL(&rig, loop_now_us(rig.loop) > until_us, PATIENCE_MS);
    set_timeout_ms(PATIENCE_MS);
    end(fd);
    rig_expect(&rig, fd, "+OK\r\n");
    (void)close(fd);
}

static void a_shard_that_takes_no_more_of_it_is_given_up(void **state)
{
    (void)state;
    const char *key = rig_key(&rig, 0, 0);
    int fd = begin(key);
    rig_signal(&rig, 0, SIGSTOP);
    set_timeout_ms(300);
    end(fd);
    rig_expect(&rig, fd, "-UN"); /* AVAILABLE, or KNOWN: if all of it fitted into the sockets */
    rig_signal(&rig, 0, SIGCONT);
    (void)close(fd);
}

/* Half of its reply is with the client, who has a connection that watches beside it. */
static void a_client_that_is_cut_off_in_its_reply_takes_its_other_connection_with_it(void **state)
{
    (void)state;
    char *key = mem_strdup(rig_key(&rig, 0, 0));
    char *words = mem_printf("SETRANGE %s %zu x", key, REPLY_BYTES - 1);
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "WATCH %s", key);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "MULTI");
    rig_send(&rig, fd, "EXEC");
    rig_expect(&rig, fd, "+OK\r\n");
    rig_expect(&rig, fd, "*0\r\n");
    expect(rig.direct[0], words, ":67108864");
    rig_write(&rig, fd, SLICE("*4\r\n$3\r\nSET\r\n"));
    char *rest = mem_printf("$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, VALUE_BYTES);
    rig_write(&rig, fd, slice_of(rest));
    rig_write(&rig, fd, (struct slice){value, VALUE_BYTES});
    rig_write(&rig, fd, SLICE("\r\n$3\r\nGET\r\n"));
    RIG_UNTIL(&rig, counter_read(&rig.counters.bytes_out) > 1000, PATIENCE_MS);
    router_expel(rig.router, "s1"); /* as a tick does that finds time-outs: it walks over both */
    assert_int_equal(counter_read(&rig.counters.clients), 0);
    mem_free(rest);
    mem_free(words);
    mem_free(key);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_IN_BOTH(it_waits_until_what_came_before_it_is_answered, start, stop),
        RIG_IN_BOTH(a_change_that_leaves_the_slot_where_it_is_does_not_wait_for_it, start, stop),
        RIG_IN_BOTH(a_whole_one_is_waited_for, start, stop),
        RIG_IN_BOTH(one_that_ends_soon_is_waited_for_when_dual_writes_begin, start_patient, stop),
        RIG_IN_BOTH(one_that_stalls_is_not_waited_for_long_when_dual_writes_begin, start_impatient,
                    stop),
        RIG_IN_BOTH(one_whose_slot_is_another_shards_now_ends_at_once, start, stop),
        RIG_IN_BOTH(in_a_slot_with_a_copy_it_is_kept_whole, start, stop),
        RIG_IN_BOTH(a_client_that_is_slow_is_no_fault_of_the_shard, start, stop),
        RIG_IN_BOTH(a_shard_that_takes_no_more_of_it_is_given_up, start, stop),
        RIG_IN_BOTH(a_client_that_is_cut_off_in_its_reply_takes_its_other_connection_with_it, start,
                    stop),
    };
    return cmocka_run_group_tests_name("upload", tests, NULL, NULL);
}
