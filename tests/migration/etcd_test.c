/* A live migration over an etcd cluster of three members, one of them dead, hung or cut off at a
 * time; then all of them. Clients notice none of it: the bank and the churn count every error. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/bank_run.h"
#include "tests/support/churn.h"
#include "tests/support/client.h"
#include "tests/support/etcd.h"
#include "tests/support/http.h"
#include "tests/support/migrations.h"
#include "tests/support/quiet.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define ACCOUNTS 1000
#define RATE     1500
#define CHURNERS 3
#define LONG_MS  60000

static struct etcd_cluster *etcd;
static struct bank_run *bank; /* through all tests */
static struct churn *churn;

static int start(void **state)
{
    (void)state;
    char url[256];
    const struct etcd_options etcd_options = {.has_wires = true};
    etcd = etcd_cluster_start(3, &etcd_options);
    etcd_cluster_url(etcd, 0, "live", url, sizeof(url));
    const struct cluster_options options = {.shards = 2,
                                            .spares = 1,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .has_reserve = true,
                                            .proxy_arguments = cluster_patient_proxy,
                                            .migrator_environment = cluster_patient_migrator,
                                            .store = url};
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
    bank = bank_run_start(cluster, ACCOUNTS, RATE);
    churn = churn_start(cluster, CHURNERS, scratch_seed());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    etcd_cluster_stop(etcd);
    process_stop_all();
    return 0;
}

/* --- one member ---------------------------------------------------------------------------- */

static void kill_member(unsigned member)
{
    process_kill(etcd_cluster_member(etcd, member));
}

static void restart_member(unsigned member)
{
    etcd_cluster_restart(etcd, member);
}

static void stop_member(unsigned member)
{
    process_signal(etcd_cluster_member(etcd, member), SIGSTOP);
}

static void continue_member(unsigned member)
{
    process_signal(etcd_cluster_member(etcd, member), SIGCONT);
}

static void cut_member(unsigned member)
{
    etcd_cluster_cut(etcd, member, true);
}

static void heal_member(unsigned member)
{
    etcd_cluster_cut(etcd, member, false);
}

struct fault {
    const char *name;
    void (*begin)(unsigned member);
    void (*end)(unsigned member);
};

/* The member that all programs talk to first is the one that is hit: 0. */
static const struct fault faults[] = {
    {"killed", kill_member, restart_member},
    {"stopped", stop_member, continue_member},
    {"cut off", cut_member, heal_member},
};

static void there_and_back(const struct fault *fault, unsigned member)
{
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
    print_message("member %u is %s\n", member, fault->name);
    fault->begin(member);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    cluster_tell(cluster, "rollback %s --wait", id);
    fault->end(member);
    mem_free(id);
}

static void a_migration_goes_on_with_two_of_three_members(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        there_and_back(&faults[i], i);
        etcd_cluster_wait(etcd);
    }
    compare_quietly(cluster, bank, churn);
}

/* --- all members --------------------------------------------------------------------------- */

static bool says(uint16_t port, const char *path, const char *words, int status)
{
    char *body = NULL;
    bool ok = http_get(port, path, &body) == status && body != NULL && strstr(body, words) != NULL;
    mem_free(body);
    return ok;
}

static void without_a_store_proxies_serve_and_say_so_and_catch_up(void **state)
{
    (void)state;
    uint16_t admin = cluster_proxy_admin_port(cluster, 0);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    for (unsigned i = 0; i < 3; i++) {
        stop_member(i);
    }
    WAIT_UNTIL(says(admin, "/readyz", "the store does not answer", 200), LONG_MS);
    WAIT_UNTIL(says(admin, "/metrics", "sluice_store_answers 0", 200), LONG_MS);
    expect(client, "SET {live}:alone 1", "+OK");
    for (unsigned i = 0; i < 3; i++) {
        continue_member(i);
    }
    WAIT_UNTIL(says(admin, "/metrics", "sluice_store_answers 1", 200), LONG_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    cluster_tell(cluster, "finalize %s --wait", id);
    expect(client, "GET {live}:alone", "1");
    compare_quietly(cluster, bank, churn);
    client_close(client);
    mem_free(id);
}

/* --- the migrators ------------------------------------------------------------------------- */

static bool leads(uint16_t port)
{
    return says(port, "/metrics", "sluice_migrator_leads 1", 200);
}

static void the_reserve_goes_on_when_the_leader_is_killed_or_stopped(void **state)
{
    (void)state;
    uint16_t first = cluster_migrator_admin_port(cluster);
    uint16_t second = cluster_reserve_admin_port(cluster);
    bool first_leads = leads(first);
    assert_true(first_leads != leads(second));
    char *id = migration_open_by_ctl(cluster, "split s2 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);

    struct process *leader = first_leads ? cluster_migrator(cluster) : cluster_reserve(cluster);
    process_signal(leader, SIGSTOP);
    uint64_t stopped_us = clock_now_us();
    WAIT_UNTIL(leads(first_leads ? second : first), LONG_MS);
    print_message("the reserve leads after %llu ms\n",
                  (unsigned long long)((clock_now_us() - stopped_us) / 1000));
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    /* The first goes on where it was stopped, and learns that it leads no more. */
    process_signal(leader, SIGCONT);
    WAIT_UNTIL(!leads(first_leads ? first : second), LONG_MS);

    process_kill(first_leads ? cluster_reserve(cluster) : cluster_migrator(cluster));
    cluster_tell(cluster, "rollback %s --wait", id);
    compare_quietly(cluster, bank, churn);
    mem_free(id);
}

static void clients_have_noticed_nothing(void **state)
{
    (void)state;
    uint64_t refused = 0;
    uint64_t answered = churn_end(churn, &refused);
    struct bank_result result = bank_run_end(bank);
    assert_int_equal(refused, 0);
    assert_int_equal(result.errors, 0);
    assert_true(answered > 0 && result.operations > 0);
    cluster_compare(cluster, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_migration_goes_on_with_two_of_three_members),
        cmocka_unit_test(without_a_store_proxies_serve_and_say_so_and_catch_up),
        cmocka_unit_test(the_reserve_goes_on_when_the_leader_is_killed_or_stopped),
        cmocka_unit_test(clients_have_noticed_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
