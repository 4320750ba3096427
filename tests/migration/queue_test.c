/* Blocking commands, WATCH and MULTI while their slots move, by the real programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/duel.h"
#include "tests/support/queues.h"
#include "tests/support/raw.h"
#include "tests/support/wait.h"
#include "tests/support/workload.h"

#define LONG_MS 60000
#define WAITERS 24
#define POLLS   10

static struct cluster *cluster;
static struct client *client;

static int start_with(const char *const *proxy_environment)
{
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .proxy_environment = proxy_environment};
    cluster = cluster_start(&options);
    char *words = mem_printf("shard add s3=127.0.0.1:%u", cluster_shard_port(cluster, 2));
    mem_free(cluster_ctl_ok(cluster, words));
    mem_free(words);
    client = client_connect(cluster_proxy_port(cluster, 0));
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

/* Proxies that cannot wake who waits on a shard. */
static int start_without_unblock(void **state)
{
    static const char *const environment[] = {"SLUICE_FAIL=unblock.lost=error", NULL};
    (void)state;
    return start_with(environment);
}

static int stop(void **state)
{
    (void)state;
    client_close(client);
    cluster_stop(cluster);
    process_stop_all();
    return 0;
}

static void ctl(const char *verb, const char *id)
{
    char *words = mem_printf("%s %s --wait", verb, id);
    mem_free(cluster_ctl_ok(cluster, words));
    mem_free(words);
}

/* A command with '%' standing for the text, as `expect`. */
static void expect_with(struct client *to, const char *command, const char *text, const char *reply)
{
    struct buffer whole;
    buffer_init(&whole, SIZE_MAX);
    for (const char *at = command; *at != '\0'; at++) {
        if (*at == '%') {
            buffer_add_text(&whole, text);
        } else {
            buffer_add(&whole, at, 1);
        }
    }
    buffer_add(&whole, "", 1);
    expect(to, buffer_slice(&whole).data, reply);
    buffer_fini(&whole);
}

/* --- under load ------------------------------------------------------------------------------- */

static void let_queues_work(struct queues *queues)
{
    uint64_t before = queues_popped(queues);
    WAIT_UNTIL(queues_popped(queues) > before + 300, LONG_MS);
}

static void every_element_is_popped_once_while_slots_move(void **state)
{
    (void)state;
    struct queues *queues = queues_start(cluster);
    let_queues_work(queues);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    let_queues_work(queues);
    ctl("rollback", id);
    mem_free(id);
    let_queues_work(queues);
    id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    let_queues_work(queues);
    ctl("finalize", id);
    mem_free(id);
    id = migration_open_by_ctl(cluster, "split s2 --to s3 --wait");
    let_queues_work(queues);
    ctl("finalize", id);
    mem_free(id);
    let_queues_work(queues);
    queues_end(queues);
    cluster_compare(cluster, "");
}

/* --- one by one ------------------------------------------------------------------------------- */

/* Keys of s1, some of which "split s1 --to s3" moves: a migration that is undone tells which. */
struct key_choice {
    char moving[WAITERS][32];
    char staying[WAITERS][32];
};

static void choose_keys(struct key_choice *choice)
{
    unsigned nmoving = 0;
    unsigned nstaying = 0;
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    struct client *target = client_connect(cluster_shard_port(cluster, 2));
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    for (unsigned i = 0; nmoving < WAITERS || nstaying < WAITERS; i++) {
        char key[32];
        char command[64];
        (void)snprintf(key, sizeof(key), "{wait:%u}", i);
        expect_with(client, "SET %probe 1", key, "+OK");
        (void)snprintf(command, sizeof(command), "EXISTS %sprobe", key);
        if (client_gets(target, command, ":1")) {
            (void)snprintf(choice->moving[nmoving % WAITERS], sizeof(key), "%s", key);
            nmoving++;
        } else if (client_gets(source, command, ":1")) {
            (void)snprintf(choice->staying[nstaying % WAITERS], sizeof(key), "%s", key);
            nstaying++;
        }
        expect_with(client, "DEL %probe", key, ":1");
    }
    ctl("rollback", id);
    mem_free(id);
    client_close(source);
    client_close(target);
}

/* A connection that the proxy has taken up. */
static int connect_to(unsigned proxy)
{
    struct buffer pending;
    struct buffer reply;
    int fd = raw_connect(cluster_proxy_port(cluster, proxy));
    assert_true(fd > 0);
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_send(fd, SLICE("PING\r\n")));
    assert_true(raw_read_reply(fd, &pending, &reply));
    buffer_fini(&pending);
    buffer_fini(&reply);
    return fd;
}

static int send_blpop(const char *key, unsigned proxy)
{
    char *command = mem_printf("BLPOP %s 0\r\n", key);
    int fd = connect_to(proxy);
    assert_true(raw_send(fd, slice_of(command)));
    mem_free(command);
    return fd;
}

