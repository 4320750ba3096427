/* What a client may cost a proxy: connections, time, memory. Named as in redis.conf. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/vitals.h"
#include "tests/support/wait.h"

#define MEGABYTE    ((size_t)1024 * 1024)
#define LARGE_BYTES (300 * MEGABYTE)
#define SLOW_BYTES  (200 * MEGABYTE)
#define PATIENCE_MS 60000

static void start_with(const char *const *arguments)
{
    static const char *const environment[] = {VITALS_ENVIRONMENT, NULL};
    cluster = cluster_start(&(const struct cluster_options){
        .shards = 2, .proxy_arguments = arguments, .proxy_environment = environment});
}

static uint16_t proxy_port(void)
{
    return cluster_proxy_port(cluster, 0);
}

static struct client *connect_client(void)
{
    return client_connect(proxy_port());
}

/* Kilobytes of a line of /proc/PID/status. */
static unsigned long proxy_memory_kb(const char *label)
{
    char path[64], line[256];
    unsigned long value = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status",
                   (int)process_pid(cluster_proxy(cluster, 0)));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, label, strlen(label)) == 0) {
            value = strtoul(line + strlen(label), NULL, 10);
        }
    }
    (void)fclose(file);
    assert_true(value > 0);
    return value;
}

/* A string of that size, made on the shard itself. */
static void put_large(struct client *client, const char *key, size_t size)
{
    char command[128], reply[32];
    (void)snprintf(command, sizeof(command), "SETRANGE %s %zu x", key, size - 1);
    (void)snprintf(reply, sizeof(reply), ":%zu", size);
    expect(client, command, reply);
}

/* --- connections ------------------------------------------------------------------------------ */

static void above_maxclients_a_client_is_told_so_and_closed(void **state)
{
    struct client *clients[5];
    struct buffer answer;
    (void)state;
    start_with((const char *const[]){"--maxclients", "5", "--threads", "2", NULL});
    for (unsigned i = 0; i < 5; i++) {
        clients[i] = connect_client();
        expect(clients[i], "PING", "+PONG");
    }
    int fd = raw_connect(proxy_port());
    buffer_init(&answer, SIZE_MAX);
    assert_true(raw_read_to_end(fd, &answer));
    assert_true(
        slice_equal(buffer_slice(&answer), SLICE("-ERR max number of clients reached\r\n")));
    buffer_fini(&answer);
    (void)close(fd);
    client_close(clients[4]);
    struct client *another = NULL;
    /* The place is free again as soon as the proxy has noticed. */
    WAIT_UNTIL(
        (client_close(another), another = connect_client(), client_gets(another, "PING", "+PONG")),
        PATIENCE_MS);
    client_close(another);
    for (unsigned i = 0; i < 4; i++) {
        expect(clients[i], "PING", "+PONG");
        client_close(clients[i]);
    }
}

static void an_idle_client_is_closed_and_one_that_waits_is_not(void **state)
{
    struct buffer answer, pending;
    (void)state;
    start_with((const char *const[]){"--timeout", "2s", NULL});
    uint64_t start_us = clock_now_us(); /* before the proxy's own clock of it can start */
    int idle = raw_connect(proxy_port());
    int waiting = raw_connect(proxy_port());
    buffer_init(&answer, SIZE_MAX);
    buffer_init(&pending, SIZE_MAX);
    assert_true(raw_send(waiting, SLICE("BLPOP never 4\r\n")));
    assert_true(raw_read_to_end(idle, &answer));
    uint64_t taken_us = clock_now_us() - start_us;
    assert_int_equal(buffer_length(&answer), 0);
    assert_true(taken_us > 1900000);
    assert_true(raw_read_reply(waiting, &pending, &answer));
    assert_true(slice_equal(buffer_slice(&answer), SLICE("*-1\r\n")));
    /* Its time begins anew with the answer: another command would be in time. */
    buffer_clear(&answer);
    assert_true(raw_read_to_end(waiting, &answer));
    assert_true(clock_now_us() - start_us > 5900000);
    buffer_fini(&answer);
    buffer_fini(&pending);
    (void)close(idle);
    (void)close(waiting);
}

/* --- requests --------------------------------------------------------------------------------- */

static void an_argument_above_the_limit_gets_the_error_of_redis(void **state)
{
    struct buffer answer;
    (void)state;
    start_with((const char *const[]){"--proto-max-bulk-len", "1mb", NULL});
    int fd = raw_connect(proxy_port());
    buffer_init(&answer, SIZE_MAX);
    assert_true(raw_send(fd, SLICE("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1048577\r\n")));
    assert_true(raw_read_to_end(fd, &answer));
    assert_true(
        slice_equal(buffer_slice(&answer), SLICE("-ERR Protocol error: invalid bulk length\r\n")));
    buffer_fini(&answer);
    (void)close(fd);
}

