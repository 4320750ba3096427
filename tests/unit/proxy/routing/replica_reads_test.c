/* Which reads a replica answers, and what becomes of those that it must not. The replica here is a
 * server of its own with the shard's fence in it, so that each answer tells who gave it. */
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

#define PATIENCE_MS  60000
#define LONG_LAG_MS  60000
#define SHORT_LAG_MS 300
#define PIPELINED    50
#define REPLICA      "$7\r\nreplica\r\n"
#define PRIMARY      "$7\r\nprimary\r\n"

static struct router_rig rig;
static struct redis_server *replica; /* of s1 */
static struct client *direct;        /* to it */
static const char *key;              /* of s1 */
static int fd;                       /* a client */

/* --- the replica ------------------------------------------------------------------------------ */

static void write_fence(const char *run_id, uint64_t epoch)
{
    char command[256];
    (void)snprintf(command, sizeof(command),
                   "HSET " METADATA_FENCE " run_id %s replid %s epoch %llu", run_id,
                   rig.topology->shards[0].identity.replid, (unsigned long long)epoch);
    mem_free(client_ask(direct, command));
}

static void start_replica(void)
{
    replica = redis_server_start(NULL);
    direct = client_connect(redis_server_port(replica));
    write_fence(rig.topology->shards[0].identity.run_id, 1);
}

static int start_with_lag(void **state, uint64_t lag_max_ms)
{
    char command[64];
    router_rig_start(&rig, &(struct rig_options){.shards = 2,
                                                 .protocol = rig_protocol_of(state),
                                                 .timeout_ms = PATIENCE_MS,
                                                 .replica_lag_max_ms = lag_max_ms});
    start_replica();
    static char name[32];
    (void)snprintf(name, sizeof(name), "%s", rig_key(&rig, 0, 0));
    key = name;
    (void)snprintf(command, sizeof(command), "SET %s primary", key);
    expect(rig.direct[0], command, "+OK");
    (void)snprintf(command, sizeof(command), "SET %s replica", key);
    expect(direct, command, "+OK");
    fd = rig_connect(&rig);
    return 0;
}

static int start(void **state)
{
    return start_with_lag(state, LONG_LAG_MS);
}

static int start_short(void **state)
{
    return start_with_lag(state, SHORT_LAG_MS);
}

static int stop(void **state)
{
    (void)state;
    (void)close(fd);
    router_rig_stop(&rig);
    client_close(direct);
    redis_server_stop(replica);
    process_stop_all();
    return 0;
}

/* As the control thread would tell. */
static void tell(uint64_t epoch, uint64_t level_us)
{
    struct error err;
    struct replica_list *list = mem_zalloc(sizeof(*list) + sizeof(list->places[0]));
    list->epoch = epoch;
    list->count = 1;
    list->places[0].level_us = level_us;
    list->places[0].is_chosen = true;
    assert_true(
        endpoint_resolve(&list->places[0].endpoint, "127.0.0.1", redis_server_port(replica), &err));
    router_take_replicas(rig.router, list);
}

static void tell_level(void)
{
    tell(rig.topology->epoch, clock_now_us());
}

static uint64_t answered(void)
{
    return counter_read(&rig.counters.replicas[0].answered);
}

/* Proofs count, too. */
static uint64_t asked(void)
{
    return counter_read(&rig.counters.replicas[0].connections.requests);
}

static uint64_t resent(void)
{
    return counter_read(&rig.counters.replicas[0].resent);
}

/* The replica is told level over and over until it has answered. */
static void wait_for_replica(void)
{
    uint64_t before = answered();
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (answered() == before) {
        assert_false(deadline_is_over(deadline_us));
        tell_level();
        rig_send(&rig, fd, "GET %s", key);
        rig_expect(&rig, fd, "$7\r\n");
    }
}

static void expect_get(const char *reply)
{
    rig_send(&rig, fd, "GET %s", key);
    rig_expect(&rig, fd, reply);
}

static void expect_replies(unsigned count, const char *reply)
{
    for (unsigned i = 0; i < count; i++) {
        rig_expect(&rig, fd, reply);
    }
}

/* Over and over, though the replica is told level each time. */
static void expect_the_primary_only(void)
{
    for (unsigned i = 0; i < PIPELINED; i++) {
        tell_level();
        expect_get(PRIMARY);
    }
}

static void hang(bool hangs)
{
    process_signal(redis_server_process(replica), hangs ? SIGSTOP : SIGCONT);
}

