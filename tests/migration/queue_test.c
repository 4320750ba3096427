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
#include "tests/support/migrations.h"
#include "tests/support/queues.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define WAITERS 24
#define POLLS   10

static struct client *client;

static int start_with(const char *const *proxy_environment)
{
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .proxy_environment = proxy_environment};
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
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
    client_close(client);
    return stage_clear(state);
}

/* As `expect`, with `tag` for every '%' of the command. */
static void expect_with(struct client *to, const char *command, const char *tag, const char *reply)
{
    char *filled = words_with(command, tag);
    expect(to, filled, reply);
    mem_free(filled);
}

/* --- under load ---------------------------------------------------------------------------- */

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
    cluster_tell(cluster, "rollback %s --wait", id);
    mem_free(id);
    let_queues_work(queues);
    id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    let_queues_work(queues);
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    id = migration_open_by_ctl(cluster, "split s2 --to s3 --wait");
    let_queues_work(queues);
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    let_queues_work(queues);
    queues_end(queues);
    cluster_compare(cluster, "");
}

/* --- one by one ---------------------------------------------------------------------------- */

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
    cluster_tell(cluster, "rollback %s --wait", id);
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
    cluster_tell(cluster, "switch %s --wait", id);
    assert_int_equal(blocked_on(0), WAITERS);
    for (unsigned i = 1; i < WAITERS; i++) {
        expect_with(source, "RPUSH % stray", choice.moving[i], ":1");
        expect_with(source, "DEL %", choice.moving[i], ":1");
    }
    for (unsigned i = 1; i < WAITERS / 2; i++) {
        expect_with(client, "RPUSH % new", choice.moving[i], ":1");
        expect_popped(moving[i], choice.moving[i], "new");
    }
    cluster_tell(cluster, "finalize %s --wait", id);
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
    cluster_tell(cluster, "abort %s --wait", id);
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
    cluster_tell(cluster, "abort %s --wait", id);
    mem_free(id);
}

/* --- in a slot with a copy -------------------------------------------------------------------- */

/* A migration whose slots have a copy; its id, freed with mem_free. */
static char *open_dual(struct key_choice *choice)
{
    choose_keys(choice);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    return id;
}

static void abort_and_compare(char *id)
{
    cluster_tell(cluster, "abort %s --wait", id);
    mem_free(id);
    cluster_compare(cluster, "");
}

/* Does not wait for the reply. */
static void send_with(struct client *to, const char *command, const char *tag)
{
    int is_done = 0;
    char *filled = words_with(command, tag);
    assert_int_equal(redisAppendCommand(client_context(to), filled), REDIS_OK);
    while (!is_done) {
        assert_int_equal(redisBufferWrite(client_context(to), &is_done), REDIS_OK);
    }
    mem_free(filled);
}

static void expect_reply(struct client *from, const char *wanted)
{
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(client_context(from), (void **)&reply), REDIS_OK);
    char *text = client_reply_text(reply);
    assert_string_equal(text, wanted);
    mem_free(text);
    freeReplyObject(reply);
}

static void expect_element(struct client *from, const char *reply, const char *tag)
{
    char *wanted = words_with(reply, tag);
    expect_reply(from, wanted);
    mem_free(wanted);
}

/* Other clients of the first proxy; what one of them is answered comes behind what others sent. */
struct crowd {
    struct client *clients[4];
};

static void crowd_come(struct crowd *crowd)
{
    for (unsigned i = 0; i < 4; i++) {
        crowd->clients[i] = client_connect(cluster_proxy_port(cluster, 0));
        expect(crowd->clients[i], "PING", "+PONG");
    }
}

static void crowd_go(struct crowd *crowd)
{
    for (unsigned i = 0; i < 4; i++) {
        client_close(crowd->clients[i]);
    }
}

