/* The runbooks of docs/operations.md, run as they stand there: the commands are taken from the
 * page. What only a real machine has, systemctl and ip, are stand-ins that ask the test to do it.
 * Run from the root of the tree. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define PAGE        "docs/operations.md"
#define PATIENCE_MS 60000
#define KEYS        60

static struct redis_server *replicas[2]; /* of s1 and s2; null without */
static struct client *client;
static char *folder;    /* stand-ins, and what they ask */
static char *page;      /* PAGE, zero-terminated */
static char *migration; /* the name of one, whose copy is s2; null: none */

/* --- the page --------------------------------------------------------------------------------- */

static void read_page(void)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, SIZE_MAX);
    if (!file_read(PAGE, &text, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    buffer_add(&text, "", 1);
    page = mem_strdup(buffer_slice(&text).data);
    buffer_fini(&text);
}

/* Behind the heading's line. */
static const char *section_of(const char *heading)
{
    char *line = mem_printf("\n### %s\n", heading);
    const char *at = strstr(page, line);
    if (at == NULL) {
        fail_msg("%s has no runbook \"%s\"", PAGE, heading);
    }
    at += strlen(line);
    mem_free(line);
    return at;
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    return end != NULL ? end + 1 : line + strlen(line);
}

static bool is_command(const char *line)
{
    return strncmp(line, "    ", 4) == 0;
}

/* The lines of the section's block of that number, from 0 on; freed with mem_free. */
static char *block_of(const char *heading, unsigned number)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    bool is_inside = false;
    for (const char *line = section_of(heading); *line != '\0' && *line != '#';
         line = next_line(line)) {
        if (is_inside && !is_command(line) && number-- == 0) {
            break;
        }
        is_inside = is_command(line);
        if (is_inside && number == 0) {
            buffer_add(&text, line + 4, (size_t)(next_line(line) - line - 4));
        }
    }
    buffer_add(&text, "", 1);
    char *block = mem_strdup(buffer_slice(&text).data);
    buffer_fini(&text);
    if (block[0] == '\0') {
        fail_msg("runbook \"%s\" has too few blocks of commands", heading);
    }
    return block;
}

/* --- the stand-ins ---------------------------------------------------------------------------- */

static char *path_in_folder(const char *name)
{
    return mem_printf("%s/%s", folder, name);
}

static void write_stand_in(const char *name)
{
    struct error err;
    char *path = path_in_folder(name);
    assert_true(file_write(path,
                           SLICE("#!/bin/sh\n"
                                 "cd \"${0%/*}\"\n"
                                 "echo \"${0##*/} $*\" >asking && mv asking asked\n"
                                 "while [ ! -e done ]; do sleep 0.02; done\n"
                                 "rm done\n"),
                           &err));
    assert_int_equal(chmod(path, 0755), 0);
    mem_free(path);
}

static void restart_proxy(void)
{
    process_kill(cluster_proxy(cluster, 0));
    cluster_restart_proxy(cluster, 0);
    cluster_wait_proxy_ready(cluster, 0);
}

static void restart_migrator(void)
{
    cluster_restart_migrator(cluster, NULL);
}

static void stop_migrator(void)
{
    process_kill(cluster_migrator(cluster));
}

static void restart_redis(void)
{
    redis_server_restart(cluster_shard(cluster, 0), false);
}

/* The replica is reached where the shard was. */
static void move_address(void)
{
    struct client *direct = client_connect(redis_server_port(replicas[0]));
    char *command = mem_printf("CONFIG SET port %u", cluster_shard_port(cluster, 0));
    expect(direct, command, "+OK");
    mem_free(command);
    client_close(direct);
}

static void act(const char *asked)
{
    static const struct {
        const char *words;
        void (*act)(void);
    } actions[] = {
        {"systemctl restart sluice-proxy\n", restart_proxy},
        {"systemctl restart sluice-migrator\n", restart_migrator},
        {"systemctl start sluice-migrator\n", restart_migrator},
        {"systemctl stop sluice-migrator\n", stop_migrator},
        {"systemctl restart redis-server\n", restart_redis},
        {"ip address add 127.0.0.1 dev lo\n", move_address},
    };

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].words, asked) == 0) {
            actions[i].act();
            return;
        }
    }
    fail_msg("nobody knows how to do \"%s\"", asked);
}

