/* A proxy that sleeps through a migration with a client's write on the wire, and one that nobody
 * knows of, with a topology of long ago: the shards themselves keep them from doing harm. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/http.h"
#include "tests/support/migrations.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define SLEEPER 1 /* the proxy p2 */

static char key[32]; /* lives on s1 */

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {
        .shards = 2, .proxies = 2, .has_migrator = true, .has_links = true, .nslots = 64};
    cluster = cluster_start(&options);
    return 0;
}

static bool is_on_first_shard(const char *name)
{
    struct client *shard = client_connect(cluster_shard_port(cluster, 0));
    char *words = mem_printf("EXISTS %s", name);
    bool is_there = client_gets(shard, words, ":1");
    mem_free(words);
    client_close(shard);
    return is_there;
}

/* Sets it to 1 through the first proxy. */
static void choose_key(void)
{
    (void)snprintf(key, sizeof(key), "%s", cluster_key(cluster, 0, "key-", 0));
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *words = mem_printf("SET %s 1", key);
    expect(client, words, "+OK");
    mem_free(words);
    client_close(client);
    assert_true(is_on_first_shard(key));
}

static void add_one(unsigned proxy, const char *expected)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, proxy));
    char *words = mem_printf("INCR %s", key);
    expect(client, words, expected);
    mem_free(words);
    client_close(client);
}

static void key_becomes(unsigned proxy, const char *expected)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, proxy));
    char *words = mem_printf("GET %s", key);
    expect_within(client, words, expected, LONG_MS);
    mem_free(words);
    client_close(client);
}

static void wait_for_end(const char *id)
{
    WAIT_UNTIL(migration_is_in(cluster, id, "closed"), LONG_MS);
}

/* --- the sleeper --------------------------------------------------------------------------- */

enum awakening {
    AFTER_SWITCH,
    AFTER_FINALIZE,
    AFTER_THE_WAY_BACK /* its shard owns the slots again, by another migration */
};

/* The write has left the proxy, and is on the wire; then the proxy sleeps. */
static struct client *write_and_sleep(void)
{
    const struct weather weather = {.cuts_requests = true};
    struct client *client = client_connect(cluster_proxy_port(cluster, SLEEPER));
    char *get = mem_printf("GET %s", key);
    expect(client, get, "1"); /* it has its connections */
    mem_free(get);
    forwarder_set(cluster_link(cluster, 0), "p2", &weather);
    assert_int_equal(redisAppendCommand(client_context(client), "INCR %s", key), REDIS_OK);
    int is_done = 0;
    assert_int_equal(redisBufferWrite(client_context(client), &is_done), REDIS_OK);
    WAIT_UNTIL(forwarder_has_kept(cluster_link(cluster, 0), "p2", key), LONG_MS);
    process_signal(cluster_proxy(cluster, SLEEPER), SIGSTOP);
    return client;
}

static void wake_up(void)
{
    forwarder_heal(cluster_link(cluster, 0));
    WAIT_UNTIL(forwarder_kept(cluster_link(cluster, 0), "p2") == 0, LONG_MS);
    process_signal(cluster_proxy(cluster, SLEEPER), SIGCONT);
    cluster_wait_proxy_ready(cluster, SLEEPER);
}

static void expect_no_answer_but_an_error(struct client *client)
{
    void *answer = NULL;
    assert_int_equal(redisGetReply(client_context(client), &answer), REDIS_OK);
    redisReply *reply = answer;
    if (reply->type != REDIS_REPLY_ERROR ||
        (strncmp(reply->str, "UNKNOWN ", 8) != 0 && strncmp(reply->str, "UNAVAILABLE ", 12) != 0)) {
        char *text = client_reply_text(reply);
        fail_msg("the sleeper's client got %s", text);
    }
    freeReplyObject(reply);
}

static void sleep_until(enum awakening when)
{
    choose_key();
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    struct client *client = write_and_sleep();
    cluster_tell(cluster, "switch --wait");
    add_one(0, ":2"); /* on s2 */
    if (when != AFTER_SWITCH) {
        cluster_tell(cluster, "finalize --wait");
        wait_for_end(id);
        assert_false(is_on_first_shard(key));
    }
    if (when == AFTER_THE_WAY_BACK) {
        /* s2 has all slots now, s1's former ones and its own. */
        cluster_tell(cluster, "split s2 --to s1 --share 1 --wait");
        cluster_tell(cluster, "finalize --wait");
        add_one(0, ":3"); /* on s1 again */
    }
    wake_up();
    expect_no_answer_but_an_error(client);
    const char *value = when == AFTER_THE_WAY_BACK ? "3" : "2";
    key_becomes(0, value);
    key_becomes(SLEEPER, value);
    add_one(SLEEPER, when == AFTER_THE_WAY_BACK ? ":4" : ":3");
    cluster_compare(cluster, "");
    client_close(client);
    mem_free(id);
}

