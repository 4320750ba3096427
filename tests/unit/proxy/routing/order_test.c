/* One client's requests to one slot stay in order when a connection is lost and the slot's route
 * has changed meanwhile. */
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
#define FILL        900000u /* less than what is passed on before it is whole */
#define FILLERS_MAX 64u

static struct router_rig rig;
static int fillers[FILLERS_MAX];
static unsigned nfillers;

static int start(void **state)
{
    nfillers = 0;
    router_rig_start(&rig, &(struct rig_options){.shards = 3,
                                                 .protocol = rig_protocol_of(state),
                                                 .timeout_ms = 600000,
                                                 .wait_ms = 60000,
                                                 .store_timeout_ms = 600000,
                                                 .mirror_timeout_ms = 50});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < nfillers; i++) {
        (void)close(fillers[i]);
    }
    router_rig_stop(&rig);
    process_stop_all();
    return 0;
}

/* --- a connection that takes no more --------------------------------------------------------- */

static uint64_t written(unsigned shard)
{
    return counter_read(&rig.counters.shards[shard].bytes_out);
}

static uint64_t requests(unsigned shard)
{
    return counter_read(&rig.counters.shards[shard].requests);
}

static void send_filler(const char *key)
{
    struct buffer bytes;
    char *value = mem_alloc(FILL);
    memset(value, 'x', FILL);
    buffer_init(&bytes, SIZE_MAX);
    buffer_printf(&bytes, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%u\r\n", strlen(key), key, FILL);
    buffer_add(&bytes, value, FILL);
    buffer_add_text(&bytes, "\r\n");
    assert_true(nfillers < FILLERS_MAX);
    fillers[nfillers] = rig_connect(&rig);
    rig_write(&rig, fillers[nfillers++], buffer_slice(&bytes));
    buffer_fini(&bytes);
    mem_free(value);
}

/* It stands still, and what others have sent it fills the sockets. Returns how many bytes it would
 * have been sent if it took them. */
static uint64_t block_shard(unsigned shard)
{
    uint64_t wanted = written(shard);
    process_signal(redis_server_process(rig.servers[shard]), SIGSTOP);
    do {
        uint64_t before = requests(shard);
        send_filler(rig_key(&rig, shard, 1));
        RIG_UNTIL(&rig, requests(shard) > before, PATIENCE_MS);
        wanted += FILL;
        rig_turn_a_while(&rig);
    } while (written(shard) >= wanted);
    return wanted;
}

/* The connections are lost, as by a barrier's CLIENT KILL; then there are new ones. */
static void lose_shard(unsigned shard)
{
    char name[8];
    int fd = rig_connect(&rig);
    bool is_back = false;
    (void)snprintf(name, sizeof(name), "s%u", shard + 1);
    router_expel(rig.router, name);
    process_signal(redis_server_process(rig.servers[shard]), SIGCONT);
    for (uint64_t end_us = deadline_after_ms(PATIENCE_MS); !is_back;) {
        size_t length;
        assert_false(deadline_is_over(end_us));
        rig_send(&rig, fd, "DBSIZE"); /* asks all shards */
        char *reply = rig_reply(&rig, fd, &length);
        is_back = reply[0] == ':';
        mem_free(reply);
    }
    (void)close(fd);
}

/* As rig_enter_phase, but asks no shard. */
static void adopt_phase(enum phase phase)
{
    struct topology *next = rig_next(&rig);
    struct migration *migration = &next->migrations[0];
    migration->verified = migration->made = migration->base;
    migration_enter(next, migration, phase);
    (void)rig_adopt(&rig, next);
}

static void expect_get(int fd, const char *key, const char *value)
{
    rig_send(&rig, fd, "GET %s", key);
    rig_expect(&rig, fd, value);
}

/* Sends the first request of its client, of which no byte is written. */
static int send_unwritten(const char *first, const char *key)
{
    int fd = rig_connect(&rig);
    rig_begin_dual_write(&rig, 0, 1);
    rig_send(&rig, fd, "SET %s 0", key);
    rig_expect(&rig, fd, "+OK\r\n");
    uint64_t wanted = block_shard(0);
    uint64_t before = requests(0);
    rig_send(&rig, fd, "%s %s", first, key);
    RIG_UNTIL(&rig, requests(0) > before, PATIENCE_MS);
    adopt_phase(PHASE_HOLD);
    rig_turn_a_while(&rig);
    assert_true(written(0) < wanted);
    return fd;
}

/* --- a hold -------------------------------------------------------------------------------- */

static void stays_before_the_held(const char *first)
{
    const char *key = rig_key(&rig, 0, 0);
    int fd = send_unwritten(first, key);
    rig_send(&rig, fd, "APPEND %s 2", key);
    RIG_UNTIL(&rig, counter_read(&rig.counters.held_now) == 1, PATIENCE_MS);
    lose_shard(0);
    rig_enter_phase(&rig, PHASE_DUAL_WRITE);
    rig_expect(&rig, fd, "-UNAVAILABLE its slot was moved before it was sent; not executed");
    rig_expect(&rig, fd, ":2\r\n");
    expect_get(fd, key, "$2\r\n02\r\n");
    (void)close(fd);
}

static void an_unsent_write_does_not_run_behind_a_held_one(void **state)
{
    (void)state;
    stays_before_the_held("INCR");
}

static void an_unsent_read_does_not_run_behind_a_held_write(void **state)
{
    (void)state;
    stays_before_the_held("GET");
}

static void a_part_that_is_not_sent_does_not_run_behind_a_held_write(void **state)
{
    (void)state;
    char *first = mem_printf("DEL %s", rig_key(&rig, 1, 0));
    const char *key = rig_key(&rig, 0, 0);
    int fd = send_unwritten(first, key);
    mem_free(first);
    rig_send(&rig, fd, "APPEND %s 2", key);
    RIG_UNTIL(&rig, counter_read(&rig.counters.held_now) == 1, PATIENCE_MS);
    lose_shard(0);
    rig_enter_phase(&rig, PHASE_DUAL_WRITE);
    rig_expect(&rig, fd, "-UNKNOWN"); /* of the other key */
    rig_expect(&rig, fd, ":2\r\n");
    expect_get(fd, key, "$2\r\n02\r\n");
    (void)close(fd);
}

static void nor_behind_one_that_the_new_owner_has_executed(void **state)
{
    (void)state;
    const char *key = rig_key(&rig, 0, 0);
    char *get = mem_printf("GET %s", key);
    int fd = send_unwritten("INCR", key);
    rig_send(&rig, fd, "APPEND %s 2", key);
    RIG_UNTIL(&rig, counter_read(&rig.counters.held_now) == 1, PATIENCE_MS);
    adopt_phase(PHASE_SWITCHED);
    RIG_UNTIL(&rig, client_gets(rig.direct[1], get, "02"), PATIENCE_MS);
    lose_shard(0);
    rig_expect(&rig, fd, "-UNAVAILABLE its slot was moved before it was sent; not executed");
    rig_expect(&rig, fd, ":2\r\n");
    expect_get(fd, key, "$2\r\n02\r\n");
    mem_free(get);
    (void)close(fd);
}

static void what_nothing_follows_is_sent_after_the_hold(void **state)
{
    (void)state;
    const char *key = rig_key(&rig, 0, 0);
    int fd = send_unwritten("INCR", key);
    lose_shard(0);
    RIG_UNTIL(&rig, counter_read(&rig.counters.held_now) > 0, PATIENCE_MS);
    rig_send(&rig, fd, "APPEND %s 2", key);
    rig_enter_phase(&rig, PHASE_DUAL_WRITE);
    rig_expect(&rig, fd, ":1\r\n");
    rig_expect(&rig, fd, ":2\r\n");
    expect_get(fd, key, "$2\r\n12\r\n");
    (void)close(fd);
}

/* --- a removed shard -------------------------------------------------------------------------- */

/* The first goes, and the others move up. */
static void what_was_for_a_shard_does_not_go_to_the_one_in_its_place(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    struct topology *next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] = next->owner[slot] == 0 ? 2 : next->owner[slot];
    }
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    expect(rig.direct[2], "SET old 1", "+OK");
    uint64_t wanted = block_shard(1);
    rig_send(&rig, fd, "FLUSHALL");
    RIG_UNTIL(&rig, client_gets(rig.direct[2], "EXISTS old", ":0"), PATIENCE_MS);
    expect(rig.direct[2], "SET new 1", "+OK");
    assert_true(written(1) < wanted);
    next = rig_next(&rig);
    topology_remove_shard(next, 0);
    (void)rig_adopt(&rig, next);
    lose_shard(1);
    rig_expect(&rig, fd, "-UNKNOWN ");
    expect(rig.direct[2], "GET new", "1");
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_IN_BOTH(an_unsent_write_does_not_run_behind_a_held_one, start, stop),
        RIG_IN_BOTH(an_unsent_read_does_not_run_behind_a_held_write, start, stop),
        RIG_IN_BOTH(a_part_that_is_not_sent_does_not_run_behind_a_held_write, start, stop),
        RIG_IN_BOTH(nor_behind_one_that_the_new_owner_has_executed, start, stop),
        RIG_IN_BOTH(what_nothing_follows_is_sent_after_the_hold, start, stop),
        RIG_IN_BOTH(what_was_for_a_shard_does_not_go_to_the_one_in_its_place, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