static void do_what_is_asked(void)
{
    struct error err;
    struct buffer asked;
    char *asked_path = path_in_folder("asked");
    if (access(asked_path, F_OK) == 0) {
        buffer_init(&asked, SIZE_MAX);
        assert_true(file_read(asked_path, &asked, NULL, &err));
        buffer_add(&asked, "", 1);
        assert_int_equal(unlink(asked_path), 0);
        act(buffer_slice(&asked).data);
        char *done = path_in_folder("done");
        assert_true(file_write(done, SLICE(""), &err));
        mem_free(done);
        buffer_fini(&asked);
    }
    mem_free(asked_path);
}

static bool is_over(struct process *shell)
{
    do_what_is_asked();
    return !process_is_running(shell);
}

/* --- running ---------------------------------------------------------------------------------- */

static unsigned replica_port(unsigned shard)
{
    return replicas[shard] != NULL ? redis_server_port(replicas[shard]) : 0;
}

static char **environment_new(void)
{
    const char *bin = getenv("SLUICE_BIN");
    char **environment = mem_zalloc(20 * sizeof(*environment));
    char here[4096];
    assert_non_null(getcwd(here, sizeof(here)));
    bool is_absolute = bin != NULL && bin[0] == '/';
    environment[0] =
        mem_printf("PATH=%s:%s%s%s:%s", folder, is_absolute ? "" : here, is_absolute ? "" : "/",
                   bin != NULL ? bin : "build/debug", getenv("PATH"));
    environment[1] = mem_printf("SLUICE_STORE=%s", cluster_store(cluster));
    environment[2] = mem_strdup("PROXY_HOST=127.0.0.1");
    environment[3] = mem_printf("PROXY_PORT=%u", cluster_proxy_port(cluster, 0));
    environment[4] = mem_strdup("SHARD=s1");
    environment[5] = mem_strdup("SHARD_HOST=127.0.0.1");
    environment[6] = mem_printf("SHARD_PORT=%u", cluster_shard_port(cluster, 0));
    environment[7] = mem_strdup("REPLICA_HOST=127.0.0.1");
    environment[8] = mem_printf("REPLICA_PORT=%u", replica_port(0));
    environment[9] = mem_printf("BACKUP=%s/backup", folder);
    environment[10] = mem_strdup("INTERFACE=lo");
    environment[11] = mem_printf("SITE1=127.0.0.1:%u", replica_port(0));
    environment[12] = mem_printf("SITE2=127.0.0.1:%u", replica_port(1));
    environment[13] = mem_strdup("OLD_HOST=127.0.0.1");
    environment[14] = mem_printf("OLD_PORT=%u", cluster_shard_port(cluster, 0));
    environment[15] = mem_strdup("COPY_HOST=127.0.0.1");
    environment[16] = mem_printf("COPY_PORT=%u", cluster_shard_port(cluster, 1));
    environment[17] = mem_printf("MIGRATION=%s", migration != NULL ? migration : "");
    return environment;
}

