/* A client's connections for publish/subscribe: which shards they go to, when they count as there,
 * and where what comes on them goes in between replies. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "proxy/client/client_internal.h"
#include "tests/support/router_rig.h"

#define PATIENCE_MS 60000
#define LARGE       ((size_t)24 << 20) /* many turns of the loop */

static struct router_rig rig;

static int start(void **state)
{
    (void)state;
    router_rig_start(&rig, &(struct rig_options){.shards = 3, .timeout_ms = 60000});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    router_rig_stop(&rig);
    process_stop_all();
    return 0;
}

/* The third shard out of the topology; what it is, to be added again. Its names are borrowed. */
static void take_third_out(void)
{
    struct topology *next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] %= 2;
    }
    topology_remove_shard(next, 2);
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
}

static uint64_t put_back(const struct topology_shard *shard)
{
    struct topology *next = rig_next(&rig);
    (void)topology_add_shard(next, shard);
    next->owner_epoch = next->epoch;
    return rig_adopt(&rig, next);
}

static bool hears(unsigned shard)
{
    return client_gets(rig.direct[shard], "PUBSUB NUMSUB a", "[a, :1]");
}

/* --- confirming ------------------------------------------------------------------------------- */

static void a_subscription_is_confirmed_when_every_shard_has_it(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "SUBSCRIBE a");
    assert_true(rig_is_silent(&rig, fd));
    expect(rig.direct[0], "PUBLISH a early", ":1");
    assert_true(rig_is_silent(&rig, fd)); /* nothing before the confirmation */
    rig_signal(&rig, 1, SIGCONT);
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    rig_expect(&rig, fd, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nearly\r\n");
    assert_true(hears(0) && hears(1) && hears(2));
    (void)close(fd);
}

static void a_shard_that_hangs_does_not_keep_a_subscriber_for_ever(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_signal(&rig, 1, SIGSTOP);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"); /* after wait_max */
    rig_signal(&rig, 1, SIGCONT);
    RIG_UNTIL(&rig, hears(1), PATIENCE_MS);
    expect(rig.direct[1], "PUBLISH a x", ":1");
    rig_expect(&rig, fd, "*3\r\n$7\r\nmessage\r\n");
    (void)close(fd);
}

static void nothing_comes_after_an_unsubscribe(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    rig_send(&rig, fd, "SUBSCRIBE b");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    rig_signal(&rig, 1, SIGSTOP); /* it will hear of it late, after the message */
    int is_written = 0;
    assert_int_equal(redisAppendCommand(client_context(rig.direct[1]), "PUBLISH a x"), REDIS_OK);
    assert_int_equal(redisBufferWrite(client_context(rig.direct[1]), &is_written), REDIS_OK);
    rig_send(&rig, fd, "UNSUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"); /* after wait_max */
    rig_signal(&rig, 1, SIGCONT);
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(client_context(rig.direct[1]), (void **)&reply), REDIS_OK);
    assert_int_equal(reply->integer, 1);
    freeReplyObject(reply);
    expect(rig.direct[1], "PUBLISH b y", ":1");
    rig_expect(&rig, fd, "*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n");
    (void)close(fd);
}

/* --- the topology changes --------------------------------------------------------------------- */

static void an_epoch_with_a_new_shard_is_drained_when_its_subscribers_are_there(void **state)
{
    (void)state;
    struct topology_shard third = rig.topology->shards[2];
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    take_third_out();
    RIG_UNTIL(&rig, !hears(2), PATIENCE_MS);
    uint64_t epoch = put_back(&third);
    RIG_UNTIL(&rig, rig.drained[0] == epoch, PATIENCE_MS);
    assert_true(hears(2));
    (void)close(fd);
}

static void a_new_shard_that_hangs_does_not_hold_an_epoch_up(void **state)
{
    (void)state;
    struct topology_shard third = rig.topology->shards[2];
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    take_third_out();
    rig_signal(&rig, 2, SIGSTOP);
    uint64_t before = rig.drained[0];
    uint64_t epoch = put_back(&third);
    uint64_t began_us = clock_now_us();
    rig_turn(&rig);
    assert_int_equal(rig.drained[0], before);
    RIG_UNTIL(&rig, rig.drained[0] == epoch, 1000);
    assert_true(clock_now_us() - began_us >= 150000);
    rig_signal(&rig, 2, SIGCONT);
    RIG_UNTIL(&rig, hears(2), PATIENCE_MS);
    (void)close(fd);
}

