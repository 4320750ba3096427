/* What an operator does to running programs: reload, stop, stop at once; what a service manager is
 * told; what a slow shard costs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define PATIENCE_MS 60000
#define MAX_WORDS   16
#define WAITING     40 /* clients before the shard that stands still */
#define LOOKS       300

static struct process *program; /* started by the test itself; null: ended */
static char *conf;              /* its file */
static int manager = -1;        /* the service manager's socket */
static char manager_name[64];

static int start(void **state)
{
    (void)state;
    cluster = cluster_start(&(const struct cluster_options){.shards = 2});
    conf = mem_printf("%s/program.conf", cluster_folder(cluster));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    (void)process_stop(program);
    program = NULL;
    if (manager >= 0) {
        (void)close(manager);
        manager = -1;
    }
    cluster_stop(cluster);
    mem_free(conf);
    process_stop_all();
    return 0;
}

/* --- a program with a file of its own --------------------------------------------------------- */

static void write_conf(const char *text)
{
    struct error err;
    char *whole = mem_printf("store = %s\nadmin = 127.0.0.1:0\n%s", cluster_store(cluster), text);
    assert_true(file_write(conf, slice_of(whole), &err));
    mem_free(whole);
}

static bool log_has(const char *text)
{
    struct buffer log;
    struct error err;
    buffer_init(&log, SIZE_MAX);
    assert_true(file_read(process_log_path(program), &log, NULL, &err));
    buffer_add(&log, "", 1);
    bool has = strstr(buffer_slice(&log).data, text) != NULL;
    buffer_fini(&log);
    return has;
}

/* The number behind the text in the log. */
static unsigned long logged_number(const char *text)
{
    struct buffer log;
    struct error err;
    buffer_init(&log, SIZE_MAX);
    assert_true(file_read(process_log_path(program), &log, NULL, &err));
    buffer_add(&log, "", 1);
    const char *at = strstr(buffer_slice(&log).data, text);
    assert_non_null(at);
    unsigned long number = strtoul(at + strlen(text), NULL, 10);
    buffer_fini(&log);
    return number;
}

/* `more`: words for its command line, ended by null. */
static void start_program(const char *name, const char *started, const char *const *more)
{
    char *path = program_path(name);
    char *log = mem_printf("%s/%s.log", cluster_folder(cluster), name);
    char *socket_name = mem_printf("NOTIFY_SOCKET=%s", manager_name);
    const char *const watched[] = {socket_name, "WATCHDOG_USEC=400000", NULL};
    const char *argv[MAX_WORDS] = {path, "--config", conf};
    for (unsigned i = 0; more != NULL && more[i] != NULL; i++) {
        assert_in_range(i, 0, MAX_WORDS - 5);
        argv[i + 3] = more[i];
    }
    program = process_start(name, argv, manager >= 0 ? watched : NULL, log);
    WAIT_UNTIL(log_has(started), PATIENCE_MS);
    mem_free(path);
    mem_free(log);
    mem_free(socket_name);
}

static void start_proxy(void)
{
    start_program("sluice-proxy",
                  "serving listen=", (const char *const[]){"--listen", "127.0.0.1:0", NULL});
}

static void start_migrator(void)
{
    start_program("sluice-migrator", "started store=", NULL);
}

static struct client *connect_program(void)
{
    return client_connect((uint16_t)logged_number("serving listen=127.0.0.1:"));
}

