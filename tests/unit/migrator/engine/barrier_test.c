#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/store/store_internal.h"
#include "migrator/engine/barrier.h"
#include "tests/support/ask.h"
#include "tests/support/test_store.h"

#define CLUSTER    "0123456789abcdef0123456789abcdef"
#define TIMEOUT_MS 60000

static struct redis_server *server;
static struct test_store test;
static struct shard_link *link_;
static unsigned asked;

static int start(void **state)
{
    (void)state;
    script_init();
    server = redis_server_start_in_memory();
    test_store_init(&test);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_store_fini(&test);
    redis_server_stop(server);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    link_ = ask_open(server);
    expect_ask(link_, "FLUSHALL", "+OK");
    assert_int_equal(fence_write(link_, FENCE_WRITE_FIRST, CLUSTER, "s1", 5, NULL), FENCE_OK);
    asked = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_close(link_);
    return 0;
}

/* A proxy's connection: named, and past hello at epoch 5. */
static struct shard_link *peer_open(const char *peer)
{
    char text[96];
    struct shard_link *connection = ask_open(server);
    (void)snprintf(text, sizeof(text), "CLIENT SETNAME sluice:%s", peer);
    expect_ask(connection, text, "+OK");
    char *id = ask(connection, "CLIENT ID");
    (void)snprintf(text, sizeof(text), "$ 5 %s %s", peer, id + 1);
    expect_script(connection, SCRIPT_HELLO, METADATA_FENCE, text, "+OK");
    mem_free(id);
    return connection;
}

static void publish(struct shard_link *connection, const char *peer, unsigned epoch)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "$ %u %s", epoch, peer);
    expect_script(connection, SCRIPT_PUBLISH, METADATA_FENCE, text, "+OK");
}

static void keep_alive(const char *id, const char *incarnation)
{
    struct store_member member = {.kind = "proxy"};
    (void)snprintf(member.id, sizeof(member.id), "%s", id);
    (void)snprintf(member.incarnation, sizeof(member.incarnation), "%s", incarnation);
    assert_true(store_renew(test.store, &member, NULL));
}

static bool go_on(void *context)
{
    struct shard_link **late = context;
    /* The slow peer publishes while the barrier waits for it. */
    if (++asked == 20 && late != NULL) {
        publish(*late, "slow:02", 9);
    }
    return true;
}

static bool come_back(void *context)
{
    if (++asked == 1) {
        keep_alive("back", "07");
    } else if (asked == 20) {
        publish(context, "back:07", 9);
    }
    return true;
}

static struct barrier make(uint64_t epoch, struct shard_link **late)
{
    return (struct barrier){.link = link_,
                            .identity = shard_link_identity(link_),
                            .store = test.store,
                            .epoch = epoch,
                            .timeout_ms = TIMEOUT_MS,
                            .may_go_on = go_on,
                            .context = late};
}

