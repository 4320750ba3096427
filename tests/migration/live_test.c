/* Whole migrations by the real programs, with clients at work through two proxies all the while.
 * Two judges that share no code with what they judge: the bank knows every value it has written,
 * compare reads both copies by the types' own commands. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/bank_run.h"
#include "tests/support/churn.h"
#include "tests/support/client.h"
#include "tests/support/migrations.h"
#include "tests/support/quiet.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"
#include "tests/support/zoo.h"

#define ACCOUNTS 1500
#define RATE     2500
#define CHURNERS 6
#define LONG_MS  60000
#define BACKLOG  3000

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .proxy_arguments = cluster_patient_proxy,
                                            .migrator_environment = cluster_patient_migrator};
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
    return 0;
}

/* Some load has gone by: so that a phase is not over before clients have written in it. */
static void let_clients_write(struct client *client, unsigned commands)
{
    for (unsigned i = 0; i < commands; i++) {
        expect_prefix(client, "INCR {live}:ticks", ":");
        clock_sleep_ms(1);
    }
}

static void end_undisturbed(struct bank_run *bank, struct churn *churn)
{
    uint64_t refused = 0;
    uint64_t answered = churn_end(churn, &refused);
    struct bank_result result = bank_run_end(bank);
    assert_int_equal(refused, 0);
    assert_int_equal(result.errors, 0);
    assert_true(answered > 0 && result.operations > 0);
}

// field lesson: keys left behind, completed
static void every_type_survives_a_split_a_rollback_and_a_split(void **state)
{
    (void)state;
    zoo_load(cluster);
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    struct churn *churn = churn_start(cluster, CHURNERS, scratch_seed());
    struct client *client = client_connect(cluster_proxy_port(cluster, 1));

    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    assert_true(migration_is_in(cluster, id, "switched"));
    let_clients_write(client, 200);
    compare_quietly(cluster, bank, churn);
    zoo_check(cluster, 0);

    cluster_tell(cluster, "rollback %s --wait", id);
    let_clients_write(client, 100);
    compare_quietly(cluster, bank, churn);
    zoo_check(cluster, 1);
    mem_free(id);

    id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    let_clients_write(client, 100);
    compare_quietly(cluster, bank, churn);
    cluster_tell(cluster, "finalize %s --wait", id);
    compare_quietly(cluster, bank, churn);
    zoo_check(cluster, 0);
    zoo_check(cluster, 1);
    mem_free(id);
    client_close(client);
    end_undisturbed(bank, churn);
}

static void an_abort_under_load_leaves_nothing_behind(void **state)
{
    (void)state;
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    struct churn *churn = churn_start(cluster, CHURNERS, scratch_seed());
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));

    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    let_clients_write(client, 100);
    compare_quietly(cluster, bank, churn);
    cluster_tell(cluster, "abort %s --wait", id);
    compare_quietly(cluster, bank, churn);
    mem_free(id);

    /* And one that is aborted in the middle of its copying. */
    id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch --keys-per-second 500");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
    let_clients_write(client, 100);
    cluster_tell(cluster, "abort %s --wait", id);
    compare_quietly(cluster, bank, churn);
    expect_prefix(client, "GET {live}:ticks", "200");
    mem_free(id);
    client_close(client);
    end_undisturbed(bank, churn);
}

// field lesson: one dead proxy blocked every move, and failover too
static void a_killed_proxy_loses_nothing_and_stops_no_migration(void **state)
{
    (void)state;
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
    cluster_restart_proxy(cluster, 1);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    process_kill(cluster_proxy(cluster, 1));
    cluster_tell(cluster, "switch %s --wait", id);
    cluster_restart_proxy(cluster, 1);
    compare_quietly(cluster, bank, NULL);
    cluster_tell(cluster, "finalize %s --wait", id);
    cluster_compare(cluster, "");
    mem_free(id);
    (void)bank_run_end(bank);
}

/* Writes that wait in the socket of a proxy that is stopped: it reads them the moment it goes on,
 * when it knows nothing yet of what has changed meanwhile. */
static void send_backlog(struct client *client)
{
    int done = 0;
    for (unsigned i = 0; i < BACKLOG; i++) {
        (void)redisAppendCommand(client_context(client), "INCR backlog:%u", i);
    }
    while (!done) {
        assert_int_equal(redisBufferWrite(client_context(client), &done), REDIS_OK);
    }
}