// field lesson: two owners, or none, around the switch
static void a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_the_switch(void **state)
{
    (void)state;
    sleep_until(AFTER_SWITCH);
}

static void a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_finalize(void **state)
{
    (void)state;
    sleep_until(AFTER_FINALIZE);
}

static void a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_a_way_back(void **state)
{
    (void)state;
    sleep_until(AFTER_THE_WAY_BACK);
}

/* What the sleeper has not read yet is executed by the new owner, or refused. */
static void what_a_sleeper_reads_when_it_wakes_goes_where_it_belongs(void **state)
{
    (void)state;
    choose_key();
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    struct client *client = client_connect(cluster_proxy_port(cluster, SLEEPER));
    process_signal(cluster_proxy(cluster, SLEEPER), SIGSTOP);
    assert_int_equal(redisAppendCommand(client_context(client), "INCR %s", key), REDIS_OK);
    int is_done = 0;
    assert_int_equal(redisBufferWrite(client_context(client), &is_done), REDIS_OK);
    cluster_tell(cluster, "switch --wait");
    add_one(0, ":2");
    process_signal(cluster_proxy(cluster, SLEEPER), SIGCONT);
    void *answer = NULL;
    assert_int_equal(redisGetReply(client_context(client), &answer), REDIS_OK);
    char *text = client_reply_text(answer);
    bool was_executed = strcmp(text, ":3") == 0;
    if (!was_executed && strncmp(text, "-UNKNOWN ", 9) != 0 &&
        strncmp(text, "-UNAVAILABLE ", 13) != 0) {
        fail_msg("the sleeper's client got %s", text);
    }
    mem_free(text);
    freeReplyObject(answer);
    cluster_wait_proxy_ready(cluster, SLEEPER);
    key_becomes(0, was_executed ? "3" : "2");
    key_becomes(SLEEPER, was_executed ? "3" : "2");
    client_close(client);
    cluster_tell(cluster, "finalize --wait");
    cluster_compare(cluster, "");
    mem_free(id);
}

/* --- the blocked --------------------------------------------------------------------------- */

static bool has_blocked_client(void)
{
    struct client *shard = client_connect(cluster_shard_port(cluster, 0));
    char *info = client_ask(shard, "INFO clients");
    bool is_blocked = strstr(info, "blocked_clients:1") != NULL;
    mem_free(info);
    client_close(shard);
    return is_blocked;
}

static void list_has(unsigned proxy, const char *length)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, proxy));
    char *words = mem_printf("LLEN {%s}:list", key);
    expect(client, words, length);
    mem_free(words);
    client_close(client);
}

// field lesson: a writer the barrier did not count
static void a_client_blocked_when_the_fence_falls_pops_nothing_afterwards(void **state)
{
    (void)state;
    choose_key();
    struct client *client = client_connect(cluster_proxy_port(cluster, SLEEPER));
    struct client *other = client_connect(cluster_proxy_port(cluster, 0));
    char *push = mem_printf("RPUSH {%s}:list a", key);
    int is_done = 0;
    assert_int_equal(redisAppendCommand(client_context(client), "BLPOP {%s}:list 0", key),
                     REDIS_OK);
    assert_int_equal(redisBufferWrite(client_context(client), &is_done), REDIS_OK);
    WAIT_UNTIL(has_blocked_client(), LONG_MS);
    process_signal(cluster_proxy(cluster, SLEEPER), SIGSTOP);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    expect(other, push, ":1"); /* on s1, where it was blocked */
    list_has(0, ":1");
    cluster_tell(cluster, "switch --wait");
    list_has(0, ":1");
    process_signal(cluster_proxy(cluster, SLEEPER), SIGCONT);
    void *answer = NULL;
    assert_int_equal(redisGetReply(client_context(client), &answer), REDIS_OK);
    redisReply *reply = answer;
    bool has_popped = reply->type == REDIS_REPLY_ARRAY; /* sent anew to the owner: as good */
    if (!has_popped) {
        char *text = client_reply_text(reply);
        assert_true(strncmp(text, "-UNKNOWN ", 9) == 0 || strncmp(text, "-UNAVAILABLE ", 13) == 0);
        mem_free(text);
    }
    freeReplyObject(reply);
    list_has(0, has_popped ? ":0" : ":1");
    cluster_tell(cluster, "finalize --wait");
    list_has(0, has_popped ? ":0" : ":1");
    cluster_compare(cluster, "");
    client_close(client);
    client_close(other);
    mem_free(push);
    mem_free(id);
}