/* The replica hangs, and so many reads are under way to it. */
static void hang_with_reads(unsigned count)
{
    hang(true);
    uint64_t before = asked();
    for (unsigned i = 0; i < count; i++) {
        rig_send(&rig, fd, "GET %s", key);
    }
    RIG_UNTIL(&rig, asked() > before, PATIENCE_MS);
}

/* On the replica. */
static bool was_called(const char *command)
{
    char label[64];
    (void)snprintf(label, sizeof(label), "\ncmdstat_%s:", command);
    char *text = client_ask(direct, "INFO commandstats");
    bool was = strstr(text, label) != NULL;
    mem_free(text);
    return was;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_replica_that_is_level_answers_reads_and_nothing_else(void **state)
{
    (void)state;
    expect_get(PRIMARY);
    wait_for_replica();
    expect_get(REPLICA);
    rig_send(&rig, fd, "STRLEN %s", key);
    rig_expect(&rig, fd, ":7\r\n");
    rig_send(&rig, fd, "APPEND %s !", key);
    rig_expect(&rig, fd, ":8\r\n");
    expect_get(REPLICA);
    rig_send(&rig, fd, "EVAL return(redis.call('get',KEYS[1])) 1 %s", key);
    rig_expect(&rig, fd, "$8\r\nprimary!\r\n");
    rig_send(&rig, fd, "HSCAN %s 0", rig_key(&rig, 0, 1));
    rig_expect(&rig, fd, "*2\r\n$1\r\n0\r\n*0\r\n");
    rig_send(&rig, fd, "PFCOUNT %s", rig_key(&rig, 0, 1));
    rig_expect(&rig, fd, ":0\r\n");
    rig_send(&rig, fd, "OBJECT ENCODING %s", key);
    rig_expect(&rig, fd, "$3\r\nraw\r\n");
    assert_true(was_called("strlen"));
    assert_false(was_called("hscan"));
    assert_false(was_called("pfcount"));
    assert_false(was_called("object|encoding"));
}

static void commands_with_keys_of_both_shards_are_cut_as_ever(void **state)
{
    char whole[256];
    (void)state;
    const char *other = rig_key(&rig, 1, 0), *missing = rig_key(&rig, 0, 1);
    wait_for_replica();
    rig_send(&rig, fd, "SET %s elsewhere", other);
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "MGET %s %s %s", other, key, missing);
    (void)snprintf(whole, sizeof(whole), "*3\r\n$9\r\nelsewhere\r\n" REPLICA "%s", rig_null(&rig));
    rig_expect(&rig, fd, whole);
    rig_send(&rig, fd, "MGET %s %s", key, key); /* goes as it came */
    rig_expect(&rig, fd, "*2\r\n" REPLICA REPLICA);
    rig_send(&rig, fd, "EXISTS %s %s %s", other, key, missing);
    rig_expect(&rig, fd, ":2\r\n");
    rig_send(&rig, fd, "TOUCH %s", key);
    rig_expect(&rig, fd, ":1\r\n");
    assert_false(was_called("touch"));
}

static void what_is_read_in_a_transaction_or_under_watch_is_the_primary_s(void **state)
{
    (void)state;
    wait_for_replica();
    rig_send(&rig, fd, "WATCH %s", key);
    rig_expect(&rig, fd, "+OK\r\n");
    expect_get(PRIMARY);
    rig_send(&rig, fd, "MULTI");
    rig_expect(&rig, fd, "+OK\r\n");
    expect_get("+QUEUED\r\n");
    rig_send(&rig, fd, "EXEC");
    rig_expect(&rig, fd, "*1\r\n" PRIMARY);
    expect_get(REPLICA);
}

static void replies_keep_their_order_and_their_size(void **state)
{
    static char large[300000];
    char name[32];
    (void)state;
    wait_for_replica();
    (void)snprintf(name, sizeof(name), "%s", rig_key(&rig, 0, 2));
    memset(large, 'x', sizeof(large));
    const char *argv[] = {"SET", name, large};
    const size_t lengths[] = {3, strlen(name), sizeof(large)};
    mem_free(client_ask_argv(direct, 3, argv, lengths));
    for (unsigned i = 0; i < PIPELINED; i++) {
        rig_send(&rig, fd, "GET %s", i % 3 == 0 ? name : key);
        rig_send(&rig, fd, "INCR %s", rig_key(&rig, i % 2, 3));
    }
    for (unsigned i = 0; i < PIPELINED; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), ":%u\r\n", i / 2 + 1);
        rig_expect(&rig, fd, i % 3 == 0 ? "$300000\r\nxxxxxxxx" : REPLICA);
        rig_expect(&rig, fd, number);
    }
}