static void expect_end(int code)
{
    int status = 0;
    assert_true(process_wait(program, PATIENCE_MS, &status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

/* --- reloading -------------------------------------------------------------------------------- */

static void a_proxy_takes_what_changed_and_keeps_its_clients(void **state)
{
    (void)state;
    write_conf("maxclients = 30\n");
    start_proxy();
    struct client *client = connect_program();
    expect(client, "CONFIG GET maxclients", "[maxclients, 30]");
    write_conf("maxclients = 31\nthreads = 2\nid = other\n");
    process_signal(program, SIGHUP);
    expect_within(client, "CONFIG GET maxclients", "[maxclients, 31]", PATIENCE_MS);
    WAIT_UNTIL(log_has("configuration reloaded"), PATIENCE_MS);
    assert_true(log_has("changed options need a restart options=\"threads, id\""));
    client_close(client);
}

static void a_proxy_leaves_its_settings_when_the_file_is_bad(void **state)
{
    (void)state;
    write_conf("maxclients = 30\n");
    start_proxy();
    struct client *client = connect_program();
    write_conf("maxclients = 31\nwait-max = soon\n");
    process_signal(program, SIGHUP);
    WAIT_UNTIL(log_has("configuration left as it was"), PATIENCE_MS);
    assert_true(log_has("program.conf', line 4: 'wait-max' must be a duration"));
    expect(client, "CONFIG GET maxclients", "[maxclients, 30]");
    write_conf("client-output-buffer-limit = normal much\n");
    process_signal(program, SIGHUP);
    WAIT_UNTIL(log_has("'client-output-buffer-limit': behind 'normal'"), PATIENCE_MS);
    expect(client, "CONFIG GET maxclients", "[maxclients, 30]");
    assert_false(log_has("configuration reloaded"));
    client_close(client);
}

static void new_time_outs_hold_for_connections_that_are_open(void **state)
{
    (void)state;
    write_conf("shard-timeout = 1h\n");
    start_proxy();
    struct client *client = connect_program();
    expect(client, "DBSIZE", ":0");
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGSTOP);
    int fd = raw_connect((uint16_t)logged_number("serving listen=127.0.0.1:"));
    struct buffer answer, pending;
    buffer_init(&answer, SIZE_MAX);
    buffer_init(&pending, SIZE_MAX);
    assert_true(raw_send(fd, SLICE("DBSIZE\r\n")));
    write_conf("shard-timeout = 100ms\n");
    process_signal(program, SIGHUP);
    assert_true(raw_read_reply(fd, &pending, &answer));
    /* Or the thread that watches the shard was faster, and has closed the way to it. */
    assert_true(slice_starts_with(buffer_slice(&answer), SLICE("-UNKNOWN ")) ||
                slice_starts_with(buffer_slice(&answer), SLICE("-UNAVAILABLE ")));
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGCONT);
    buffer_fini(&answer);
    buffer_fini(&pending);
    (void)close(fd);
    client_close(client);
}

static void a_migrator_reloads_and_goes_on(void **state)
{
    (void)state;
    write_conf("purge-patience = 1m\n");
    start_migrator();
    write_conf("purge-patience = 2m\nid = other\n");
    process_signal(program, SIGHUP);
    WAIT_UNTIL(log_has("configuration reloaded"), PATIENCE_MS);
    assert_true(log_has("changed options need a restart options=\"id\""));
    write_conf("log-level = loud\n");
    process_signal(program, SIGHUP);
    WAIT_UNTIL(log_has("must be error, warn, info or debug"), PATIENCE_MS);
    assert_true(process_is_running(program));
    process_signal(program, SIGTERM);
    expect_end(0);
}

/* --- stopping --------------------------------------------------------------------------------- */

/* A proxy that drains, and cannot: its client waits for a shard that stands still. */
static int make_it_drain(const char *text)
{
    write_conf(text);
    start_proxy();
    struct client *client = connect_program();
    expect(client, "DBSIZE", ":0");
    client_close(client);
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGSTOP);
    int fd = raw_connect((uint16_t)logged_number("serving listen=127.0.0.1:"));
    assert_true(raw_send(fd, SLICE("DBSIZE\r\n")));
    WAIT_UNTIL((client = client_try_connect((uint16_t)logged_number("listen=127.0.0.1:"))) != NULL,
               PATIENCE_MS);
    expect(client, "PING", "+PONG"); /* what came before has been read too */
    client_close(client);
    process_signal(program, SIGTERM);
    WAIT_UNTIL(log_has("stopping signal="), PATIENCE_MS);
    return fd;
}

