/* Scripts that write keys which they do not declare, as those of BullMQ do, while their slots move:
 * by the real programs. Each writer has a tag of its own, so a plain Redis that is told the same
 * scripts in the same order knows what must be there in the end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/sha1.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS    60000
#define WRITERS    4
#define TAGS       5 /* of each writer */
#define PAUSE_MS   5
#define ERROR_SIZE 200

/* KEYS[1] is the tag, ARGV[1] the number of the step. All else is built from the tag. */
static const char body[] =
    "local call, p, n = redis.call, KEYS[1] .. ':', tonumber(ARGV[1])\n"
    "call('SET', p .. 'string:' .. n % 7, n)\n"
    "call('DEL', p .. 'string:' .. (n + 3) % 7)\n"
    "call('SET', p .. 'expires', n, 'PXAT', 4000000000000 + n)\n"
    "call('RPUSH', p .. 'list', n)\n"
    "if n % 3 == 0 then call('LMOVE', p .. 'list', p .. 'moved', 'LEFT', 'RIGHT') end\n"
    "if n % 5 == 0 then call('LTRIM', p .. 'moved', -20, -1) end\n"
    "call('HSET', p .. 'hash', n % 20, n)\n"
    "call('SADD', p .. 'set', n % 30)\n"
    "call('SREM', p .. 'set', (n + 11) % 30)\n"
    "call('ZADD', p .. 'zset', n, n % 25)\n"
    "call('XADD', p .. 'stream', 'MAXLEN', 30, n .. '-1', 'f', n)\n"
    "call('PFADD', p .. 'hll', n)\n"
    "call('SETBIT', p .. 'bits', n % 1000, 1)\n"
    "if n % 4 == 0 then call('RENAME', p .. 'expires', p .. 'renamed') end\n"
    "return call('INCR', p .. 'steps')";

/* What is read of each tag, '%'. */
static const char *const reads[] = {
    "GET %:string:0",
    "GET %:string:1",
    "GET %:string:2",
    "GET %:string:3",
    "GET %:string:4",
    "GET %:string:5",
    "GET %:string:6",
    "GET %:expires",
    "PEXPIRETIME %:expires",
    "GET %:renamed",
    "PEXPIRETIME %:renamed",
    "LRANGE %:list 0 -1",
    "LRANGE %:moved 0 -1",
    "HGETALL %:hash",
    "SORT %:set",
    "ZRANGE %:zset 0 -1 WITHSCORES",
    "XRANGE %:stream - +",
    "PFCOUNT %:hll",
    "BITCOUNT %:bits",
    "GET %:steps",
};

static struct redis_server *plain_server;
static struct client *client, *plain;
static char sha[SHA1_HEX_LENGTH + 1];

/* A shard that was just added is not known to the proxy at once. */
static void load_on_all_shards(void)
{
    struct client *spare = client_connect(cluster_shard_port(cluster, 1));
    do {
        freeReplyObject(redisCommand(client_context(client), "SCRIPT LOAD %s", body));
    } while (!client_gets(spare, "HLEN __sluice:scripts", ":1"));
    client_close(spare);
}