static void a_replica_with_another_fence_proves_nothing(void **state)
{
    static const char *const others[] = {
        ("HSET " METADATA_FENCE " epoch 1000"), /* a barrier of a topology that we do not know */
        ("HSET " METADATA_FENCE " run_id ffffffffffffffffffffffffffffffffffffffff"),
        ("DEL " METADATA_FENCE),
    };
    (void)state;
    wait_for_replica();
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        mem_free(client_ask(direct, others[i]));
        expect_get(PRIMARY);
        write_fence(rig.topology->shards[0].identity.run_id, rig.topology->epoch);
        wait_for_replica();
    }
    expect(direct, "SET " METADATA_FENCE " string", "+OK");
    expect_get(PRIMARY);
    uint64_t before = resent();
    assert_true(before >= 4);
    expect_get(PRIMARY); /* it is not even asked */
    assert_int_equal(resent(), before);
}

static void a_replica_that_is_not_known_to_be_level_is_not_asked(void **state)
{
    (void)state;
    wait_for_replica();
    uint64_t before = answered() + resent();
    tell(rig.topology->epoch, 0);
    expect_get(PRIMARY);
    tell(rig.topology->epoch, clock_now_us() - (uint64_t)LONG_LAG_MS * 1000);
    expect_get(PRIMARY);
    tell(rig.topology->epoch + 1,
         clock_now_us()); /* of an epoch that is not adopted: nothing new */
    expect_get(PRIMARY);
    assert_int_equal(answered() + resent(), before);
    tell_level();
    expect_get(REPLICA);
}

static void what_was_level_is_not_asked_for_ever(void **state)
{
    (void)state;
    wait_for_replica();
    uint64_t now = clock_now_us();
    RIG_UNTIL(&rig, clock_now_us() > now + SHORT_LAG_MS * 1000, PATIENCE_MS);
    uint64_t before = answered() + resent();
    expect_get(PRIMARY);
    assert_int_equal(answered() + resent(), before);
}

/* It was level before its process, or the connection, was another one. */
static void what_was_level_before_the_connection_stood_may_be_another_process(void **state)
{
    char command[64];
    (void)state;
    uint64_t long_ago = clock_now_us();
    wait_for_replica();
    uint64_t connects = counter_read(&rig.counters.replicas[0].connections.connects);
    redis_server_kill(replica);
    expect_get(PRIMARY);
    redis_server_restart(replica, false);
    client_close(direct);
    direct = client_connect(redis_server_port(replica));
    (void)snprintf(command, sizeof(command), "GET %s", key);
    expect(direct, command, "replica");
    tell(rig.topology->epoch, long_ago);
    RIG_UNTIL(&rig, counter_read(&rig.counters.replicas[0].connections.connects) > connects,
              PATIENCE_MS);
    for (unsigned i = 0; i < PIPELINED; i++) {
        expect_get(PRIMARY);
    }
    wait_for_replica();
}

static void an_error_of_a_replica_is_nobody_s_answer(void **state)
{
    (void)state;
    wait_for_replica();
    rig_send(&rig, fd, "HGET %s field", key);
    rig_expect(&rig, fd, "-WRONGTYPE");
    assert_int_equal(resent(), 1);
    expect(direct, "CONFIG SET requirepass secret", "+OK");
    expect(direct, "CLIENT KILL TYPE normal", ":1");
    expect_get(PRIMARY);
}

static void slots_in_a_migration_are_read_from_their_owner(void **state)
{
    (void)state;
    wait_for_replica();
    rig_begin_dual_write(&rig, 0, 1);
    write_fence(rig.topology->shards[0].identity.run_id, rig.topology->epoch);
    expect_the_primary_only();
    rig_enter_phase(&rig, PHASE_ABORTING);
    expect_the_primary_only();
    struct topology *next = rig_next(&rig);
    migration_close(next, &next->migrations[0], -1);
    (void)rig_adopt(&rig, next);
    expect_get(PRIMARY); /* until a list of this epoch has come */
    write_fence(rig.topology->shards[0].identity.run_id, rig.topology->epoch);
    wait_for_replica();
    expect_get(REPLICA);
}