static void a_command_above_the_query_buffer_limit_is_cut_off(void **state)
{
    (void)state;
    start_with((const char *const[]){"--client-query-buffer-limit", "2mb", NULL});
    int fd = raw_connect(proxy_port());
    char *letters = mem_zalloc(MEGABYTE);
    bool is_sent = raw_send(fd, SLICE("*10\r\n$5\r\nRPUSH\r\n$1\r\na\r\n"));
    for (unsigned i = 0; i < 7 && is_sent; i++) {
        is_sent = raw_send(fd, SLICE("$1048576\r\n")) &&
                  raw_send(fd, (struct slice){letters, MEGABYTE}) && raw_send(fd, SLICE("\r\n"));
    }
    assert_true(!is_sent || recv(fd, letters, 1, 0) <= 0);
    assert_true(proxy_memory_kb("VmHWM:") < 64 * 1024);
    mem_free(letters);
    (void)close(fd);
}

/* --- replies ---------------------------------------------------------------------------------- */

/* Reads a bulk of that length and drops it. */
static void read_large(int fd, size_t length)
{
    static char room[256 * 1024];
    char header[32];
    int digits = snprintf(header, sizeof(header), "$%zu\r\n", length);
    size_t left = (size_t)digits + length + 2;
    while (left > 0) {
        ssize_t count = recv(fd, room, left < sizeof(room) ? left : sizeof(room), 0);
        assert_true(count > 0);
        left -= (size_t)count;
    }
}

static bool is_cut_off(struct client *client)
{
    char *list = client_ask(client, "CLIENT LIST");
    bool is_gone = strstr(list, "name=deaf") == NULL;
    mem_free(list);
    return is_gone;
}

/* A connection whose replies nobody reads. */
static int connect_deaf(void)
{
    int fd = raw_connect(proxy_port());
    assert_true(raw_send(fd, SLICE("CLIENT SETNAME deaf\r\n")));
    return fd;
}

static void a_slow_reader_is_cut_off_at_the_hard_limit(void **state)
{
    (void)state;
    start_with((const char *const[]){"--client-output-buffer-limit", "normal 8mb 0 0", NULL});
    struct client *client = connect_client();
    put_large(client, "large", 100 * MEGABYTE);
    int deaf = connect_deaf();
    WAIT_UNTIL(!is_cut_off(client), PATIENCE_MS);
    assert_true(raw_send(deaf, SLICE("GET large\r\n")));
    WAIT_UNTIL(is_cut_off(client), PATIENCE_MS);
    assert_true(proxy_memory_kb("VmHWM:") < 64 * 1024);
    expect(client, "PING", "+PONG");
    (void)close(deaf);
    client_close(client);
}

static void a_slow_reader_is_cut_off_when_it_stays_above_the_soft_limit(void **state)
{
    (void)state;
    start_with((const char *const[]){"--client-output-buffer-limit", "normal 0 1mb 2", NULL});
    struct client *client = connect_client();
    put_large(client, "large", 30 * MEGABYTE);
    int deaf = connect_deaf();
    WAIT_UNTIL(!is_cut_off(client), PATIENCE_MS);
    uint64_t start_us = clock_now_us();
    assert_true(raw_send(deaf, SLICE("GET large\r\n")));
    WAIT_UNTIL(is_cut_off(client), PATIENCE_MS);
    assert_true(clock_now_us() - start_us > 1900000);
    /* One that reads is never above it for so long. */
    int reader = raw_connect(proxy_port());
    assert_true(raw_send(reader, SLICE("GET large\r\n")));
    read_large(reader, 30 * MEGABYTE);
    (void)close(reader);
    expect(client, "PING", "+PONG");
    (void)close(deaf);
    client_close(client);
}

static void a_reply_of_hundreds_of_megabytes_passes_through_in_bounded_memory(void **state)
{
    (void)state;
    start_with((const char *const[]){"--shard-timeout", "60s", NULL});
    struct client *client = connect_client();
    put_large(client, "large", LARGE_BYTES);
    unsigned long before_kb = proxy_memory_kb("VmHWM:");
    int fd = raw_connect(proxy_port());
    for (unsigned i = 0; i < 2; i++) {
        assert_true(raw_send(fd, SLICE("GET large\r\n")));
        read_large(fd, LARGE_BYTES);
    }
    unsigned long grown_kb = proxy_memory_kb("VmHWM:") - before_kb;
    (void)printf("a reply of 300 MB took %lu kB of memory at its peak\n", grown_kb);
    assert_true(grown_kb < 64 * 1024);
    expect(client, "STRLEN large", ":314572800");
    (void)close(fd);
    client_close(client);
}