static int start_with(const char *const *proxy_environment)
{
    const struct cluster_options options = {.shards = 1,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .proxy_environment = proxy_environment};
    cluster = cluster_start(&options);
    plain_server = redis_server_start(NULL);
    cluster_add_spare(cluster, 1);
    client = client_connect(cluster_proxy_port(cluster, 0));
    plain = client_connect(redis_server_port(plain_server));
    sha1_hex(SLICE(body), sha);
    load_on_all_shards();
    freeReplyObject(redisCommand(client_context(plain), "SCRIPT LOAD %s", body));
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

static int start_without_marks(void **state)
{
    static const char *const environment[] = {"SLUICE_FAIL=rule.no-script-marks=error", NULL};
    (void)state;
    return start_with(environment);
}

static int stop(void **state)
{
    client_close(client);
    client_close(plain);
    redis_server_stop(plain_server);
    return stage_clear(state);
}

static void tag_of(char *tag, size_t size, unsigned i)
{
    (void)snprintf(tag, size, "{jobs:%u}", i);
}

/* --- one step -------------------------------------------------------------------------------- */

static bool is_step(const redisReply *reply, unsigned n)
{
    return reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == n;
}

/* By EVALSHA, by EVAL, and both ways in a transaction, in turn. The step's reply, or null. */
static redisReply *step(redisContext *context, const char *tag, unsigned n)
{
    const char *name = n / 2 % 2 == 0 ? "EVALSHA" : "EVAL";
    const char *text = n / 2 % 2 == 0 ? sha : body;
    if (n % 2 == 0) {
        return redisCommand(context, "%s %s 1 %s %u", name, text, tag, n);
    }
    redisReply *whole, *own = NULL;
    freeReplyObject(redisCommand(context, "MULTI"));
    freeReplyObject(redisCommand(context, "%s %s 1 %s %u", name, text, tag, n));
    whole = redisCommand(context, "EXEC");
    if (whole != NULL && whole->type == REDIS_REPLY_ARRAY && whole->elements == 1) {
        own = whole->element[0];
        whole->element[0] = NULL;
        freeReplyObject(whole);
        return own;
    }
    return whole;
}

static void expect_step(unsigned i, unsigned n)
{
    char tag[32];
    tag_of(tag, sizeof(tag), i);
    redisReply *reply = step(client_context(client), tag, n);
    if (!is_step(reply, n)) {
        char *text = client_reply_text(reply);
        fail_msg("step %u of %s: %s", n, tag, text);
    }
    freeReplyObject(reply);
}

/* --- what must be there ---------------------------------------------------------------------- */

static bool is_as_told(const char *tag)
{
    bool is_good = true;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        char *command = words_with(reads[i], tag);
        char *ours = client_ask(client, command);
        char *theirs = client_ask(plain, command);
        if (strcmp(ours, theirs) != 0) {
            (void)fprintf(stderr, "%s\n    Sluice %s\n    Redis  %s\n", command, ours, theirs);
            is_good = false;
        }
        mem_free(command);
        mem_free(ours);
        mem_free(theirs);
    }
    return is_good;
}

static void tell_plain(unsigned i, unsigned from, unsigned to)
{
    char tag[32];
    tag_of(tag, sizeof(tag), i);
    for (unsigned n = from; n <= to; n++) {
        redisReply *reply = redisCommand(client_context(plain), "EVALSHA %s 1 %s %u", sha, tag, n);
        assert_true(is_step(reply, n));
        freeReplyObject(reply);
    }
}

/* --- under load ------------------------------------------------------------------------------ */

struct writer {
    pthread_t thread;
    redisContext *context;
    unsigned first_tag;
    unsigned done[TAGS]; /* steps that were acknowledged */
    char error[ERROR_SIZE];
};

static atomic_bool is_over;
static atomic_uint steps;

static void *write_on(void *context)
{
    struct writer *writer = context;
    while (!atomic_load(&is_over) && writer->error[0] == '\0') {
        unsigned i = atomic_fetch_add(&steps, 1) % TAGS;
        char tag[32];
        tag_of(tag, sizeof(tag), writer->first_tag + i);
        redisReply *reply = step(writer->context, tag, writer->done[i] + 1);
        if (is_step(reply, writer->done[i] + 1)) {
            writer->done[i]++;
        } else {
            char *text = reply != NULL ? client_reply_text(reply) : mem_strdup("closed");
            (void)snprintf(writer->error, ERROR_SIZE, "step %u of %s: %s", writer->done[i] + 1, tag,
                           text);
            mem_free(text);
        }
        freeReplyObject(reply);
        clock_sleep_ms(PAUSE_MS);
    }
    return NULL;
}

static void start_writers(struct writer *writers)
{
    atomic_store(&is_over, false);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.first_tag = i * TAGS};
        writers[i].context = redisConnect("127.0.0.1", cluster_proxy_port(cluster, i % 2));
        assert_int_equal(writers[i].context->err, 0);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
}

static void let_write(void)
{
    unsigned before = atomic_load(&steps);
    WAIT_UNTIL(atomic_load(&steps) > before + 10 * WRITERS * TAGS, LONG_MS);
}