static void a_newcomer_does_not_overtake_who_waits(void **state)
{
    (void)state;
    struct key_choice choice;
    struct crowd crowd;
    char *id = open_dual(&choice);
    const char *tag = choice.moving[0];
    crowd_come(&crowd);
    for (unsigned i = 0; i < 50; i++) {
        send_with(crowd.clients[0], "BLPOP %l 0", tag);
        expect(client, "PING", "+PONG");
        send_with(crowd.clients[1], "RPUSH %l first", tag);
        send_with(crowd.clients[1], "BLPOP %none %l 0", tag);
        expect_reply(crowd.clients[1], ":1");
        expect_element(crowd.clients[0], "[%l, first]", tag);
        expect_with(client, "RPUSH %l second", tag, ":1");
        expect_element(crowd.clients[1], "[%l, second]", tag);
    }
    crowd_go(&crowd);
    abort_and_compare(id);
}

static void who_waits_is_not_disturbed_by_what_it_does_not_wait_for(void **state)
{
    (void)state;
    struct key_choice choice;
    struct crowd crowd;
    char *id = open_dual(&choice);
    const char *tag = choice.moving[0];
    crowd_come(&crowd);
    expect_with(client, "SET %text t", tag, "+OK");
    expect_with(client, "BLPOP %text 0", tag,
                "-WRONGTYPE Operation against a key holding the wrong kind of value");
    send_with(crowd.clients[0], "BLPOP %a %b 0", tag);
    send_with(crowd.clients[1], "BZPOPMIN %a 0", tag);
    send_with(crowd.clients[2], "BLMPOP 0 2 %c %b LEFT", tag);
    expect(client, "PING", "+PONG");
    expect_with(client, "SET %a text", tag, "+OK");
    expect_with(client, "BLPOP %c 0.2", tag, "(nil)"); /* some looks later */
    expect_with(client, "RPUSH %b x y", tag, ":2");
    expect_element(crowd.clients[0], "[%b, x]", tag);
    expect_element(crowd.clients[2], "[%b, [y]]", tag);
    expect_with(client, "DEL %a", tag, ":1");
    expect_with(client, "ZADD %a 1 m", tag, ":1");
    expect_element(crowd.clients[1], "[%a, m, 1]", tag);
    crowd_go(&crowd);
    abort_and_compare(id);
}

static void time_outs_are_kept(void **state)
{
    static const struct {
        const char *command;
        uint64_t at_least_us;
    } cases[] = {{"BLPOP %l 0.13", 130000},
                 {"BZMPOP 0.07 1 %z MIN", 70000},
                 {"BLMOVE %l %m LEFT LEFT 0.001", 1000},
                 {"XREAD BLOCK 90 STREAMS %s $", 90000},
                 {"XREADGROUP GROUP g c BLOCK 90 STREAMS %s >", 90000}};

    (void)state;
    struct key_choice choice;
    char *id = open_dual(&choice);
    const char *tag = choice.moving[0];
    expect_with(client, "XGROUP CREATE %s g $ MKSTREAM", tag, "+OK");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = clock_now_us();
        expect_with(client, cases[i].command, tag, "(nil)");
        assert_true(clock_now_us() - before >= cases[i].at_least_us);
    }
    abort_and_compare(id);
}