static void a_drain_ends_after_its_time(void **state)
{
    (void)state;
    int fd = make_it_drain("drain-timeout = 300ms\nshard-timeout = 1h\n");
    expect_end(0);
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGCONT);
    (void)close(fd);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    (void)state;
    int fd = make_it_drain("drain-timeout = 1h\nshard-timeout = 1h\n");
    assert_true(process_is_running(program));
    process_signal(program, SIGHUP); /* is no second one */
    process_signal(program, SIGTERM);
    expect_end(1);
    assert_true(log_has("stopping at once signal="));
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGCONT);
    (void)close(fd);
}

/* --- the service manager ---------------------------------------------------------------------- */

static void open_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(manager_name, sizeof(manager_name), "@sluice-operation-test-%d", (int)getpid());
    memcpy(address.sun_path + 1, manager_name + 1, strlen(manager_name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(manager_name));
    assert_int_equal(bind(manager, (const struct sockaddr *)&address, length), 0);
}

/* Whether that is the next thing said that is no WATCHDOG=1, or that itself. */
static bool is_said(const char *text)
{
    char said[128];
    ssize_t length = recv(manager, said, sizeof(said) - 1, 0);
    if (length <= 0) {
        return false;
    }
    said[length] = '\0';
    if (strcmp(said, "WATCHDOG=1") == 0) {
        return strcmp(text, said) == 0;
    }
    assert_int_equal(strncmp(said, text, strlen(text)), 0);
    return true;
}

static void expect_the_manager_to_be_told(void)
{
    WAIT_UNTIL(is_said("READY=1"), PATIENCE_MS);
    WAIT_UNTIL(is_said("WATCHDOG=1"), PATIENCE_MS);
    WAIT_UNTIL(is_said("WATCHDOG=1"), PATIENCE_MS);
    process_signal(program, SIGHUP);
    WAIT_UNTIL(is_said("RELOADING=1\nMONOTONIC_USEC="), PATIENCE_MS);
    WAIT_UNTIL(is_said("READY=1"), PATIENCE_MS);
    process_signal(program, SIGTERM);
    WAIT_UNTIL(is_said("STOPPING=1"), PATIENCE_MS);
    expect_end(0);
}

static void the_service_manager_is_told_by_both(void **state)
{
    (void)state;
    open_manager();
    write_conf("");
    start_proxy();
    expect_the_manager_to_be_told();
    (void)process_stop(program);
    start_migrator();
    expect_the_manager_to_be_told();
}

/* 0: it has not given itself its name yet. */
static pid_t find_worker(void)
{
    int worker = 0;
    char *line = mem_printf("grep -l 'worker 0' /proc/%d/task/*/comm", process_pid(program));
    const char *argv[] = {"sh", "-c", line, NULL};
    struct output output = process_run(argv, NULL, PATIENCE_MS);
    const char *task = strstr(output.out, "/task/");
    assert_true(task == NULL || sscanf(task, "/task/%d/", &worker) == 1);
    output_free(&output);
    mem_free(line);
    return worker;
}

/* This thread of the program and no other; false where nobody may. */
static bool stop_thread(pid_t thread)
{
    int status;
    return ptrace(PTRACE_SEIZE, thread, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, thread, 0, 0) == 0 &&
           waitpid(thread, &status, __WALL) == thread;
}

static unsigned times_alive_is_said(uint64_t ms)
{
    unsigned times = 0;
    uint64_t end_us = deadline_after_ms(ms);
    while (!deadline_is_over(end_us)) {
        times += is_said("WATCHDOG=1") ? 1 : 0;
        clock_sleep_ms(WAIT_POLL_MS);
    }
    return times;
}