static void a_connection_that_is_lost_is_made_anew(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    expect(rig.direct[1], "CLIENT KILL TYPE pubsub", ":1");
    RIG_UNTIL(&rig, counter_read(&rig.counters.subscription_breaks) == 1, PATIENCE_MS);
    RIG_UNTIL(&rig, hears(1), PATIENCE_MS);
    expect(rig.direct[1], "PUBLISH a x", ":1");
    rig_expect(&rig, fd, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    (void)close(fd);
}

static void a_shard_that_lost_its_fence_is_left(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "*3\r\n$9\r\nsubscribe\r\n");
    expect(rig.direct[1], "FLUSHALL", "+OK");
    router_expel(rig.router, "s2");
    RIG_UNTIL(&rig, !hears(1), PATIENCE_MS);
    RIG_UNTIL(&rig, rig.unfenced > 0, PATIENCE_MS);
    assert_false(hears(1));
    (void)close(fd);
}

/* --- publishing ------------------------------------------------------------------------------- */

static bool has_published(unsigned shard)
{
    char *stats = client_ask(rig.direct[shard], "INFO commandstats");
    bool has = strstr(stats, "cmdstat_publish:") != NULL;
    mem_free(stats);
    return has;
}

/* Not everybody may listen yet where no slot is. */
static void a_message_goes_to_the_shard_of_its_slot(void **state)
{
    (void)state;
    struct topology *next = rig_next(&rig);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        next->owner[slot] = slot == slot_of_key(SLICE("acct"), RIG_SLOTS) ? 2 : 1;
    }
    next->owner_epoch = next->epoch;
    (void)rig_adopt(&rig, next);
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "PUBLISH {acct}:events x");
    rig_expect(&rig, fd, ":0\r\n");
    assert_true(!has_published(0) && !has_published(1) && has_published(2));
    expect(rig.direct[2], "CONFIG RESETSTAT", "+OK");
    rig_send(&rig, fd, "MULTI");
    rig_expect(&rig, fd, "+OK\r\n");
    rig_send(&rig, fd, "PUBLISH {acct}:events x");
    rig_expect(&rig, fd, "+QUEUED\r\n");
    rig_send(&rig, fd, "EXEC");
    rig_expect(&rig, fd, "*1\r\n:0\r\n");
    assert_true(!has_published(0) && !has_published(1) && has_published(2));
    (void)close(fd);
}

/* --- refusals and limits ---------------------------------------------------------------------- */

static void a_shard_that_refuses_tells_the_client(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    expect(rig.direct[1], "ACL SETUSER default resetchannels &b*", "+OK");
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, "-NOPERM ");
    size_t length;
    char *reply = rig_reply(&rig, fd, &length);
    assert_string_equal(reply, "closed");
    mem_free(reply);
    assert_int_equal(counter_read(&rig.counters.subscribers), 0);
    (void)close(fd);
}

/* --- between replies -------------------------------------------------------------------------- */

static bool is_in_a_reply(const struct client *client)
{
    return client->first != NULL && client->first->has_begun;
}

/* In RESP3 a subscriber asks other things as well. */
static void a_message_does_not_come_inside_a_reply(void **state)
{
    (void)state;
    int fd = rig_connect(&rig);
    const char *key = rig_key(&rig, 0, 0);
    char *value = mem_alloc(LARGE);
    memset(value, 'v', LARGE);
    const char *set[] = {"SET", key, value};
    mem_free(client_ask_argv(rig.direct[0], 3, set, (const size_t[]){3, strlen(key), LARGE}));
    rig_send(&rig, fd, "PING");
    rig_expect(&rig, fd, "+PONG\r\n");
    rig.clients.first->protocol = 3;
    rig_send(&rig, fd, "SUBSCRIBE a");
    rig_expect(&rig, fd, ">3\r\n$9\r\nsubscribe\r\n");
    rig_send(&rig, fd, "GET %s", key);
    RIG_UNTIL(&rig, is_in_a_reply(rig.clients.first), PATIENCE_MS);
    expect(rig.direct[1], "PUBLISH a x", ":1");
    RIG_UNTIL(&rig, counter_read(&rig.counters.messages) == 1, PATIENCE_MS);
    assert_true(is_in_a_reply(rig.clients.first)); /* else this test shows nothing */
    size_t length;
    char *reply = rig_reply(&rig, fd, &length);
    assert_int_equal(reply[0], '$');
    assert_null(memchr(reply, '>', length));
    mem_free(reply);
    rig_expect(&rig, fd, ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    mem_free(value);
    (void)close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_subscription_is_confirmed_when_every_shard_has_it),
        TEST(a_shard_that_hangs_does_not_keep_a_subscriber_for_ever),
        TEST(nothing_comes_after_an_unsubscribe),
        TEST(an_epoch_with_a_new_shard_is_drained_when_its_subscribers_are_there),
        TEST(a_new_shard_that_hangs_does_not_hold_an_epoch_up),
        TEST(a_connection_that_is_lost_is_made_anew),
        TEST(a_shard_that_lost_its_fence_is_left),
        TEST(a_message_goes_to_the_shard_of_its_slot),
        TEST(a_shard_that_refuses_tells_the_client),
        TEST(a_message_does_not_come_inside_a_reply),
    };
    return cmocka_run_group_tests_name("subscriber", tests, NULL, NULL);
}