static void run(const char *heading, unsigned number)
{
    char *block = block_of(heading, number);
    char *log = path_in_folder("log");
    char **environment = environment_new();
    const char *argv[] = {"sh", "-eu", "-c", block, NULL};
    struct process *shell = process_start("runbook", argv, (const char *const *)environment, log);
    WAIT_UNTIL(is_over(shell), PATIENCE_MS);
    int status = 0;
    assert_true(process_wait(shell, 0, &status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        process_print_log(shell, 30);
        fail_msg("runbook \"%s\" failed; its output is above", heading);
    }
    (void)process_stop(shell);
    for (unsigned i = 0; environment[i] != NULL; i++) {
        mem_free(environment[i]);
    }
    mem_free(environment);
    mem_free(log);
    mem_free(block);
}

static int start(void **state)
{
    static const char *const arguments[] = {"--connect-timeout", "200ms", "--wait-max", "200ms",
                                            NULL};
    static const char *const redis[] = {"--repl-diskless-sync-delay", "0", NULL};
    (void)state;
    cluster = cluster_start(&(const struct cluster_options){.shards = 3,
                                                            .proxies = 2,
                                                            .has_migrator = true,
                                                            .redis_options = redis,
                                                            .proxy_arguments = arguments});
    folder = mem_printf("%s/runbook", cluster_folder(cluster));
    assert_int_equal(mkdir(folder, 0755), 0);
    write_stand_in("systemctl");
    write_stand_in("ip");
    read_page();
    client = client_connect(cluster_proxy_port(cluster, 1));
    for (unsigned i = 0; i < KEYS; i++) {
        char command[64];
        (void)snprintf(command, sizeof(command), "SET k%u v%u", i, i);
        expect_within(client, command, "+OK", PATIENCE_MS);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    client_close(client);
    for (unsigned i = 0; i < 2; i++) {
        redis_server_stop(replicas[i]);
        replicas[i] = NULL;
    }
    cluster_stop(cluster);
    mem_free(folder);
    mem_free(page);
    process_stop_all();
    return 0;
}

/* Through this proxy all keys are there. */
static bool has_all(unsigned proxy)
{
    struct client *reader = client_try_connect(cluster_proxy_port(cluster, proxy));
    bool has = reader != NULL;
    for (unsigned i = 0; has && i < KEYS; i++) {
        char command[64], value[64];
        (void)snprintf(command, sizeof(command), "GET k%u", i);
        (void)snprintf(value, sizeof(value), "v%u", i);
        has = client_gets(reader, command, value);
    }
    client_close(reader);
    return has;
}

static void expect_all(void)
{
    WAIT_UNTIL(has_all(0) && has_all(1), PATIENCE_MS);
}

/* The number of the shard's first key, from that one on. */
static unsigned key_of(unsigned shard, unsigned from)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, shard));
    bool is_found = false;
    unsigned i = from;
    while (!is_found && i < KEYS) {
        char command[64];
        (void)snprintf(command, sizeof(command), "EXISTS k%u", i++);
        is_found = client_gets(direct, command, ":1");
    }
    assert_true(is_found);
    client_close(direct);
    return i - 1;
}

static char *get_of_first_shard(void)
{
    return mem_printf("GET k%u", key_of(0, 0));
}

static bool is_unavailable(const char *command)
{
    char *reply = client_ask(client, command);
    bool is = strncmp(reply, "-UNAVAILABLE", 12) == 0;
    mem_free(reply);
    return is;
}

static bool has_open_migrations(void)
{
    char *status = cluster_ctl_ok(cluster, "status");
    bool has = strstr(status, "no open migrations") == NULL;
    mem_free(status);
    return has;
}

/* To the end: nothing is left of the migration but its journal. */
static void move_slots(const char *slots)
{
    cluster_tell(cluster, "move %s --to s3 --finalize-after 0 --wait", slots);
    WAIT_UNTIL(!has_open_migrations(), PATIENCE_MS);
    cluster_compare(cluster, "");
}

static bool succeeds(const char *words)
{
    struct output output = cluster_ctl(cluster, words);
    bool ok = output.code == 0;
    output_free(&output);
    return ok;
}

/* --- the runbooks ----------------------------------------------------------------------------- */

static void a_proxy_is_lost(void **state)
{
    (void)state;
    process_kill(cluster_proxy(cluster, 0));
    assert_true(has_all(1));
    run("A proxy is lost", 0);
    expect_all();
}

static void the_migrator_is_lost(void **state)
{
    (void)state;
    cluster_tell(cluster, "split s1 --to s3 --manual-switch");
    process_kill(cluster_migrator(cluster));
    expect_all();
    run("The migrator is lost", 0);
    WAIT_UNTIL(succeeds("switch --wait"), PATIENCE_MS); /* refused until it has copied */
    expect_all();
    cluster_compare(cluster, "");
}

static void a_shard_without_a_replica_is_lost(void **state)
{
    (void)state;
    char *get = get_of_first_shard();
    redis_server_kill(cluster_shard(cluster, 0));
    WAIT_UNTIL(is_unavailable(get), PATIENCE_MS);
    run("A shard without a replica is lost", 0);
    expect_all();
    move_slots("0-9");
    mem_free(get);
}

static void a_shard_comes_back_empty(void **state)
{
    (void)state;
    char *get = get_of_first_shard();
    redis_server_restart(cluster_shard(cluster, 0), true);
    WAIT_UNTIL(is_unavailable(get), PATIENCE_MS);
    run("A shard comes back empty", 0);
    expect_within(client, get, "(nil)", PATIENCE_MS);
    move_slots("0-9");
    mem_free(get);
}

