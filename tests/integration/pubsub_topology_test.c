/* Subscriptions through two proxies while shards are added, drained, removed, killed and restarted:
 * every message that PUBLISH counts comes to every subscriber, once and in order; and a key's
 * events come once, from the shard that owns it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/http.h"
#include "tests/support/listener.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define CHANNELS  40u
#define PROXIES   2u
#define LISTENERS 4u
#define COUNT     ":4" /* LISTENERS, as PUBLISH tells it */
#define KEYS      60u
#define WAIT_MS   60000
#define AT_ONCE   10 /* rounds between two looks at how far a migration is */

static struct client *publishers[PROXIES];
static struct listener *listeners[LISTENERS];
static unsigned round_number;

/* Two on each proxy, one by name and one by pattern. */
static void open_listeners(void)
{
    struct buffer names;
    buffer_init(&names, SIZE_MAX);
    buffer_add_text(&names, "SUBSCRIBE");
    for (unsigned i = 0; i < CHANNELS; i++) {
        buffer_printf(&names, " ch%u", i);
    }
    buffer_add(&names, "", 1);
    for (unsigned i = 0; i < LISTENERS; i++) {
        listeners[i] = listener_open(cluster_proxy_port(cluster, i % PROXIES),
                                     i < PROXIES ? names.data : "PSUBSCRIBE ch*");
    }
    buffer_fini(&names);
}

static int start(void **state)
{
    (void)state;
    static const char *const redis[] = {"--notify-keyspace-events", "KEA", NULL};
    static const char *const proxy[] = {"--threads", "2", NULL};
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = PROXIES,
                                            .has_migrator = true,
                                            .redis_options = redis,
                                            .proxy_arguments = proxy};
    cluster = cluster_start(&options);
    for (unsigned i = 0; i < PROXIES; i++) {
        publishers[i] = client_connect(cluster_proxy_port(cluster, i));
    }
    open_listeners();
    return 0;
}

static int stop(void **state)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        listener_close(listeners[i]);
    }
    for (unsigned i = 0; i < PROXIES; i++) {
        client_close(publishers[i]);
    }
    return stage_clear(state);
}

/* --- rounds: a message to every channel ------------------------------------------------------- */

static void publish_round(struct client *publisher)
{
    redisContext *context = client_context(publisher);
    for (unsigned i = 0; i < CHANNELS; i++) {
        (void)redisAppendCommand(context, "PUBLISH ch%u %u", i, round_number);
    }
    for (unsigned i = 0; i < CHANNELS; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
        char *text = client_reply_text(reply);
        assert_string_equal(text, COUNT);
        mem_free(text);
        freeReplyObject(reply);
    }
}

static struct heard next_but_probes(struct listener *listener)
{
    struct heard heard;
    do {
        heard = listener_next(listener);
    } while (strcmp(heard.text, "probe") == 0);
    return heard;
}

/* Each channel's message of this round, and none of another. */
static void hear_round(struct listener *listener)
{
    bool was_heard[CHANNELS] = {false};
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct heard heard = next_but_probes(listener);
        unsigned long channel = strtoul(heard.channel + strlen("ch"), NULL, 10);
        assert_true(channel < CHANNELS);
        assert_int_equal(strtoul(heard.text, NULL, 10), round_number);
        assert_false(was_heard[channel]);
        was_heard[channel] = true;
    }
}

static void one_round(void)
{
    round_number++;
    publish_round(publishers[round_number % PROXIES]);
    for (unsigned i = 0; i < LISTENERS; i++) {
        hear_round(listeners[i]);
    }
}

static void rounds(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        one_round();
    }
}

static void rounds_until(const char *id, const char *phase)
{
    uint64_t deadline = deadline_after_ms(WAIT_MS);
    do {
        rounds(AT_ONCE);
        assert_false(deadline_is_over(deadline));
    } while (!migration_is_in(cluster, id, phase));
    rounds(AT_ONCE);
}

/* --- topology --------------------------------------------------------------------------------- */

static void every_message_comes_once_in_order(void **state)
{
    (void)state;
    rounds(100);
    redisContext *context = client_context(publishers[0]);
    const unsigned many = 2000;
    for (unsigned i = 0; i < many; i++) {
        (void)redisAppendCommand(context, "PUBLISH ch%u %u", i % 3, i);
    }
    for (unsigned i = 0; i < many; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->integer, LISTENERS);
        freeReplyObject(reply);
    }
    for (unsigned listener = 0; listener < LISTENERS; listener++) {
        unsigned long next[3] = {0, 1, 2};
        for (unsigned i = 0; i < many; i++) {
            struct heard heard = listener_next(listeners[listener]);
            unsigned long *expected = &next[strtoul(heard.channel + strlen("ch"), NULL, 10)];
            assert_int_equal(strtoul(heard.text, NULL, 10), *expected);
            *expected += 3;
        }
    }
}