/* What it would say after the adoption may be about a slot that has moved on. */
static void an_adoption_takes_what_is_under_way_from_the_replica(void **state)
{
    (void)state;
    wait_for_replica();
    hang_with_reads(PIPELINED);
    (void)rig_adopt(&rig, rig_next(&rig));
    expect_replies(PIPELINED, PRIMARY);
    assert_true(resent() > 0);
    hang(false);
    expect_get(PRIMARY);
}

static void a_replica_that_dies_or_goes_leaves_its_reads_to_the_primary(void **state)
{
    (void)state;
    wait_for_replica();
    hang_with_reads(1);
    redis_server_kill(replica);
    rig_expect(&rig, fd, PRIMARY);
    expect_get(PRIMARY);
    redis_server_restart(replica, false);
    wait_for_replica();
    hang_with_reads(1);
    struct replica_list *none = mem_zalloc(sizeof(*none));
    none->epoch = rig.topology->epoch;
    router_take_replicas(rig.router, none);
    rig_expect(&rig, fd, PRIMARY);
    hang(false);
}

/* An answer is as old as the replica was when it was asked, however late it comes. */
static void a_replica_that_hangs_is_done_without(void **state)
{
    (void)state;
    wait_for_replica();
    hang(true);
    uint64_t before = resent();
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (resent() == before) {
        assert_false(deadline_is_over(deadline_us));
        tell_level();
        expect_get(PRIMARY);
    }
    hang(false);
    wait_for_replica();
}

static void clients_may_go_while_a_replica_is_asked(void **state)
{
    (void)state;
    int other = rig_connect(&rig);
    wait_for_replica();
    hang_with_reads(PIPELINED);
    rig_send(&rig, other, "CLIENT KILL TYPE normal");
    rig_expect(&rig, other, ":1\r\n");
    uint64_t told = answered() + resent();
    hang(false);
    RIG_UNTIL(&rig, answered() + resent() > told, PATIENCE_MS);
    (void)close(fd);
    fd = other;
    wait_for_replica();
}

static void the_policy_may_change_at_any_time(void **state)
{
    (void)state;
    struct router_tuning tuning = {.shard_timeout_us = (uint64_t)PATIENCE_MS * 1000,
                                   .connect_timeout_us = 2000000,
                                   .wait_max_us = 2000000,
                                   .queue_max = UINT64_MAX};
    wait_for_replica();
    hang_with_reads(1);
    router_tune(rig.router, &tuning);
    rig_expect(&rig, fd, PRIMARY);
    hang(false);
    tell_level();
    expect_get(PRIMARY);
    tuning.replica_lag_max_us = (uint64_t)LONG_LAG_MS * 1000;
    router_tune(rig.router, &tuning);
    wait_for_replica();
    expect_get(REPLICA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_IN_BOTH(a_replica_that_is_level_answers_reads_and_nothing_else, start, stop),
        RIG_IN_BOTH(commands_with_keys_of_both_shards_are_cut_as_ever, start, stop),
        RIG_IN_BOTH(what_is_read_in_a_transaction_or_under_watch_is_the_primary_s, start, stop),
        RIG_IN_BOTH(replies_keep_their_order_and_their_size, start, stop),
        RIG_IN_BOTH(a_replica_with_another_fence_proves_nothing, start, stop),
        RIG_IN_BOTH(a_replica_that_is_not_known_to_be_level_is_not_asked, start, stop),
        RIG_IN_BOTH(what_was_level_is_not_asked_for_ever, start_short, stop),
        RIG_IN_BOTH(what_was_level_before_the_connection_stood_may_be_another_process, start, stop),
        RIG_IN_BOTH(an_error_of_a_replica_is_nobody_s_answer, start, stop),
        RIG_IN_BOTH(slots_in_a_migration_are_read_from_their_owner, start, stop),
        RIG_IN_BOTH(an_adoption_takes_what_is_under_way_from_the_replica, start, stop),
        RIG_IN_BOTH(a_replica_that_dies_or_goes_leaves_its_reads_to_the_primary, start, stop),
        RIG_IN_BOTH(a_replica_that_hangs_is_done_without, start_short, stop),
        RIG_IN_BOTH(clients_may_go_while_a_replica_is_asked, start, stop),
        RIG_IN_BOTH(the_policy_may_change_at_any_time, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
