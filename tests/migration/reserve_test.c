/* More than one migrator: one leads and the others are in reserve; and what happens when two lead,
 * as they may for a moment after one was stopped: no harm. Over the file store; etcd_test.c has the
 * same over etcd. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/bank_run.h"
#include "tests/support/churn.h"
#include "tests/support/client.h"
#include "tests/support/http.h"
#include "tests/support/migrations.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define ACCOUNTS   800
#define RATE       1200
#define LONG_MS    60000
#define PREFLIGHTS 10
#define FUNCTION_LOAD \
    "FUNCTION LOAD \"#!lua name=lib\nredis.register_function('f', function() end)\""

static void start_with(const char *const *environment)
{
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .has_reserve = true,
                                            .migrator_environment = environment};
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
}

static int start(void **state)
{
    (void)state;
    start_with(NULL);
    return 0;
}

/* lease.c: all believe that they lead. */
static int start_with_two_leaders(void **state)
{
    static const char *const environment[] = {"SLUICE_FAIL=rule.all-lead=error", NULL};
    (void)state;
    start_with(environment);
    return 0;
}

static bool metrics_say(uint16_t port, const char *text)
{
    char *body = NULL;
    bool ok =
        http_get(port, "/metrics", &body) == 200 && body != NULL && strstr(body, text) != NULL;
    mem_free(body);
    return ok;
}

/* What stands behind `label`; 0 when it is not there. */
static double metric(uint16_t port, const char *label)
{
    char *body = NULL;
    const char *found = http_get(port, "/metrics", &body) == 200 ? strstr(body, label) : NULL;
    double value = found != NULL ? strtod(found + strlen(label), NULL) : 0;
    mem_free(body);
    return value;
}

static bool leads(uint16_t port)
{
    return metrics_say(port, "sluice_migrator_leads 1");
}

static void the_reserve_goes_on_within_seconds(void **state)
{
    (void)state;
    uint16_t first = cluster_migrator_admin_port(cluster);
    uint16_t second = cluster_reserve_admin_port(cluster);
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    WAIT_UNTIL(leads(first) && !leads(second), LONG_MS);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
    process_signal(cluster_migrator(cluster), SIGSTOP);
    WAIT_UNTIL(leads(second), LONG_MS);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    char *phase =
        mem_printf("sluice_migration_phase{migration=\"%s\",phase=\"dual-write\"} 1\n", id);
    WAIT_UNTIL(metrics_say(second, phase), LONG_MS);
    mem_free(phase);
    cluster_tell(cluster, "switch %s --wait", id);
    char *hold = mem_printf("sluice_migration_hold_max_seconds{migration=\"%s\"} ", id);
    WAIT_UNTIL(metric(second, hold) > 0, LONG_MS);
    mem_free(hold);
    assert_true(metrics_say(second, "sluice_log_suppressed_total "));
    /* It wakes up, and learns that another leads; then that one is killed. */
    process_signal(cluster_migrator(cluster), SIGCONT);
    WAIT_UNTIL(!leads(first) && leads(second), LONG_MS);
    process_kill(cluster_reserve(cluster));
    WAIT_UNTIL(leads(first), LONG_MS);
    cluster_tell(cluster, "finalize %s --wait", id);
    struct bank_result result = bank_run_end(bank);
    assert_int_equal(result.errors, 0);
    cluster_compare(cluster, "");
    mem_free(id);
}

static bool readyz_says(uint16_t port, int code, const char *text)
{
    char *body = NULL;
    bool ok =
        http_get(port, "/readyz", &body) == code && body != NULL && strstr(body, text) != NULL;
    mem_free(body);
    return ok;
}

static void exchange(const char *a, const char *b)
{
    assert_int_equal(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), 0);
}

static void who_cannot_renew_its_lease_is_not_ready(void **state)
{
    static const char why[] = "the lease cannot be renewed: cannot open folder";
    (void)state;
    uint16_t port = cluster_migrator_admin_port(cluster);
    char *leaders = mem_printf("%s/leaders", cluster_store(cluster) + strlen("file:"));
    char *away = mem_printf("%s.away", leaders);
    WAIT_UNTIL(readyz_says(port, 200, "ready\n"), LONG_MS);
    int fd = open(away, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    /* At once: whoever finds no folder makes one. */
    exchange(leaders, away);
    WAIT_UNTIL(readyz_says(port, 503, why), LONG_MS);
    assert_false(leads(port));
    exchange(leaders, away);
    WAIT_UNTIL(readyz_says(port, 200, "ready\n"), LONG_MS);
    mem_free(leaders);
    mem_free(away);
}

/* `sluicectl --wait` would not wait any longer. */
static bool has_refused(void)
{
    char *journal = cluster_ctl_ok(cluster, "journal --json");
    const char *refused = strstr(journal, "\"ok\": false");
    if (refused != NULL) {
        print_message("%.4000s\n", refused);
    }
    mem_free(journal);
    return refused != NULL;
}

/* Both look at the shards at the same time, once for each migration, and copy functions. */
static void two_that_both_lead_do_not_meet_in_their_preflights(void **state)
{
    (void)state;
    WAIT_UNTIL(leads(cluster_migrator_admin_port(cluster)), LONG_MS);
    WAIT_UNTIL(leads(cluster_reserve_admin_port(cluster)), LONG_MS);
    struct client *source = client_connect(cluster_shard_port(cluster, 0));
    struct client *target = client_connect(cluster_shard_port(cluster, 2));
    for (unsigned i = 0; i < PREFLIGHTS; i++) {
        expect(source, FUNCTION_LOAD, "lib");
        char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --manual-switch");
        WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
        cluster_tell(cluster, "abort %s --wait", id);
        expect(target, "KEYS __sluice:scratch*", "[]");
        expect(target, "FUNCTION DELETE lib", "+OK");
        expect(source, "FUNCTION DELETE lib", "+OK");
        mem_free(id);
    }
    assert_false(has_refused());
    client_close(source);
    client_close(target);
}

static void two_that_both_lead_do_no_harm(void **state)
{
    (void)state;
    WAIT_UNTIL(leads(cluster_migrator_admin_port(cluster)), LONG_MS);
    WAIT_UNTIL(leads(cluster_reserve_admin_port(cluster)), LONG_MS);
    struct bank_run *bank = bank_run_start(cluster, ACCOUNTS, RATE);
    struct churn *churn = churn_start(cluster, 4, scratch_seed());
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --wait");
    cluster_tell(cluster, "rollback %s --wait", id);
    mem_free(id);
    id = migration_open_by_ctl(cluster, "split s2 --to s3 --wait");
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
    uint64_t refused = 0;
    uint64_t answered = churn_end(churn, &refused);
    struct bank_result result = bank_run_end(bank);
    print_message("%llu operations, %llu errors\n", (unsigned long long)result.operations,
                  (unsigned long long)result.errors);
    assert_true(answered > 0 && result.operations > 0);
    assert_int_equal(result.errors, 0);
    cluster_compare(cluster, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_reserve_goes_on_within_seconds, start),
        cmocka_unit_test_teardown(who_cannot_renew_its_lease_is_not_ready, stage_clear),
        cmocka_unit_test_setup(two_that_both_lead_do_not_meet_in_their_preflights,
                               start_with_two_leaders),
        cmocka_unit_test_teardown(two_that_both_lead_do_no_harm, stage_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
