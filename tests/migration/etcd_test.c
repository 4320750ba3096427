/* A live migration over an etcd cluster of three members, one of them dead, hung or cut off at a
 * time; then all of them. Clients notice none of it: the bank and the churn count every error. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
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
#define LONG_MS  120000
/* Longer than a machine can be busy, and short enough to be waited for. */
#define LONG_HOLD_MS  30000
#define SHORT_HOLD_MS 1000

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

static bool is_accepted(const char *verb, const char *id)
{
    char *words = mem_printf("%s %s", verb, id);
    struct output output = cluster_ctl(cluster, words);
    bool is_good = output.code == 0;
    output_free(&output);
    mem_free(words);
    return is_good;
}

/* A store that has just lost a member may be asked in vain once, by whoever would --wait, too; what
 * was asked for may hold all the same. */
static void bring_to(const char *phase, const char *verb, const char *id)
{
    WAIT_UNTIL(is_accepted(verb, id) || migration_is_in(cluster, id, phase), LONG_MS);
    WAIT_UNTIL(migration_is_in(cluster, id, phase), LONG_MS);
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
    bring_to("switched", "switch", id);
    bring_to("closed", "rollback", id);
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

/* --- one member, in the hold ---------------------------------------------------------------- */

/* All is drained, and the copy is the owner by its guard: only the change is missing. */
static void restart_migrator_that_hangs_in_each_hold(void)
{
    static const char *const stops[] = {
        "SLUICE_FAIL=barrier.spares-always=error,hold.before-switched-cas=stop", NULL};
    process_signal(cluster_reserve(cluster), SIGSTOP); /* else it goes on with the migration */
    cluster_restart_migrator(cluster, stops);
}

static bool is_hung(void)
{
    return process_is_stopped(cluster_migrator(cluster));
}

static char *open_up_to_the_hold(unsigned hold_max_ms)
{
    char *words = mem_printf("split s1 --to s3 --hold-max %ums", hold_max_ms);
    char *id = migration_open_by_ctl(cluster, words);
    WAIT_UNTIL(is_hung(), LONG_MS);
    mem_free(words);
    return id;
}

/* By the journal, of all the migration's holds, of which there is one at least. */
static void expect_holds_undone_or_within(const char *id, double max_ms)
{
    char *journal = cluster_ctl_ok(cluster, "journal %s", id);
    unsigned holds = 0;
    char *rest = NULL;
    for (char *line = strtok_r(journal, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *ms = strstr(line, " hold ") != NULL ? strstr(line, " ms=") : NULL;
        if (ms == NULL) {
            continue;
        }
        holds++;
        if (strstr(line, " undone=true") == NULL && strtod(ms + strlen(" ms="), NULL) > max_ms) {
            fail_msg("not undone after %.0f ms: %s", max_ms, line);
        }
    }
    assert_true(holds > 0);
    mem_free(journal);
}

/* Each time that it stops; one hold may be undone, and the next one switches. */
static bool is_switched(const char *id)
{
    if (is_hung()) {
        process_signal(cluster_migrator(cluster), SIGCONT);
    }
    return migration_is_in(cluster, id, "switched");
}

static void a_hold_ends_in_time_while_a_member_falls(const struct fault *fault, unsigned member)
{
    char *id = open_up_to_the_hold(LONG_HOLD_MS);
    fault->begin(member);
    WAIT_UNTIL(is_switched(id), LONG_MS);
    bring_to("closed", "rollback", id);
    expect_holds_undone_or_within(id, LONG_HOLD_MS);
    fault->end(member);
    mem_free(id);
}

/* By a proxy, through the members that are left. */
static void a_hold_is_undone_while_a_member_falls_and_the_migrator_hangs(const struct fault *fault,
                                                                         unsigned member)
{
    char *id = open_up_to_the_hold(SHORT_HOLD_MS);
    fault->begin(member);
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);
    WAIT_UNTIL(is_accepted("abort", id) || migration_is_in(cluster, id, "aborting"), LONG_MS);
    process_signal(cluster_migrator(cluster), SIGCONT);
    WAIT_UNTIL(migration_is_in(cluster, id, "closed"), LONG_MS);
    expect_holds_undone_or_within(id, 0);
    fault->end(member);
    mem_free(id);
}

static void a_hold_is_bounded_or_undone_when_a_member_falls_in_it(void **state)
{
    (void)state;
    restart_migrator_that_hangs_in_each_hold();
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        print_message("member %u is %s in the hold\n", i, faults[i].name);
        a_hold_ends_in_time_while_a_member_falls(&faults[i], i);
        etcd_cluster_wait(etcd);
        a_hold_is_undone_while_a_member_falls_and_the_migrator_hangs(&faults[i], i);
        etcd_cluster_wait(etcd);
    }
    cluster_restart_migrator(cluster, cluster_patient_migrator);
    process_signal(cluster_reserve(cluster), SIGCONT);
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

static bool store_answers(unsigned proxy)
{
    uint16_t admin = cluster_proxy_admin_port(cluster, proxy);
    return says(admin, "/metrics", "sluice_store_answers 1", 200) &&
           !says(admin, "/readyz", "the store does not answer", 200);
}

static bool all_are_alive(void)
{
    struct output output = cluster_ctl(cluster, "status");
    bool are_alive = output.code == 0 && strstr(output.out, " 2 proxies ") != NULL;
    output_free(&output);
    return are_alive;
}

/* Not only do they read it again: each has renewed its lease, which may have run out meanwhile, and
 * without which a cutover takes it for dead. */
static void wait_for_the_store(void)
{
    for (unsigned i = 0; i < cluster_proxies(cluster); i++) {
        WAIT_UNTIL(store_answers(i), LONG_MS);
    }
    WAIT_UNTIL(all_are_alive(), LONG_MS);
}

static void without_a_store_proxies_serve_and_say_so_and_catch_up(void **state)
{
    (void)state;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    for (unsigned i = 0; i < 3; i++) {
        stop_member(i);
    }
    for (unsigned i = 0; i < cluster_proxies(cluster); i++) {
        uint16_t admin = cluster_proxy_admin_port(cluster, i);
        WAIT_UNTIL(says(admin, "/readyz", "the store does not answer", 200), LONG_MS);
        WAIT_UNTIL(says(admin, "/metrics", "sluice_store_answers 0", 200), LONG_MS);
    }
    expect(client, "SET {live}:alone 1", "+OK");
    for (unsigned i = 0; i < 3; i++) {
        continue_member(i);
    }
    wait_for_the_store();
    bring_to("switched", "switch", id);
    bring_to("closed", "finalize", id);
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
    WAIT_UNTIL(leads(first) != leads(second), LONG_MS); /* neither does while one follows another */
    bool first_leads = leads(first);
    char *id = migration_open_by_ctl(cluster, "split s2 --to s3 --manual-switch");
    WAIT_UNTIL(migration_is_in(cluster, id, "dual-write"), LONG_MS);

    struct process *leader = first_leads ? cluster_migrator(cluster) : cluster_reserve(cluster);
    process_signal(leader, SIGSTOP);
    uint64_t stopped_us = clock_now_us();
    WAIT_UNTIL(leads(first_leads ? second : first), LONG_MS);
    print_message("the reserve leads after %llu ms\n",
                  (unsigned long long)((clock_now_us() - stopped_us) / 1000));
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    bring_to("switched", "switch", id);
    /* The first goes on where it was stopped, and learns that it leads no more. */
    process_signal(leader, SIGCONT);
    WAIT_UNTIL(!leads(first_leads ? first : second), LONG_MS);

    process_kill(first_leads ? cluster_reserve(cluster) : cluster_migrator(cluster));
    bring_to("closed", "rollback", id);
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
        cmocka_unit_test(a_hold_is_bounded_or_undone_when_a_member_falls_in_it),
        cmocka_unit_test(without_a_store_proxies_serve_and_say_so_and_catch_up),
        cmocka_unit_test(the_reserve_goes_on_when_the_leader_is_killed_or_stopped),
        cmocka_unit_test(clients_have_noticed_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