/* What was acknowledged is there, once; what was refused is not; what is unknown may be. */
static void check_backlog(struct client *client, struct client *other)
{
    for (unsigned i = 0; i < BACKLOG; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(client_context(client), (void **)&reply), REDIS_OK);
        char *outcome = client_reply_text(reply);
        char *command = mem_printf("GET backlog:%u", i);
        char *value = client_ask(other, command);
        bool is_there = strcmp(value, "1") == 0;
        bool is_right = strcmp(outcome, ":1") == 0                  ? is_there
                        : strncmp(outcome, "-UNAVAILABLE", 12) == 0 ? strcmp(value, "(nil)") == 0
                        : strncmp(outcome, "-UNKNOWN", 8) == 0
                            ? is_there || strcmp(value, "(nil)") == 0
                            : false;
        if (!is_right) {
            fail_msg("INCR backlog:%u answered %s, and now it is %s", i, outcome, value);
        }
        freeReplyObject(reply);
        mem_free(outcome);
        mem_free(command);
        mem_free(value);
    }
}

static void a_proxy_that_slept_through_the_switch_does_no_harm(void **state)
{
    (void)state;
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    struct client *client = client_connect(cluster_proxy_port(cluster, 1));
    struct client *other = client_connect(cluster_proxy_port(cluster, 0));
    expect(client, "PING", "+PONG");
    process_signal(cluster_proxy(cluster, 1), SIGSTOP);
    send_backlog(client);
    cluster_tell(cluster, "switch %s --wait", id);
    process_signal(cluster_proxy(cluster, 1), SIGCONT);
    check_backlog(client, other);
    cluster_wait_proxy_ready(cluster, 1);
    bank_run_tell(bank, "mark awake");
    let_clients_write(client, 100);
    client_close(client);
    client_close(other);
    compare_quietly(cluster, bank, NULL);
    cluster_tell(cluster, "rollback %s --wait", id);
    cluster_compare(cluster, "");
    mem_free(id);
    (void)bank_run_end(bank);
}

static void a_proxy_stopped_in_the_hold_does_no_harm(void **state)
{
    (void)state;
    const char *environment[] = {"SLUICE_FAIL=hold.after-barrier=stop@1", NULL};
    cluster_restart_migrator(cluster, environment);
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --hold-max 60s");
    WAIT_UNTIL(process_is_stopped(cluster_migrator(cluster)), LONG_MS);
    assert_true(migration_is_in(cluster, id, "hold"));
    process_signal(cluster_proxy(cluster, 1), SIGSTOP);
    process_signal(cluster_migrator(cluster), SIGCONT);
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), LONG_MS);
    process_signal(cluster_proxy(cluster, 1), SIGCONT);
    cluster_wait_proxy_ready(cluster, 1);
    struct client *client = client_connect(cluster_proxy_port(cluster, 1));
    let_clients_write(client, 100);
    client_close(client);
    compare_quietly(cluster, bank, NULL);
    cluster_tell(cluster, "finalize %s --wait", id);
    cluster_compare(cluster, "");
    mem_free(id);
    (void)bank_run_end(bank);
}

/* The target comes back as another process, with its data: a new base, and all is done again. */
static void a_target_that_dies_while_it_is_filled_is_filled_again(void **state)
{
    (void)state;
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    struct churn *churn = churn_start(cluster, CHURNERS, scratch_seed());
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    redis_server_restart(cluster_shard(cluster, 2), false);
    cluster_tell(cluster, "switch %s --wait", id);
    compare_quietly(cluster, bank, churn);
    cluster_tell(cluster, "finalize %s --wait", id);
    compare_quietly(cluster, bank, churn);
    mem_free(id);
    uint64_t refused = 0;
    (void)churn_end(churn, &refused);
    struct bank_result result = bank_run_end(bank);
    assert_int_equal(refused, 0);
    assert_int_equal(result.errors, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_survives_a_split_a_rollback_and_a_split),
        TEST(an_abort_under_load_leaves_nothing_behind),
        TEST(a_killed_proxy_loses_nothing_and_stops_no_migration),
        TEST(a_proxy_that_slept_through_the_switch_does_no_harm),
        TEST(a_proxy_stopped_in_the_hold_does_no_harm),
        TEST(a_target_that_dies_while_it_is_filled_is_filled_again),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