/* --- the stranger ----------------------------------------------------------------------------- */

/* A proxy over a copy of the store as it is now: what changes later it will never hear of, and
 * nobody hears of it. */
static struct process *start_stranger(uint16_t *port)
{
    char *copy = mem_printf("%s/store-of-long-ago", cluster_folder(cluster));
    const char *copying[] = {"cp", "-a", cluster_store(cluster) + strlen("file:"), copy, NULL};
    struct output output = process_run(copying, NULL, LONG_MS);
    assert_int_equal(output.code, 0);
    output_free(&output);
    uint16_t admin_port = scratch_port();
    *port = scratch_port();
    char *program = program_path("sluice-proxy");
    char *store = mem_printf("file:%s", copy);
    char *listen = mem_printf("127.0.0.1:%u", *port);
    char *admin = mem_printf("127.0.0.1:%u", admin_port);
    char *log = mem_printf("%s/stranger.log", cluster_folder(cluster));
    const char *argv[] = {program,   "--store", store,  "--listen", listen,
                          "--admin", admin,     "--id", "stranger", NULL};
    struct process *process = process_start("stranger", argv, NULL, log);
    WAIT_UNTIL(http_get(admin_port, "/readyz", NULL) == 200, LONG_MS);
    mem_free(program);
    mem_free(store);
    mem_free(listen);
    mem_free(admin);
    mem_free(log);
    mem_free(copy);
    return process;
}

static void expect_refused(struct client *client, const char *verb)
{
    char *words = mem_printf("%s %s", verb, key);
    char *answer = client_ask(client, words);
    if (strncmp(answer, "-UNKNOWN ", 9) != 0 && strncmp(answer, "-UNAVAILABLE ", 13) != 0) {
        fail_msg("the stranger's client got %s for %s", answer, words);
    }
    mem_free(answer);
    mem_free(words);
}

// field lesson: a stale router was forgotten alive
static void a_stranger_with_an_old_topology_is_refused_from_the_first_barrier_on(void **state)
{
    (void)state;
    uint16_t port;
    choose_key();
    struct process *stranger = start_stranger(&port);
    struct client *client = client_connect(port);
    char *increment = mem_printf("INCR %s", key);
    expect(client, increment, ":2"); /* as good as any proxy, so far */
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    expect_refused(client, "INCR");
    expect_refused(client, "GET");
    key_becomes(0, "2");
    cluster_tell(cluster, "switch --wait");
    expect_refused(client, "INCR");
    add_one(0, ":3");
    expect_refused(client, "GET"); /* it would be the old one */
    cluster_tell(cluster, "finalize --wait");
    expect_refused(client, "INCR");
    cluster_tell(cluster, "split s2 --to s1 --share 1 --wait");
    cluster_tell(cluster, "finalize --wait");
    expect_refused(client, "INCR");
    expect_refused(client, "DEL");
    key_becomes(0, "3");
    key_becomes(SLEEPER, "3");
    cluster_compare(cluster, "");
    client_close(client);
    mem_free(increment);
    mem_free(id);
    process_kill(stranger);
    (void)process_stop(stranger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_the_switch),
        TEST(a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_finalize),
        TEST(a_write_on_the_wire_is_dead_when_its_proxy_wakes_after_a_way_back),
        TEST(what_a_sleeper_reads_when_it_wakes_goes_where_it_belongs),
        TEST(a_client_blocked_when_the_fence_falls_pops_nothing_afterwards),
        TEST(a_stranger_with_an_old_topology_is_refused_from_the_first_barrier_on),
    };
    return cmocka_run_group_tests_name("fencing", tests, NULL, NULL);
}