static void no_message_is_lost_while_a_shard_joins_and_leaves(void **state)
{
    (void)state;
    cluster_add_spare(cluster, 2);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3");
    rounds_until(id, "switched");
    cluster_tell(cluster, "rollback %s", id);
    rounds_until(id, "closed");
    mem_free(id);

    id = migration_open_by_ctl(cluster, "split s1 --to s3");
    rounds_until(id, "switched");
    cluster_tell(cluster, "finalize %s", id);
    rounds_until(id, "closed");
    mem_free(id);

    /* Everything away from it again, to both others; then it goes. */
    char *ids = cluster_ctl_ok(cluster, "drain s3");
    for (char *rest = ids; (id = strsep(&rest, "\n")) != NULL && id[0] != '\0';) {
        rounds_until(id, "switched");
        cluster_tell(cluster, "finalize %s", id);
        rounds_until(id, "closed");
    }
    mem_free(ids);
    cluster_tell(cluster, "shard remove s3");
    rounds(100);
    expect(publishers[0], "PUBSUB NUMSUB ch0", "[ch0, :2]");
}

/* All are there again: two by name, two by pattern. */
static bool has_its_subscribers(unsigned shard)
{
    struct client *direct = client_try_connect(cluster_shard_port(cluster, shard));
    bool is_so = direct != NULL && client_gets(direct, "PUBSUB NUMSUB ch0", "[ch0, :2]") &&
                 client_gets(direct, "PUBLISH ch0 probe", COUNT);
    client_close(direct);
    return is_so;
}

static bool serves_all(struct client *client)
{
    char *reply = client_ask(client, "MSET a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1");
    bool is_well = strcmp(reply, "+OK") == 0;
    mem_free(reply);
    return is_well;
}

static void subscriptions_outlive_a_shard_that_is_killed(void **state)
{
    (void)state;
    redis_server_kill(cluster_shard(cluster, 0));

    /* One more can subscribe meanwhile, and hears the shards that are there. */
    struct listener *late = listener_open(cluster_proxy_port(cluster, 0), "SUBSCRIBE late");
    redis_server_restart(cluster_shard(cluster, 0), false);
    WAIT_UNTIL(serves_all(publishers[0]) && serves_all(publishers[1]), WAIT_MS);
    WAIT_UNTIL(has_its_subscribers(0), WAIT_MS);
    rounds(100);
    expect_within(publishers[1], "PUBLISH late 1", ":1", WAIT_MS);
    assert_string_equal(listener_next(late).channel, "late");
    listener_close(late);
}

/* --- keyspace events -------------------------------------------------------------------------- */

/* A write through one proxy is heard through the other as its two events. */
static void write_and_hear(struct listener *events, unsigned i, unsigned value)
{
    char *command = mem_printf("SET event%u %u", i, value);
    char *channel = mem_printf("__keyspace@0__:event%u", i);
    char *key = mem_printf("event%u", i);
    expect(publishers[value % PROXIES], command, "+OK");
    struct heard heard = listener_next(events);
    assert_string_equal(heard.channel, channel);
    assert_string_equal(heard.text, "set");
    heard = listener_next(events);
    assert_string_equal(heard.channel, "__keyevent@0__:set");
    assert_string_equal(heard.text, key);
    mem_free(command);
    mem_free(channel);
    mem_free(key);
}

static void write_round(struct listener *events)
{
    static unsigned value;
    value++;
    for (unsigned i = 0; i < KEYS; i++) {
        write_and_hear(events, i, value);
    }
}

static void write_until(struct listener *events, const char *id, const char *phase)
{
    uint64_t deadline = deadline_after_ms(WAIT_MS);
    do {
        write_round(events);
        assert_false(deadline_is_over(deadline));
    } while (!migration_is_in(cluster, id, phase));
    write_round(events);
}

/* Both proxies are at the same epoch, and at the topology's. */
static bool has_adopted_all(void)
{
    char *status = cluster_ctl_ok(cluster, "status");
    const char *at = strstr(status, "epoch ");
    assert_non_null(at);
    unsigned long long epoch = strtoull(at + strlen("epoch "), NULL, 10);
    char *line = mem_printf("sluice_epoch %llu\n", epoch);
    bool have_all = true;
    for (unsigned i = 0; i < PROXIES; i++) {
        char *body = NULL;
        int code = http_get(cluster_proxy_admin_port(cluster, i), "/metrics", &body);
        have_all = have_all && code == 200 && strstr(body, line) != NULL;
        mem_free(body);
    }
    mem_free(line);
    mem_free(status);
    return have_all;
}

static void a_key_s_events_come_once_while_it_moves(void **state)
{
    (void)state;
    struct listener *events =
        listener_open(cluster_proxy_port(cluster, 1), "PSUBSCRIBE __key*__:*");
    write_round(events);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch");
    write_until(events, id, "dual-write");
    WAIT_UNTIL(migration_is_verified(cluster, id), WAIT_MS);
    write_round(events);
    cluster_tell(cluster, "switch %s", id);
    /* The proxies do not switch at the same instant: docs/internals/pubsub.md. */
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), WAIT_MS);
    WAIT_UNTIL(has_adopted_all(), WAIT_MS);
    write_round(events);
    cluster_tell(cluster, "finalize %s", id);
    write_until(events, id, "closed");
    assert_false(listener_has_more(events, 50)); /* the purge of the old copies */
    mem_free(id);
    listener_close(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_once_in_order),
        cmocka_unit_test(no_message_is_lost_while_a_shard_joins_and_leaves),
        cmocka_unit_test(subscriptions_outlive_a_shard_that_is_killed),
        cmocka_unit_test(a_key_s_events_come_once_while_it_moves),
    };
    return cmocka_run_group_tests_name("pubsub and topology", tests, start, stop);
}