static void expect_popped(int fd, const char *key, const char *element)
{
    struct buffer pending;
    struct buffer reply;
    char *wanted = mem_printf("*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key), key,
                              strlen(element), element);
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_read_reply(fd, &pending, &reply));
    buffer_add(&reply, "", 1);
    assert_string_equal(buffer_slice(&reply).data, wanted);
    buffer_fini(&pending);
    buffer_fini(&reply);
    mem_free(wanted);
    (void)close(fd);
}

static unsigned blocked_on(unsigned shard)
{
    return blocked_clients(cluster_shard_port(cluster, shard));
}

static void who_waits_goes_where_the_slot_goes(void **state)
{
    (void)state;
    struct key_choice choice;
    int moving[WAITERS];
    int staying[WAITERS];
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    choose_keys(&choice);
    for (unsigned i = 0; i < WAITERS; i++) {
        moving[i] = send_blpop(choice.moving[i], i % 2);
        staying[i] = send_blpop(choice.staying[i], i % 2);
    }
    WAIT_UNTIL(blocked_on(0) == 2 * WAITERS, LONG_MS);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    /* From the fence on, a pop there would be one without a mark. */
    assert_int_equal(blocked_on(0), WAITERS);
    expect_with(client, "RPUSH % dual", choice.moving[0], ":1");
    expect_popped(moving[0], choice.moving[0], "dual");
    ctl("switch", id);
    assert_int_equal(blocked_on(0), WAITERS);
    for (unsigned i = 1; i < WAITERS; i++) {
        expect_with(source, "RPUSH % stray", choice.moving[i], ":1");
        expect_with(source, "DEL %", choice.moving[i], ":1");
    }
    for (unsigned i = 1; i < WAITERS / 2; i++) {
        expect_with(client, "RPUSH % new", choice.moving[i], ":1");
        expect_popped(moving[i], choice.moving[i], "new");
    }
    ctl("finalize", id);
    WAIT_UNTIL(blocked_on(2) == WAITERS / 2, LONG_MS);
    assert_int_equal(blocked_on(0), WAITERS);
    for (unsigned i = WAITERS / 2; i < WAITERS; i++) {
        expect_with(client, "RPUSH % last", choice.moving[i], ":1");
        expect_popped(moving[i], choice.moving[i], "last");
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        expect_with(client, "RPUSH % stayed", choice.staying[i], ":1");
        expect_popped(staying[i], choice.staying[i], "stayed");
    }
    mem_free(id);
    client_close(source);
    cluster_compare(cluster, "");
}

/* Blocked commands are in flight: the barrier waits for them, and in the end cuts them off. */
// field lesson: a writer the barrier did not count
static void who_cannot_be_woken_is_cut_off(void **state)
{
    (void)state;
    struct key_choice choice;
    int moving[4];
    choose_keys(&choice);
    for (unsigned i = 0; i < 4; i++) {
        moving[i] = send_blpop(choice.moving[i], i % 2);
    }
    WAIT_UNTIL(blocked_on(0) == 4, LONG_MS);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    assert_int_equal(blocked_on(0), 0);
    for (unsigned i = 0; i < 4; i++) {
        struct buffer pending;
        struct buffer reply;
        buffer_init(&pending, SIZE_MAX);
        buffer_init(&reply, SIZE_MAX);
        assert_true(raw_read_reply(moving[i], &pending, &reply));
        assert_true(slice_starts_with(buffer_slice(&reply), SLICE("-UNKNOWN ")));
        buffer_fini(&pending);
        buffer_fini(&reply);
        (void)close(moving[i]);
    }
    ctl("abort", id);
    mem_free(id);
}

static void who_came_first_is_served_first_in_a_slot_with_a_copy(void **state)
{
    (void)state;
    struct key_choice choice;
    int waiting[4];
    choose_keys(&choice);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    for (unsigned i = 0; i < 4; i++) {
        waiting[i] = send_blpop(choice.moving[0], 0);
        /* The proxy has one thread: what it answers now came behind the BLPOP. */
        expect(client, "PING", "+PONG");
    }
    expect_with(client, "RPUSH % first second third fourth", choice.moving[0], ":4");
    expect_popped(waiting[0], choice.moving[0], "first");
    expect_popped(waiting[1], choice.moving[0], "second");
    expect_popped(waiting[2], choice.moving[0], "third");
    expect_popped(waiting[3], choice.moving[0], "fourth");
    ctl("abort", id);
    mem_free(id);
}

