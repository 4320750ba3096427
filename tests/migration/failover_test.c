/* sluicectl shard failover in a running cluster, without Sentinels: under the bank's load with a
 * migration open, and where the former primary and a proxy hang and come back late. The steps alone
 * are in tests/unit/lib/cluster/failover_test.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/bank_run.h"
#include "tests/support/client.h"
#include "tests/support/migrations.h"
#include "tests/support/quiet.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define ACCOUNTS 300
#define RATE     1000
#define LONG_MS  60000

static struct redis_server *replicas[2]; /* of s1, s2 */
static struct redis_server *late;        /* of the first of them */
static struct bank_run *bank;            /* through all tests */

/* A primary takes another replication id with its first replica, which has to be named first. */
static bool is_proven_replica(unsigned shard, uint16_t port)
{
    char words[96];
    (void)snprintf(words, sizeof(words), "plan failover s%u --to 127.0.0.1:%u", shard + 1, port);
    struct output output = cluster_ctl(cluster, words);
    bool is = output.code == 0 && strstr(output.out, "a replica of the process") != NULL;
    output_free(&output);
    return is;
}

static struct redis_server *start_replica(unsigned shard, uint16_t of)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", of);
    struct redis_server *replica =
        redis_server_start((const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
    WAIT_UNTIL(is_proven_replica(shard, redis_server_port(replica)), LONG_MS);
    return replica;
}

/* Some keys of either shard. */
static bool serves_all(unsigned proxy)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, proxy));
    bool is_served = true;
    for (unsigned i = 0; is_served && i < 20; i++) {
        char set[32];
        (void)snprintf(set, sizeof(set), "SET early:%u 1", i);
        is_served = client_gets(client, set, "+OK");
    }
    client_close(client);
    return is_served;
}

static int start(void **state)
{
    (void)state;
    static const char *const redis[] = {"--repl-diskless-sync-delay", "0", NULL};
    cluster = cluster_start(&(const struct cluster_options){
        .shards = 2, .proxies = 2, .has_migrator = true, .redis_options = redis});
    replicas[0] = start_replica(0, cluster_shard_port(cluster, 0));
    replicas[1] = start_replica(1, cluster_shard_port(cluster, 1));
    WAIT_UNTIL(serves_all(0) && serves_all(1), LONG_MS); /* the primaries were named anew */
    bank = bank_run_start(cluster, ACCOUNTS, RATE);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    for (unsigned i = 0; i < 2; i++) {
        redis_server_stop(replicas[i]);
    }
    redis_server_stop(late);
    process_stop_all();
    return 0;
}

static void fail_over(unsigned shard, const char *said)
{
    char *out = cluster_ctl_ok(cluster, "shard failover s%u --to 127.0.0.1:%u", shard + 1,
                               redis_server_port(replicas[shard]));
    if (strstr(out, said) == NULL) {
        fail_msg("\"%s\" is not in %s", said, out);
    }
    mem_free(out);
}

static unsigned count_formers(void)
{
    struct topology *topology = cluster_topology(cluster);
    unsigned count = topology->nformers;
    topology_free(topology);
    return count;
}

/* --- cases ----------------------------------------------------------------------------------- */

/* The bank knows every value: an acknowledged write that is missing later fails it. */
static void a_shard_moves_to_its_replica_under_load_and_loses_nothing(void **state)
{
    (void)state;
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch --hold-max 1s");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    uint64_t before = migration_base(cluster, id);
    fail_over(0, "nothing: writes were held");
    assert_true(migration_base(cluster, id) > before);
    WAIT_UNTIL(count_formers() == 0, LONG_MS);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    compare_quietly(cluster, bank, NULL);
    mem_free(id);
}

static bool is_on_replica(unsigned shard, const char *key)
{
    struct client *client = client_connect(redis_server_port(replicas[shard]));
    char *get = mem_printf("GET %s", key);
    bool is = client_gets(client, get, "1");
    mem_free(get);
    client_close(client);
    return is;
}

/* What a proxy answers that may hang, or close the connection. */
static bool takes(unsigned proxy, const char *set)
{
    struct client *client = client_try_connect(cluster_proxy_port(cluster, proxy));
    bool is_taken = client != NULL && client_gets(client, set, "+OK");
    client_close(client);
    return is_taken;
}

/* The whole old side hangs: nobody there hears of anything. The migrator closes the former primary
 * once it goes on, so that the proxy, when it goes on in its turn, cannot write there. */