static void a_stream_is_read_on_while_its_slot_moves(void **state)
{
    (void)state;
    struct key_choice choice;
    struct crowd crowd;
    choose_keys(&choice);
    const char *tag = choice.moving[0];
    expect_with(client, "XADD %s 1-1 f old", tag, "1-1");
    expect_with(client, "XGROUP CREATE %s g $", tag, "+OK");
    crowd_come(&crowd);
    send_with(crowd.clients[0], "XREAD BLOCK 0 STREAMS %none %s $ $", tag);
    send_with(crowd.clients[1], "XREADGROUP GROUP g one BLOCK 0 STREAMS %s >", tag);
    WAIT_UNTIL(blocked_on(0) == 2, LONG_MS);
    send_with(crowd.clients[2], "XREADGROUP GROUP g two BLOCK 0 NOACK STREAMS %s >", tag);
    WAIT_UNTIL(blocked_on(0) == 3, LONG_MS);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    assert_int_equal(blocked_on(0), 0);
    expect_with(client, "XADD %s 2-1 f dual", tag, "2-1");
    expect_element(crowd.clients[0], "[[%s, [[2-1, [f, dual]]]]]", tag);
    expect_element(crowd.clients[1], "[[%s, [[2-1, [f, dual]]]]]", tag);
    expect_with(client, "XPENDING %s g", tag, "[:1, 2-1, 2-1, [[one, 1]]]");
    /* "$" of now, in a slot with a copy. */
    send_with(crowd.clients[0], "XREAD COUNT 1 BLOCK 0 STREAMS %s $", tag);
    send_with(crowd.clients[3], "XREAD COUNT 1 BLOCK 60000 STREAMS %s 2-1", tag);
    expect(client, "PING", "+PONG");
    cluster_tell(cluster, "switch %s --wait", id);
    expect_with(client, "XADD %s 3-1 f new", tag, "3-1");
    expect_element(crowd.clients[0], "[[%s, [[3-1, [f, new]]]]]", tag);
    expect_element(crowd.clients[2], "[[%s, [[3-1, [f, new]]]]]", tag);
    expect_element(crowd.clients[3], "[[%s, [[3-1, [f, new]]]]]", tag);
    expect_with(client, "XPENDING %s g", tag, "[:1, 2-1, 2-1, [[one, 1]]]");
    send_with(crowd.clients[0], "XREAD BLOCK 0 STREAMS %s $", tag);
    cluster_tell(cluster, "finalize %s --wait", id);
    WAIT_UNTIL(blocked_on(2) == 1, LONG_MS);
    expect_with(client, "XADD %s 4-1 f last", tag, "4-1");
    expect_element(crowd.clients[0], "[[%s, [[4-1, [f, last]]]]]", tag);
    mem_free(id);
    crowd_go(&crowd);
    cluster_compare(cluster, "");
}

/* What is added while the reader has no connection is not missed. */
static void a_reader_of_a_stream_outlives_its_connection(void **state)
{
    (void)state;
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    struct crowd crowd;
    struct key_choice choice;
    choose_keys(&choice);
    const char *tag = choice.staying[0];
    crowd_come(&crowd);
    for (unsigned i = 1; i <= 20; i++) {
        char number[16];
        char *wanted = mem_printf("[[%ss, [[%u-1, [f, v]]]]]", tag, i);
        char *add = mem_printf("XADD %ss %u-1 f v", tag, i);
        send_with(crowd.clients[0], "XREAD BLOCK 0 STREAMS %s $", tag);
        WAIT_UNTIL(blocked_on(0) == 1, LONG_MS);
        char *list = client_ask(source, "CLIENT LIST");
        const char *line = strstr(list, " cmd=xread ");
        assert_non_null(line);
        while (line > list && line[-1] != '\n') {
            line--;
        }
        (void)snprintf(number, sizeof(number), "%lu", strtoul(line + strlen("id="), NULL, 10));
        send_with(source, "CLIENT KILL ID %", number);
        send_with(source, add, "");
        expect_reply(source, ":1");
        mem_free(client_ask(client, "PING"));
        redisReply *added = NULL;
        assert_int_equal(redisGetReply(client_context(source), (void **)&added), REDIS_OK);
        freeReplyObject(added);
        expect_reply(crowd.clients[0], wanted);
        mem_free(list);
        mem_free(add);
        mem_free(wanted);
    }
    crowd_go(&crowd);
    client_close(source);
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
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    client_close(staying);
    cluster_compare(cluster, "");
}

/* --- marks --------------------------------------------------------------------------------- */

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
    const char *line = strstr(info, "cmdstat_type:calls=");
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
    cluster_tell(cluster, "switch %s --wait", id);
    cluster_compare(cluster, "");
    expect_with(client, "GET %a", tag, "2");
    cluster_tell(cluster, "finalize %s --wait", id);
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
        TEST(a_newcomer_does_not_overtake_who_waits),
        TEST(who_waits_is_not_disturbed_by_what_it_does_not_wait_for),
        TEST(time_outs_are_kept),
        TEST(a_stream_is_read_on_while_its_slot_moves),
        TEST(a_reader_of_a_stream_outlives_its_connection),
        TEST(a_watch_does_not_outlive_its_slots_entry),
        TEST(a_transaction_marks_what_it_writes_and_an_empty_poll_nothing),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