// field lesson: a writer the barrier did not count
static void a_watch_does_not_outlive_its_slots_entry(void **state)
{
    (void)state;
    struct key_choice choice;
    choose_keys(&choice);
    const char *key = choice.moving[0];
    struct client *staying = client_connect(cluster_proxy_port(cluster, 1));
    expect_with(client, "WATCH %a", key, "+OK");
    expect_with(staying, "WATCH %a", choice.staying[0], "+OK");
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    expect(client, "MULTI", "+OK");
    expect_with(client, "INCR %a", key, "+QUEUED");
    expect(client, "EXEC", "(nil)");
    expect_with(client, "GET %a", key, "(nil)");
    /* And of a slot that has not changed it does. */
    expect(staying, "MULTI", "+OK");
    expect_with(staying, "INCR %a", choice.staying[0], "+QUEUED");
    expect(staying, "EXEC", "[:1]");
    expect_with(client, "WATCH %a", key, "+OK");
    expect(client, "MULTI", "+OK");
    expect_with(client, "INCR %a", key, "+QUEUED");
    expect(client, "EXEC", "[:1]");
    ctl("finalize", id);
    mem_free(id);
    client_close(staying);
    cluster_compare(cluster, "");
}

/* --- marks ------------------------------------------------------------------------------------ */

/* The name of the source's metadata that ends in `suffix`; freed with mem_free. */
static char *metadata_name(struct client *source, const char *suffix)
{
    char *command = mem_printf("KEYS __sluice:m*:%s", suffix);
    char *names = client_ask(source, command);
    size_t length = strlen(names);
    assert_true(length > 2 && strchr(names, ',') == NULL);
    char *name = mem_strndup(names + 1, length - 2);
    mem_free(command);
    mem_free(names);
    return name;
}

static void expect_marked(struct client *source, const char *key, const char *number)
{
    char *seq = metadata_name(source, "seq");
    char *dirty = metadata_name(source, "dirty");
    char *command = mem_printf("HGET %s %s", seq, key);
    expect(source, command, number);
    mem_free(command);
    command = mem_printf("SISMEMBER %s %s", dirty, key);
    expect(source, command, strcmp(number, "(nil)") == 0 ? ":0" : ":1");
    mem_free(command);
    mem_free(seq);
    mem_free(dirty);
}

static unsigned long polls_on(struct client *source)
{
    char *info = client_ask(source, "INFO commandstats");
    const char *line = strstr(info, "cmdstat_exists:calls=");
    unsigned long count = line != NULL ? strtoul(strchr(line, '=') + 1, NULL, 10) : 0;
    mem_free(info);
    return count;
}

static void a_transaction_marks_what_it_writes_and_an_empty_poll_nothing(void **state)
{
    (void)state;
    struct key_choice choice;
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    choose_keys(&choice);
    const char *tag = choice.moving[0];
    expect_with(client, "MSET %a 1 %e 5", tag, "+OK");
    expect_with(client, "RPUSH %to x", tag, ":1");
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    process_kill(cluster_migrator(cluster)); /* or it would clear the marks */

    expect(client, "MULTI", "+OK");
    expect_with(client, "INCR %a", tag, "+QUEUED");
    expect_with(client, "GET %e", tag, "+QUEUED");
    expect_with(client, "RPUSH %l x y", tag, "+QUEUED");
    expect_with(client, "RENAME %l %k", tag, "+QUEUED");
    expect_with(client, "LPUSH %a wrong", tag, "+QUEUED");
    expect_prefix(client, "EXEC", "[:2, 5, :2, +OK, -WRONGTYPE ");
    char key[40];

    const struct {
        const char *name, *number;
    } marks[] = {{"a", "2"}, {"e", "(nil)"}, {"l", "2"}, {"k", "1"}};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        (void)snprintf(key, sizeof(key), "%s%s", tag, marks[i].name);
        expect_marked(source, key, marks[i].number);
    }

    char *command = mem_printf("BLMOVE %sfrom %sto LEFT RIGHT 0\r\n", tag, tag);
    int fd = raw_connect(cluster_proxy_port(cluster, 0));
    unsigned long polls = polls_on(source);
    assert_true(raw_send(fd, slice_of(command)));
    WAIT_UNTIL(polls_on(source) > polls + POLLS, LONG_MS);
    (void)snprintf(key, sizeof(key), "%sto", tag);
    expect_marked(source, key, "(nil)");
    (void)close(fd);
    mem_free(command);

    cluster_restart_migrator(cluster, NULL);
    ctl("switch", id);
    cluster_compare(cluster, "");
    expect_with(client, "GET %a", tag, "2");
    ctl("finalize", id);
    mem_free(id);
    client_close(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_element_is_popped_once_while_slots_move),
        TEST(who_waits_goes_where_the_slot_goes),
        cmocka_unit_test_setup_teardown(who_cannot_be_woken_is_cut_off, start_without_unblock,
                                        stop),
        TEST(who_came_first_is_served_first_in_a_slot_with_a_copy),
        TEST(a_watch_does_not_outlive_its_slots_entry),
        TEST(a_transaction_marks_what_it_writes_and_an_empty_poll_nothing),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