static void a_client_that_goes_away_in_a_large_reply_holds_nobody_up(void **state)
{
    (void)state;
    start_with((const char *const[]){"--shard-timeout", "60s", NULL});
    struct client *client = connect_client();
    put_large(client, "large", 100 * MEGABYTE);
    for (unsigned i = 0; i < 5; i++) {
        int fd = raw_connect(proxy_port());
        assert_true(raw_send(fd, SLICE("GET large\r\n")));
        char first[1000];
        assert_true(recv(fd, first, sizeof(first), 0) > 0);
        (void)close(fd);
        expect(client, "STRLEN large", ":104857600");
    }
    client_close(client);
}

/* --- time-outs of large requests -------------------------------------------------------------- */

/* A shard that gets little time: it runs for a moment, and then not for a while. The moment is the
 * processor's, not the clock's: on a busy machine it would get nothing done in one of those. */
struct stutter {
    struct process *process;
    atomic_bool is_over;
};

static void let_run(struct stutter *stutter)
{
    pid_t pid = process_pid(stutter->process);
    uint64_t until_cpu_us = vitals_cpu_us(pid) + 10000;
    uint64_t until_us = clock_now_us() + 2000000; /* it may have nothing to do */
    while (!atomic_load(&stutter->is_over) && vitals_cpu_us(pid) < until_cpu_us &&
           clock_now_us() < until_us) {
        clock_sleep_ms(2);
    }
}

static void *run_stutter(void *context)
{
    struct stutter *stutter = context;
    while (!atomic_load(&stutter->is_over)) {
        process_signal(stutter->process, SIGSTOP);
        clock_sleep_ms(700);
        process_signal(stutter->process, SIGCONT);
        let_run(stutter);
    }
    return NULL;
}

/* The limit counts from the last byte that moved, not from when the request came. */
static void a_large_value_may_take_longer_than_the_shard_timeout(void **state)
{
    pthread_t thread;
    (void)state;
    const struct cluster_options options = {
        .shards = 1,
        .redis_options = (const char *const[]){"--appendonly", "no", NULL}, /* no time for fsync */
        .proxy_arguments =
            (const char *const[]){"--shard-timeout", "3s", "--wait-max", "30s", NULL}};
    cluster = cluster_start(&options);
    struct client *client = connect_client();
    expect(client, "SET small x", "+OK"); /* it is connected */
    struct stutter stutter = {.process = redis_server_process(cluster_shard(cluster, 0))};
    char *value = mem_zalloc(SLOW_BYTES);
    assert_int_equal(pthread_create(&thread, NULL, run_stutter, &stutter), 0);
    uint64_t start_us = clock_now_us();
    redisReply *reply = redisCommand(client_context(client), "SET large %b", value, SLOW_BYTES);
    uint64_t taken_us = clock_now_us() - start_us;
    atomic_store(&stutter.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(reply);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    mem_free(value);
    assert_true(taken_us > 3000000); /* else nothing was shown */
    client_close(client);
}

/* Requests that still fit into the buffers of a shard that hangs are no progress. */
static void a_shard_that_hangs_is_given_up_though_others_write_to_it(void **state)
{
    (void)state;
    const struct cluster_options options = {
        .shards = 1, .proxy_arguments = (const char *const[]){"--shard-timeout", "500ms", NULL}};
    cluster = cluster_start(&options);
    struct client *client = connect_client();
    expect_within(client, "SET small x", "+OK", PATIENCE_MS);
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGSTOP);
    int fd = raw_connect(proxy_port());
    struct buffer pending, answer;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&answer, SIZE_MAX);
    assert_true(raw_send(fd, SLICE("GET small\r\n")));
    int writer = raw_connect(proxy_port());
    uint64_t end_us = clock_now_us() + 5000000;
    while (clock_now_us() < end_us && recv(fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        assert_true(raw_send(writer, SLICE("GET small\r\n")));
        clock_sleep_ms(5);
    }
    assert_true(raw_read_reply(fd, &pending, &answer));
    assert_true(slice_starts_with(buffer_slice(&answer), SLICE("-UNKNOWN ")));
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGCONT);
    buffer_fini(&pending);
    buffer_fini(&answer);
    (void)close(fd);
    (void)close(writer);
    client_close(client);
}

#define TEST(name) cmocka_unit_test_teardown(name, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(above_maxclients_a_client_is_told_so_and_closed),
        TEST(an_idle_client_is_closed_and_one_that_waits_is_not),
        TEST(an_argument_above_the_limit_gets_the_error_of_redis),
        TEST(a_command_above_the_query_buffer_limit_is_cut_off),
        TEST(a_slow_reader_is_cut_off_at_the_hard_limit),
        TEST(a_slow_reader_is_cut_off_when_it_stays_above_the_soft_limit),
        TEST(a_reply_of_hundreds_of_megabytes_passes_through_in_bounded_memory),
        TEST(a_client_that_goes_away_in_a_large_reply_holds_nobody_up),
        TEST(a_large_value_may_take_longer_than_the_shard_timeout),
        TEST(a_shard_that_hangs_is_given_up_though_others_write_to_it),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