static void copy_folder(const char *from, const char *to)
{
    const char *argv[] = {"sh", "-ec", "rm -rf \"$1\"; cp -a \"$0\" \"$1\"", from, to, NULL};
    struct output output = process_run(argv, NULL, PATIENCE_MS);
    assert_int_equal(output.code, 0);
    output_free(&output);
}

/* With the file that it had before it took the slots over. */
static void set_first_shard_back(const char *before)
{
    struct redis_server *shard = cluster_shard(cluster, 0);
    char *files = mem_printf("%s/appendonlydir", redis_server_folder(shard));
    redis_server_kill(shard);
    copy_folder(before, files);
    redis_server_restart(shard, false);
    mem_free(files);
}

static bool is_verified(void)
{
    char *status = cluster_ctl_ok(cluster, "status");
    bool is = strstr(status, "    verified; sluicectl switch") != NULL;
    mem_free(status);
    return is;
}

/* Two keys have changed since: one has another value, one is gone. */
static void a_shard_comes_back_without_slots_that_it_took_over(void **state)
{
    static const char heading[] = "A shard comes back without slots that it took over";
    (void)state;
    unsigned changed = key_of(1, 0), deleted = key_of(1, changed + 1);
    char *get = mem_printf("GET k%u", changed), *set = mem_printf("SET k%u later", changed);
    char *gone = mem_printf("EXISTS k%u", deleted), *del = mem_printf("DEL k%u", deleted);
    char *back = mem_printf("SET k%u v%u", changed, changed);
    char *renew = mem_printf("SET k%u v%u", deleted, deleted);
    char *before = path_in_folder("before");
    char *files = mem_printf("%s/appendonlydir", redis_server_folder(cluster_shard(cluster, 0)));
    migration = cluster_ctl_ok(cluster, "split s2 --to s1 --share 1 --manual-switch");
    migration[strcspn(migration, "\n")] = '\0';
    WAIT_UNTIL(is_verified(), PATIENCE_MS);
    copy_folder(files, before);
    cluster_tell(cluster, "switch --wait");
    expect(client, set, "+OK");
    expect(client, del, ":1");
    set_first_shard_back(before);
    WAIT_UNTIL(is_unavailable(get), PATIENCE_MS);

    run(heading, 0);
    run(heading, 1);
    expect_within(client, get, "later", PATIENCE_MS);
    expect(client, gone, ":0");
    cluster_tell(cluster, "rollback --wait");
    WAIT_UNTIL(!has_open_migrations(), PATIENCE_MS);
    expect(client, get, "later");
    expect(client, gone, ":0");
    expect(client, back, "+OK");
    expect(client, renew, "+OK");
    expect_all();
    cluster_compare(cluster, "");
    char *all[] = {get, set, gone, del, back, renew, before, files, migration};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        mem_free(all[i]);
    }
    migration = NULL;
}

/* Proven: proxies have noticed that the primary took another replication id with its replica. */
static bool can_fail_over(unsigned shard)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "plan failover s%u --to 127.0.0.1:%u", shard + 1,
                   replica_port(shard));
    struct output output = cluster_ctl(cluster, words);
    bool can = output.code == 0 && strstr(output.out, "a replica of the process") != NULL;
    output_free(&output);
    return can;
}