static void end_writers(struct writer *writers)
{
    bool is_good = true;
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        (void)pthread_join(writers[i].thread, NULL);
        redisFree(writers[i].context);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_string_equal(writers[i].error, "");
        for (unsigned j = 0; j < TAGS; j++) {
            char tag[32];
            tag_of(tag, sizeof(tag), writers[i].first_tag + j);
            tell_plain(writers[i].first_tag + j, 1, writers[i].done[j]);
            is_good = is_as_told(tag) && is_good;
        }
    }
    assert_true(is_good);
}

static void nothing_is_lost_under_load(void **state)
{
    struct writer writers[WRITERS];
    (void)state;
    start_writers(writers);
    let_write();
    char *id = migration_open_by_ctl(cluster, "drain s1 --wait");
    let_write();
    cluster_tell(cluster, "rollback %s --wait", id);
    mem_free(id);
    let_write();
    id = migration_open_by_ctl(cluster, "drain s1 --wait");
    let_write();
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    let_write();
    end_writers(writers);
    cluster_compare(cluster, "");
}

/* --- step by step ---------------------------------------------------------------------------- */

/* Whether all is there after writes when everything had compared equal, and nothing but their own
 * marks can tell of them. */
static bool survives_a_switch_and_a_rollback(void)
{
    bool is_good = true;
    expect_step(0, 1);
    expect_step(0, 2);
    char *id = migration_open_by_ctl(cluster, "drain s1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    for (unsigned n = 3; n <= 13; n++) {
        expect_step(0, n);
    }
    cluster_tell(cluster, "switch %s --wait", id);
    tell_plain(0, 1, 13);
    is_good = is_as_told("{jobs:0}");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    if (is_good) {
        for (unsigned n = 14; n <= 24; n++) {
            expect_step(0, n);
        }
        tell_plain(0, 14, 24);
    }
    cluster_tell(cluster, "rollback %s --wait", id);
    mem_free(id);
    return is_good && is_as_told("{jobs:0}");
}

static void nothing_is_lost_step_by_step(void **state)
{
    (void)state;
    assert_true(survives_a_switch_and_a_rollback());
    cluster_compare(cluster, "");
}

static void without_marks_it_would_be(void **state)
{
    (void)state;
    assert_false(survives_a_switch_and_a_rollback());
}

/* --- where the body comes from --------------------------------------------------------------- */

static void expect_evalsha(struct client *from, bool in_transaction, unsigned n)
{
    redisReply *reply =
        in_transaction ? step(client_context(from), "{jobs:1}", n)
                       : redisCommand(client_context(from), "EVALSHA %s 1 {jobs:1} %u", sha, n);
    if (!is_step(reply, n)) {
        fail_msg("step %u: %s", n, client_reply_text(reply));
    }
    freeReplyObject(reply);
}

static void forget_body(struct client *shard)
{
    freeReplyObject(redisCommand(client_context(shard), "HDEL __sluice:scripts %s", sha));
}

/* The shard has the script in its cache, where it cannot be read. */
static void a_body_that_the_shard_does_not_keep_comes_from_another(void **state)
{
    (void)state;
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    struct client *newcomer = client_connect(cluster_proxy_port(cluster, 1));
    char *id = migration_open_by_ctl(cluster, "drain s1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    forget_body(source);
    expect_evalsha(newcomer, true, 1); /* its proxy asks first */
    forget_body(source);
    expect_evalsha(client, false, 2); /* its proxy has loaded it, and is told NOSCRIPT */
    cluster_tell(cluster, "switch %s --wait", id);
    expect_evalsha(newcomer, false, 3);
    tell_plain(1, 1, 3);
    assert_true(is_as_told("{jobs:1}"));
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    client_close(source);
    client_close(newcomer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_lost_under_load, start, stop),
        cmocka_unit_test_setup_teardown(nothing_is_lost_step_by_step, start, stop),
        cmocka_unit_test_setup_teardown(a_body_that_the_shard_does_not_keep_comes_from_another,
                                        start, stop),
        cmocka_unit_test_setup_teardown(without_marks_it_would_be, start_without_marks, stop),
    };
    return cmocka_run_group_tests_name("script_keys", tests, NULL, NULL);
}
