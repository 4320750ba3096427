/* The tests' own helpers: what cannot be trusted here can be trusted nowhere. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/raw.h"
#include "tests/support/redis.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

static int clean_up(void **state)
{
    (void)state;
    process_stop_all();
    return 0;
}

static void every_kind_of_reply_is_one_line_of_text(void **state)
{
    (void)state;
    struct redis_server *server = redis_server_start(NULL);
    struct client *client = client_connect(redis_server_port(server));
    expect(client, "SET a 1", "+OK");
    expect(client, "GET a", "1");
    expect(client, "INCR a", ":2");
    expect(client, "GET missing", "(nil)");
    expect(client, "SET \"\\x00 b\" \"x\\r\\n\"", "+OK");
    expect(client, "MGET a missing \"\\x00 b\"", "[2, (nil), x\r\n]");
    expect_prefix(client, "LPUSH a x", "-WRONGTYPE");
    assert_false(client_gets(client, "GET a", "3"));
    client_close(client);
    redis_server_stop(server);
}

static void a_killed_server_comes_back_with_its_data_or_empty(void **state)
{
    (void)state;
    struct redis_server *server = redis_server_start(NULL);
    uint16_t port = redis_server_port(server);
    struct client *client = client_connect(port);
    expect(client, "SET a 1", "+OK");
    redis_server_kill(server);
    expect(client, "GET a", "closed");
    client_close(client);
    assert_null(client_try_connect(port));
    redis_server_restart(server, false);
    client = client_connect(port);
    expect(client, "GET a", "1");
    redis_server_restart(server, true);
    client_close(client);
    client = client_connect(port);
    expect(client, "DBSIZE", ":0");
    client_close(client);
    redis_server_stop(server);
}

static void a_program_that_ran_tells_its_output_and_code(void **state)
{
    (void)state;
    const char *argv[] = {"sh", "-c", "echo out; echo $WORD >&2; exit 3", NULL};
    const char *environment[] = {"WORD=hello", NULL};
    struct output output = process_run(argv, environment, 60000);
    assert_int_equal(output.code, 3);
    assert_string_equal(output.out, "out\n");
    assert_string_equal(output.err, "hello\n");
    output_free(&output);
    const char *slow[] = {"sleep", "30", NULL};
    output = process_run(slow, NULL, 50);
    assert_int_equal(output.code, -1);
    output_free(&output);
}

/* A zombie counts: who reaps it is not our business. */
static bool is_gone(pid_t pid)
{
    char *path = mem_printf("/proc/%d/stat", (int)pid);
    struct buffer content;
    buffer_init(&content, SIZE_MAX);
    bool is_there = file_read(path, &content, NULL, NULL);
    if (is_there) {
        buffer_add(&content, "", 1);
        is_there = strstr(buffer_slice(&content).data, ") Z") == NULL;
    }
    buffer_fini(&content);
    mem_free(path);
    return !is_there;
}

static void children_die_with_the_test_that_started_them(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t test = fork();
    if (test == 0) {
        const char *argv[] = {"sleep", "60", NULL};
        struct process *child = process_start("sleep", argv, NULL, "/dev/null");
        pid_t pid = process_pid(child);
        _exit(write(fds[1], &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
    }
    pid_t child = 0;
    assert_int_equal(read(fds[0], &child, sizeof(child)), sizeof(child));
    assert_int_equal(waitpid(test, NULL, 0), test);
    WAIT_UNTIL(is_gone(child), 60000);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* Runs `script` in a test of its own, whose scratch folder it is told; the signal that ended it. */
static int signal_of_test_that_runs(const char *script)
{
    pid_t test = fork();
    if (test == 0) {
        char *folder = scratch_folder("reports");
        char *log = mem_printf("%s/program.log", folder);
        const char *argv[] = {"sh", "-c", script, NULL};
        struct process *program = process_start("program", argv, NULL, log);
        (void)process_wait(program, 60000, NULL);
        process_stop_all(); /* whatever its code was */
        (void)unsetenv("SLUICE_KEEP");
        (void)freopen("/dev/null", "w", stderr);
        scratch_remove(folder);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(test, &status, 0), test);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_report_in_the_log_of_a_program_fails_its_test(void **state)
{
    (void)state;
    char *folder = scratch_folder("reports");
    char *parent = mem_strdup(getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    const char *reports[] = {
        "echo '==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1'; exit 1",
        "echo x; echo '==7==ERROR: LeakSanitizer: detected memory leaks'",
        "echo 'lib/base/number.c:7:9: runtime error: signed integer overflow'; kill -9 $$",
        "echo 'WARNING: ThreadSanitizer: data race (pid=7)'; echo more",
        "echo 'lib/base/buffer.c:7: this must hold and does not: size > 0'; kill -ABRT $$"};
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        assert_int_equal(signal_of_test_that_runs(reports[i]), SIGABRT);
    }
    assert_int_equal(signal_of_test_that_runs("echo 'ERROR: something that is no bug'; exit 1"), 0);
    assert_int_equal(setenv("TMPDIR", parent, 1), 0);
    const char *removal[] = {"rm", "-rf", folder, NULL}; /* scratch_remove would find them, too */
    struct output output = process_run(removal, NULL, 60000);
    assert_int_equal(output.code, 0);
    output_free(&output);
    mem_free(parent);
    mem_free(folder);
}

static void the_length_of_a_reply_counts_only_whole_ones(void **state)
{
    (void)state;
    const char *whole[] = {"+OK\r\n", "$5\r\nhello\r\n",
                           "$-1\r\n", "*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
                           "*-1\r\n", "%1\r\n+a\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        struct slice text = slice_of(whole[i]);
        assert_int_equal(raw_reply_length(text), text.len);
        for (size_t part = 0; part < text.len; part++) {
            assert_int_equal(raw_reply_length((struct slice){text.data, part}), 0);
        }
    }
}

static void ports_and_folders_are_not_given_twice(void **state)
{
    (void)state;
    uint16_t first = scratch_port();
    uint16_t second = scratch_port();
    assert_int_not_equal(first, second);
    char *folder = scratch_folder("test");
    char *copy = mem_strdup(folder);
    assert_int_equal(access(copy, W_OK), 0);
    scratch_remove(folder);
    assert_int_not_equal(access(copy, F_OK), 0);
    mem_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_kind_of_reply_is_one_line_of_text, clean_up),
        cmocka_unit_test_teardown(a_killed_server_comes_back_with_its_data_or_empty, clean_up),
        cmocka_unit_test(a_program_that_ran_tells_its_output_and_code),
        cmocka_unit_test(children_die_with_the_test_that_started_them),
        cmocka_unit_test_teardown(a_report_in_the_log_of_a_program_fails_its_test, clean_up),
        cmocka_unit_test(the_length_of_a_reply_counts_only_whole_ones),
        cmocka_unit_test(ports_and_folders_are_not_given_twice),
    };
    return cmocka_run_group_tests_name("tests/support", tests, NULL, NULL);
}