static void a_former_primary_that_hangs_is_closed_by_the_migrator(void **state)
{
    (void)state;
    struct process *primary = redis_server_process(cluster_shard(cluster, 1));
    bank_run_tell(bank, "pause");
    const char *key = cluster_key(cluster, 1, "key:", 0);
    char *first = mem_printf("SET %s 1", key);
    WAIT_UNTIL(takes(0, first), LONG_MS);
    WAIT_UNTIL(is_on_replica(1, key), LONG_MS);
    process_signal(cluster_proxy(cluster, 1), SIGSTOP);
    process_signal(primary, SIGSTOP);
    fail_over(1, "nobody can count them");
    assert_int_equal(count_formers(), 1);
    process_signal(primary, SIGCONT);
    WAIT_UNTIL(count_formers() == 0, LONG_MS);
    process_signal(cluster_proxy(cluster, 1), SIGCONT);
    char *set = mem_printf("SET %s 2", key), *get = mem_printf("GET %s", key);
    WAIT_UNTIL(takes(1, set), LONG_MS);
    struct client *former = client_connect(cluster_shard_port(cluster, 1));
    struct client *present = client_connect(redis_server_port(replicas[1]));
    expect(former, get, "1");
    expect(present, get, "2");
    client_close(former);
    client_close(present);
    mem_free(set);
    mem_free(get);
    mem_free(first);
    bank_run_tell(bank, "resume");
}

/* --- one that comes late --------------------------------------------------------------------- */

/* Its place in the topology is what it was. */
static void expect_late(const char *words, const char *setting)
{
    struct topology *before = cluster_topology(cluster);
    assert_int_equal(setenv("SLUICE_FAIL", setting, 1), 0);
    struct output output = cluster_ctl(cluster, words);
    assert_int_equal(unsetenv("SLUICE_FAIL"), 0);
    struct topology *after = cluster_topology(cluster);
    assert_int_equal(output.code, 1);
    assert_non_null(strstr(output.err, "the primary's writes go on: run it again"));
    assert_string_equal(after->shards[0].identity.run_id, before->shards[0].identity.run_id);
    assert_int_equal(after->shards[0].port, before->shards[0].port);
    topology_free(before);
    topology_free(after);
    output_free(&output);
}

static bool is_primary(uint16_t port)
{
    struct client *client = client_connect(port);
    char *role = client_ask(client, "ROLE");
    bool is = strncmp(role, "[master", 7) == 0;
    mem_free(role);
    client_close(client);
    return is;
}

/* Writes are held for half a minute. A machine may need longer to come here, and what went on then
 * is only the proxies' own. */
static void fail_over_while_nobody_writes(const char *words)
{
    struct output output = cluster_ctl(cluster, words);
    if (output.code != 0) {
        assert_non_null(strstr(output.err, "bytes of writes that"));
        cluster_tell(cluster, "%s --accept-loss", words);
    }
    output_free(&output);
}

/* As when it was stopped, or the store did not answer, until the primary's writes may go on. */
static void a_failover_that_comes_late_names_nobody(void **state)
{
    (void)state;
    struct topology *topology = cluster_topology(cluster);
    late = start_replica(0, topology->shards[0].port);
    char *words = mem_printf("shard failover s1 --to 127.0.0.1:%u", redis_server_port(late));
    expect_late(words, "failover.late=error@1"); /* before anybody is promoted */
    assert_false(is_primary(redis_server_port(late)));
    WAIT_UNTIL(serves_all(0), LONG_MS); /* who was held goes on */
    bank_run_tell(bank, "pause");
    expect_late(words, "failover.late=error@2");
    assert_true(is_primary(redis_server_port(late)));
    fail_over_while_nobody_writes(words);
    bank_run_tell(bank, "resume");
    WAIT_UNTIL(serves_all(0) && serves_all(1), LONG_MS); /* the accounts are read through both */
    mem_free(words);
    topology_free(topology);
}

static void no_account_has_lost_anything(void **state)
{
    (void)state;
    struct bank_result result = bank_run_end(bank);
    assert_true(result.operations > 0);
    cluster_compare(cluster, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_moves_to_its_replica_under_load_and_loses_nothing),
        cmocka_unit_test(a_former_primary_that_hangs_is_closed_by_the_migrator),
        cmocka_unit_test(a_failover_that_comes_late_names_nobody),
        cmocka_unit_test(no_account_has_lost_anything),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