static void start_replica(unsigned shard)
{
    char port[16];
    (void)snprintf(port, sizeof(port), "%u", cluster_shard_port(cluster, shard));
    replicas[shard] =
        redis_server_start((const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
    struct client *primary = client_connect(cluster_shard_port(cluster, shard));
    struct client *copy = client_connect(redis_server_port(replicas[shard]));
    char *size = client_ask(primary, "DBSIZE");
    expect_within(copy, "DBSIZE", size, PATIENCE_MS);
    WAIT_UNTIL(can_fail_over(shard), PATIENCE_MS);
    mem_free(size);
    client_close(primary);
    client_close(copy);
}

static void a_shard_with_a_replica_is_lost(void **state)
{
    (void)state;
    start_replica(0);
    redis_server_kill(cluster_shard(cluster, 0));
    run("A shard with a replica is lost", 0);
    expect_all();
    move_slots("0-9");
}

static void lose_store(void)
{
    char *lost = path_in_folder("lost");
    assert_int_equal(rename(cluster_store(cluster) + strlen("file:"), lost), 0);
    mem_free(lost);
}

static bool has_open_formers(void)
{
    char *list = cluster_ctl_ok(cluster, "shard list");
    bool has = strstr(list, "former primary") != NULL;
    mem_free(list);
    return has;
}

static bool migrator_says(const char *text)
{
    char *body = NULL;
    bool is_said = http_get(cluster_migrator_admin_port(cluster), "/metrics", &body) == 200 &&
                   strstr(body, text) != NULL;
    mem_free(body);
    return is_said;
}

static bool sets(unsigned proxy, const char *set)
{
    struct client *writer = client_try_connect(cluster_proxy_port(cluster, proxy));
    bool is_set = writer != NULL && client_gets(writer, set, "+OK");
    client_close(writer);
    return is_set;
}

/* What is written from now on, through old proxies too, is on none of the old servers. */
static void expect_no_stale_write(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char command[64], value[64];
        (void)snprintf(command, sizeof(command), "SET k%u new%u", i, i);
        (void)snprintf(value, sizeof(value), "new%u", i);
        WAIT_UNTIL(sets(1, command), PATIENCE_MS);
        (void)snprintf(command, sizeof(command), "GET k%u", i);
        struct client *reader = client_connect(cluster_proxy_port(cluster, 0));
        expect(reader, command, value);
        client_close(reader);
        for (unsigned shard = 0; shard < 2; shard++) {
            struct client *old = client_connect(cluster_shard_port(cluster, shard));
            assert_false(client_gets(old, command, value));
            client_close(old);
        }
    }
}

/* Half of it dies, and the other half hangs: a primary and a proxy that know nothing when they go
 * on. */
static void a_whole_site_is_lost(void **state)
{
    (void)state;
    struct process *primary = redis_server_process(cluster_shard(cluster, 0));
    start_replica(0);
    start_replica(1);
    run("The store is lost", 1);
    process_signal(cluster_proxy(cluster, 1), SIGSTOP);
    process_signal(primary, SIGSTOP);
    redis_server_kill(cluster_shard(cluster, 1));
    process_kill(cluster_proxy(cluster, 0));
    stop_migrator();
    lose_store();
    run("A whole site is lost", 0);
    run("A whole site is lost", 1);
    WAIT_UNTIL(has_all(0), PATIENCE_MS);
    WAIT_UNTIL(migrator_says("\nsluice_former_primaries 2\n"), PATIENCE_MS);

    process_signal(primary, SIGCONT);
    redis_server_restart(cluster_shard(cluster, 1), false);
    WAIT_UNTIL(!has_open_formers(), PATIENCE_MS);
    WAIT_UNTIL(migrator_says("\nsluice_former_primaries 0\n"), PATIENCE_MS);
    process_signal(cluster_proxy(cluster, 1), SIGCONT);
    expect_all();
    expect_no_stale_write();
    run("A whole site is lost", 2);
    move_slots("0-9");
}

static void the_store_is_lost(void **state)
{
    (void)state;
    move_slots("0-9");
    run("The store is lost", 1);
    lose_store();
    expect_all();
    run("The store is lost", 0);
    expect_all();
    move_slots("10-19");
    expect_all();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

static const struct CMUnitTest runbooks[] = {
    TEST(a_proxy_is_lost),
    TEST(the_migrator_is_lost),
    TEST(a_shard_without_a_replica_is_lost),
    TEST(a_shard_comes_back_empty),
    TEST(a_shard_comes_back_without_slots_that_it_took_over),
    TEST(a_shard_with_a_replica_is_lost),
    TEST(the_store_is_lost),
    TEST(a_whole_site_is_lost),
};

static void no_runbook_of_the_page_is_left_out(void **state)
{
    (void)state;
    unsigned count = 0;
    read_page();
    const char *at = strstr(page, "\n## Runbooks\n");
    assert_non_null(at);
    const char *end = strstr(at + 1, "\n## ");
    while ((at = strstr(at + 1, "\n### ")) != NULL && (end == NULL || at < end)) {
        count++;
    }
    assert_int_equal(count, sizeof(runbooks) / sizeof(runbooks[0]));
    mem_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_runbook_of_the_page_is_left_out)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests(runbooks, NULL, NULL);
}