static void a_proxy_in_which_a_worker_stands_still_is_not_said_to_be_alive(void **state)
{
    (void)state;
    open_manager();
    write_conf("");
    start_proxy();
    WAIT_UNTIL(is_said("READY=1"), PATIENCE_MS);
    pid_t worker = 0;
    WAIT_UNTIL((worker = find_worker()) != 0, PATIENCE_MS);
    if (!stop_thread(worker)) {
        (void)fprintf(stderr, "*** no ptrace here: the watchdog is NOT TESTED.\n");
        skip();
    }
    while (is_said("WATCHDOG=1")) {
    }
    /* What the worker had done before may be told of once more. */
    unsigned times = times_alive_is_said(1000);
    assert_int_equal(ptrace(PTRACE_DETACH, worker, 0, 0), 0);
    assert_in_range(times, 0, 1);
    WAIT_UNTIL(is_said("WATCHDOG=1"), PATIENCE_MS);
    WAIT_UNTIL(is_said("WATCHDOG=1"), PATIENCE_MS);
    process_signal(program, SIGTERM);
    expect_end(0);
}

/* --- a slow shard ----------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Of a key that the second shard has. */
static uint64_t p99_us(struct client *client, const char *command)
{
    static uint64_t times[LOOKS];
    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t before_us = clock_now_us();
        expect(client, command, "here");
        times[i] = clock_now_us() - before_us;
    }
    qsort(times, LOOKS, sizeof(times[0]), compare_times);
    return times[LOOKS * 99 / 100];
}

/* "SET kN here" through the proxy until the shard has the key. */
static char *make_key_on(struct client *client, unsigned shard)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, shard));
    for (unsigned i = 0;; i++) {
        char set[32], exists[32];
        (void)snprintf(set, sizeof(set), "SET k%u here", i);
        (void)snprintf(exists, sizeof(exists), "EXISTS k%u", i);
        expect(client, set, "+OK");
        if (client_gets(direct, exists, ":1")) {
            client_close(direct);
            return mem_printf("GET k%u", i);
        }
    }
}

/* Were they in each other's way, a look would take the hour of the time-out. */
static void a_shard_that_stands_still_delays_no_client_of_the_other(void **state)
{
    int waiting[WAITING];
    (void)state;
    write_conf("shard-timeout = 1h\nshard-queue-max = 30\nthreads = 1\n");
    start_proxy();
    struct client *client = connect_program();
    char *quick = make_key_on(client, 1);
    char *slow = make_key_on(client, 0);
    uint64_t before_us = p99_us(client, quick);
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGSTOP);
    char *line = mem_printf("%s\r\n", slow);
    for (unsigned i = 0; i < WAITING; i++) {
        waiting[i] = raw_connect((uint16_t)logged_number("serving listen=127.0.0.1:"));
        assert_true(raw_send(waiting[i], slice_of(line)));
    }
    uint64_t during_us = p99_us(client, quick);
    print_message("p99 of the other shard: %llu us before, %llu us while one stands still\n",
                  (unsigned long long)before_us, (unsigned long long)during_us);
    WAIT_UNTIL(
        (client_close(client), client = connect_program(),
         client_gets(client, slow,
                     "-UNAVAILABLE shard s1 has too much under way; not executed, safe to retry")),
        PATIENCE_MS);
    process_signal(redis_server_process(cluster_shard(cluster, 0)), SIGCONT);
    expect_within(client, slow, "here", PATIENCE_MS);
    for (unsigned i = 0; i < WAITING; i++) {
        (void)close(waiting[i]);
    }
    mem_free(line);
    mem_free(quick);
    mem_free(slow);
    client_close(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_proxy_takes_what_changed_and_keeps_its_clients),
        TEST(a_proxy_leaves_its_settings_when_the_file_is_bad),
        TEST(new_time_outs_hold_for_connections_that_are_open),
        TEST(a_migrator_reloads_and_goes_on),
        TEST(a_drain_ends_after_its_time),
        TEST(a_second_signal_ends_it_at_once),
        TEST(the_service_manager_is_told_by_both),
        TEST(a_proxy_in_which_a_worker_stands_still_is_not_said_to_be_alive),
        TEST(a_shard_that_stands_still_delays_no_client_of_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