static void finish(struct barrier *barrier)
{
    struct error err = {""};
    enum fence_outcome outcome = barrier_run(barrier, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(outcome, FENCE_OK);
}

static struct barrier run(uint64_t epoch, struct shard_link **late)
{
    struct barrier barrier = make(epoch, late);
    finish(&barrier);
    return barrier;
}

static void without_peers_it_only_raises_the_fence(void **state)
{
    (void)state;
    struct barrier barrier = run(9, NULL);
    assert_int_equal(barrier.killed, 0);
    expect_ask(link_, "HGET " METADATA_FENCE " epoch", "9");
}

static void a_late_one_does_not_lower_the_fence(void **state)
{
    (void)state;
    (void)run(9, NULL);
    (void)run(7, NULL);
    expect_ask(link_, "HGET " METADATA_FENCE " epoch", "9");
}

static void a_peer_that_has_published_is_left_alone(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("good:01");
    publish(peer, "good:01", 9);
    struct barrier barrier = run(9, NULL);
    assert_int_equal(barrier.killed, 0);
    expect_ask(peer, "PING", "+PONG");
    shard_close(peer);
}

static void a_peer_nobody_knows_to_be_alive_is_killed_before_its_time(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("gone:01");
    struct barrier barrier = run(9, NULL);
    assert_int_equal(barrier.killed, 1);
    assert_string_equal(barrier.killed_names, "gone:01");
    assert_true(barrier.took_us < TIMEOUT_MS * 1000);
    assert_null(shard_commandf(peer, NULL, "PING"));
    expect_ask(link_, "HEXISTS " METADATA_FENCE " peer:gone:01", ":0");
    shard_close(peer);
}

static void a_live_peer_that_is_slow_is_waited_for(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("slow:02");
    keep_alive("slow", "02");
    struct barrier barrier = run(9, &peer);
    assert_int_equal(barrier.killed, 0);
    assert_true(asked >= 20);
    expect_ask(peer, "PING", "+PONG");
    shard_close(peer);
}

// field lesson: one dead proxy blocked every move, and failover too
static void a_live_peer_that_hangs_is_killed_after_the_timeout(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("hung:03");
    keep_alive("hung", "03");
    struct barrier barrier = make(9, NULL);
    barrier.timeout_ms = 50;
    finish(&barrier);
    assert_int_equal(barrier.killed, 1);
    assert_true(barrier.took_us >= barrier.timeout_ms * 1000);
    assert_null(shard_commandf(peer, NULL, "PING"));
    shard_close(peer);
}

/* A crashed incarnation's successor has its lease; the old one is another peer. */
static void an_old_incarnation_is_not_alive_because_its_successor_is(void **state)
{
    (void)state;
    struct shard_link *old = peer_open("p:0a");
    keep_alive("p", "0b");
    struct barrier barrier = run(9, NULL);
    assert_int_equal(barrier.killed, 1);
    assert_true(barrier.took_us < TIMEOUT_MS * 1000);
    shard_close(old);
}

/* In a hold: undoing it costs a wait, killing costs errors. */
static void a_live_peer_that_is_slow_can_be_spared(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("slow:04");
    keep_alive("slow", "04");
    struct barrier barrier = make(9, NULL);
    barrier.timeout_ms = 50;
    barrier.spares_the_living = true;
    finish(&barrier);
    assert_true(barrier.was_interrupted);
    assert_int_equal(barrier.killed, 0);
    expect_ask(peer, "PING", "+PONG");
    shard_close(peer);
}

static void nobody_spares_the_dead(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("gone:05");
    struct barrier barrier = make(9, NULL);
    barrier.spares_the_living = true;
    finish(&barrier);
    assert_false(barrier.was_interrupted);
    assert_int_equal(barrier.killed, 1);
    shard_close(peer);
}

/* A proxy whose lease ran out while the store was away is back in the list a moment later. */
static void a_peer_that_is_missing_may_come_back(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("back:07");
    struct barrier barrier = make(9, NULL);
    barrier.may_go_on = come_back;
    barrier.context = peer;
    finish(&barrier);
    assert_int_equal(barrier.killed, 0);
    expect_ask(peer, "PING", "+PONG");
    shard_close(peer);
}

/* Its members operation alone is another one. */
static void with_members(bool (*members)(struct store *, struct store_member **, unsigned *,
                                         struct error *),
                         struct barrier *barrier)
{
    const struct store_operations *operations = test.store->operations;
    struct store_operations changed = *operations;
    changed.members = members;
    test.store->operations = &changed;
    finish(barrier);
    test.store->operations = operations;
}

static bool no_members(struct store *store, struct store_member **members, unsigned *count,
                       struct error *err)
{
    (void)store;
    (void)members;
    (void)count;
    return error_set(err, "the store is away");
}

static void while_the_store_is_away_everybody_may_live(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("slow:08");
    struct barrier barrier = make(9, NULL);
    barrier.timeout_ms = 50;
    barrier.spares_the_living = true;
    with_members(no_members, &barrier);
    assert_true(barrier.was_interrupted);
    assert_int_equal(barrier.killed, 0);
    shard_close(peer);
}

static struct shard_link *prompt; /* publishes while the store takes its time */

static bool slow_members(struct store *store, struct store_member **members, unsigned *count,
                         struct error *err)
{
    publish(prompt, "good:09", 9);
    clock_sleep_ms(200);
    return no_members(store, members, count, err);
}

static void a_slow_store_makes_nobody_late(void **state)
{
    (void)state;
    prompt = peer_open("good:09");
    struct barrier barrier = make(9, NULL);
    barrier.timeout_ms = 100;
    with_members(slow_members, &barrier);
    assert_int_equal(barrier.killed, 0);
    expect_ask(prompt, "PING", "+PONG");
    shard_close(prompt);
}

static struct barrier make_roll_call(struct shard_link **late)
{
    struct barrier barrier = make(9, late);
    barrier.is_roll_call = true;
    barrier.spares_the_living = true;
    return barrier;
}

static void a_roll_call_waits_for_the_living_and_raises_nothing(void **state)
{
    (void)state;
    struct shard_link *slow = peer_open("slow:02");
    keep_alive("slow", "02");
    struct barrier barrier = make_roll_call(&slow);
    finish(&barrier);
    assert_int_equal(asked, 20); /* when it published */
    assert_false(barrier.was_interrupted);
    expect_ask(link_, "HGET " METADATA_FENCE " epoch", "5");
    expect_ask(slow, "PING", "+PONG");
    shard_close(slow);
}

/* It would be in the way of the hold's barrier. */
static void a_roll_call_removes_who_is_gone_whatever_it_has_published(void **state)
{
    (void)state;
    struct shard_link *gone = peer_open("gone:06");
    publish(gone, "gone:06", 9);
    struct barrier barrier = make_roll_call(NULL);
    finish(&barrier);
    assert_int_equal(barrier.killed, 1);
    expect_ask(link_, "HEXISTS " METADATA_FENCE " peer:gone:06", ":0");
    shard_close(gone);
}

static void a_roll_call_ends_although_somebody_does_not_answer(void **state)
{
    (void)state;
    struct shard_link *peer = peer_open("hung:03");
    keep_alive("hung", "03");
    struct barrier barrier = make_roll_call(NULL);
    barrier.timeout_ms = 50;
    finish(&barrier);
    assert_true(barrier.took_us >= barrier.timeout_ms * 1000);
    expect_ask(peer, "PING", "+PONG");
    shard_close(peer);
}

static void an_emptied_shard_is_unfenced(void **state)
{
    (void)state;
    struct barrier barrier = make(9, NULL);
    struct error err;
    expect_ask(link_, "FLUSHALL", "+OK");
    assert_int_equal(barrier_run(&barrier, &err), FENCE_UNFENCED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_peers_it_only_raises_the_fence),
        TEST(a_late_one_does_not_lower_the_fence),
        TEST(a_peer_that_has_published_is_left_alone),
        TEST(a_peer_nobody_knows_to_be_alive_is_killed_before_its_time),
        TEST(a_live_peer_that_is_slow_is_waited_for),
        TEST(a_live_peer_that_hangs_is_killed_after_the_timeout),
        TEST(an_old_incarnation_is_not_alive_because_its_successor_is),
        TEST(a_live_peer_that_is_slow_can_be_spared),
        TEST(nobody_spares_the_dead),
        TEST(a_peer_that_is_missing_may_come_back),
        TEST(while_the_store_is_away_everybody_may_live),
        TEST(a_slow_store_makes_nobody_late),
        TEST(a_roll_call_waits_for_the_living_and_raises_nothing),
        TEST(a_roll_call_removes_who_is_gone_whatever_it_has_published),
        TEST(a_roll_call_ends_although_somebody_does_not_answer),
        TEST(an_emptied_shard_is_unfenced),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
