/* Client libraries of Node.js, each through its normal features, against a proxy over three shards:
 * at rest, and while slots move. The programs are in tests/integration/node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/cluster.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define PROGRAM_MS   120000
#define INSTALL_MS   300000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool has_npm;
static bool has_node_20; /* which the newest libraries need; Debian 12 has 18 */

static int start(void **state)
{
    const char *const version[] = {"npm", "--version", NULL};
    const char *const install[] = {"scripts/node-clients", NULL};
    (void)state;
    struct output npm = process_run(version, NULL, INSTALL_MS);
    has_npm = npm.code == 0;
    output_free(&npm);
    if (!has_npm) {
        (void)fprintf(stderr, "*** npm is not installed: the client libraries of Node.js are NOT "
                              "TESTED. Run scripts/install-deps.\n");
        return 0;
    }
    const char *const is_node_20[] = {
        "node", "-e", "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)", NULL};
    struct output node = process_run(is_node_20, NULL, INSTALL_MS);
    has_node_20 = node.code == 0;
    output_free(&node);
    struct output output = process_run(install, NULL, INSTALL_MS);
    int failed = output.code;
    if (failed != 0) {
        (void)fprintf(stderr, "scripts/node-clients: code %d\n%s%s", output.code, output.out,
                      output.err);
    }
    output_free(&output);
    cluster = cluster_start(&(const struct cluster_options){.shards = 3, .has_migrator = true});
    return failed;
}

/* `library`: another version than the usual one, as package.json names it; or null. */
static struct process *start_program(const char *name, const char *rounds, const char *library)
{
    /* Without the native part, which is not installed. */
    const char *const environment[] = {"NODE_PATH=build/node/node_modules",
                                       "MSGPACKR_NATIVE_ACCELERATION_DISABLED=true", NULL};
    char port[8], path[128], log[512];
    (void)snprintf(port, sizeof(port), "%u", cluster_proxy_port(cluster, 0));
    (void)snprintf(path, sizeof(path), "tests/integration/node/%s.js", name);
    (void)snprintf(log, sizeof(log), "%s/%s.log", cluster_folder(cluster), name);
    const char *const argv[] = {"node", path, port, rounds, library, NULL};
    return process_start(name, argv, environment, log);
}

static void expect_success(struct process *program)
{
    int status = -1;
    bool has_ended = process_wait(program, PROGRAM_MS, &status);
    if (!has_ended || status != 0) {
        process_print_log(program, 40);
        fail_msg("%s", has_ended ? "it failed" : "it has not ended");
    }
    (void)process_stop(program);
}

static void run_program(const char *name, const char *library)
{
    if (!has_npm || (library != NULL && !has_node_20)) {
        skip();
    }
    expect_success(start_program(name, "2", library));
}

static void ioredis_works(void **state)
{
    (void)state;
    run_program("ioredis", NULL);
}

static void node_redis_works(void **state)
{
    (void)state;
    run_program("node_redis", NULL);
}

static void ioredis_6_works(void **state)
{
    (void)state;
    run_program("ioredis", "ioredis6");
}

static void node_redis_6_works(void **state)
{
    (void)state;
    run_program("node_redis", "redis6");
}

static void bullmq_works(void **state)
{
    (void)state;
    run_program("bullmq", NULL);
}

/* Most slots of one shard to another, and on round all of them. BullMQ's scripts write keys that
 * they do not declare. */
static void libraries_work_while_slots_move(void **state)
{
    static const char *const names[] = {"ioredis", "node_redis", "bullmq"};
    static const char *const moves[] = {"split s1 --to s2 --share 0.9 --wait",
                                        "split s2 --to s3 --share 0.9 --wait",
                                        "split s3 --to s1 --share 0.9 --wait"};
    struct process *programs[COUNT(names)];
    (void)state;
    if (!has_npm) {
        skip();
    }
    for (unsigned i = 0; i < COUNT(names); i++) {
        programs[i] = start_program(names[i], "12", NULL);
    }
    for (unsigned i = 0; i < COUNT(moves); i++) {
        cluster_tell(cluster, "%s", moves[i]);
        cluster_tell(cluster, "finalize --wait");
    }
    for (unsigned i = 0; i < COUNT(names); i++) {
        expect_success(programs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ioredis_works),    cmocka_unit_test(ioredis_6_works),
        cmocka_unit_test(node_redis_works), cmocka_unit_test(node_redis_6_works),
        cmocka_unit_test(bullmq_works),     cmocka_unit_test(libraries_work_while_slots_move),
    };
    return cmocka_run_group_tests_name("node", tests, start, stage_clear);
}
