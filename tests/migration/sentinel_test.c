/* Two shards, each a primary with a replica, watched by three Sentinels: primaries are killed, come
 * back, and fail in the middle of a migration.
 *
 * Redis replicates after it has answered, so a failover may lose what was acknowledged last, and no
 * proxy can change that. The checks are exact all the same: the bank is at rest, and all it wrote
 * is on the replica, whenever a primary is killed; those who write meanwhile count a value only
 * once they have seen it on the replica. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/bank_run.h"
#include "tests/support/client.h"
#include "tests/support/http.h"
#include "tests/support/migrations.h"
#include "tests/support/quiet.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"
#include "tests/support/watched_shard.h"

#define ACCOUNTS 500
#define RATE     1000
#define LONG_MS  60000

static struct sentinel_group *sentinels;
static struct watched_shard shards[2]; /* s1, s2 */
static struct bank_run *bank;          /* through all tests */

static int start(void **state)
{
    (void)state;
    char places[2][128], init[300];
    const char *const names[] = {"m1", "m2"};
    sentinels = sentinel_group_start(SENTINELS_GROUP_MAX);
    for (unsigned i = 0; i < 2; i++) {
        watched_shard_start(&shards[i], sentinels, names[i]);
        sentinel_group_place(sentinels, names[i], places[i], sizeof(places[i]));
    }
    (void)snprintf(init, sizeof(init), "s1=%s s2=%s", places[0], places[1]);
    const struct cluster_options options = {
        .init = init,
        .proxies = 2,
        .has_migrator = true,
        .proxy_arguments = (const char *const[]){"--shard-timeout", "60s", NULL}};
    cluster = cluster_start(&options);
    bank = bank_run_start(cluster, ACCOUNTS, RATE);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    watched_shard_stop(&shards[0]);
    watched_shard_stop(&shards[1]);
    sentinel_group_stop(sentinels);
    process_stop_all();
    return 0;
}

/* --- what the topology says ------------------------------------------------------------------ */

static bool is_named(unsigned shard)
{
    struct topology *topology = cluster_topology(cluster);
    bool is_it = topology->shards[shard].port == watched_shard_primary(&shards[shard]);
    topology_free(topology);
    return is_it;
}

/* --- killing a primary ----------------------------------------------------------------------- */

/* Nobody writes while it dies, so that nothing can be lost. */
static void fail_over(unsigned shard)
{
    bank_run_tell(bank, "pause");
    watched_shard_settle(&shards[shard]);
    watched_shard_fail_over(&shards[shard]);
    WAIT_UNTIL(is_named(shard), LONG_MS);
    bank_run_tell(bank, "resume");
    watched_shard_return(&shards[shard]);
    watched_shard_follow(&shards[shard]);
}

/* --- a writer that knows what the replica has ------------------------------------------------ */

struct writer {
    pthread_t thread;
    char key[32];
    uint16_t proxy, replica;
    atomic_ullong safe; /* this value was acknowledged, and seen on the replica */
    atomic_ullong answered, refused;
    atomic_bool is_stopped;
};

static long long number_of(redisContext *context, const char *command, const char *key)
{
    redisReply *reply = redisCommand(context, "%s %s", command, key);
    long long number = -1;
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        number = reply->integer;
    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        (void)sscanf(reply->str, "%lld", &number);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    return number;
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    redisContext *proxy = redisConnect("127.0.0.1", writer->proxy);
    redisContext *replica = redisConnect("127.0.0.1", writer->replica);
    while (!atomic_load(&writer->is_stopped)) {
        long long value = number_of(proxy, "INCR", writer->key);
        if (value < 0) {
            atomic_fetch_add(&writer->refused, 1);
            continue;
        }
        atomic_fetch_add(&writer->answered, 1);
        long long seen = number_of(replica, "GET", writer->key);
        if (seen > 0 && (unsigned long long)seen > atomic_load(&writer->safe) && seen <= value) {
            atomic_store(&writer->safe, (unsigned long long)seen);
        }
        clock_sleep_ms(1);
    }
    redisFree(proxy);
    redisFree(replica);
    return NULL;
}

/* Finds a key on that shard. */
static void writer_start(struct writer *writer, unsigned shard)
{
    *writer = (struct writer){.proxy = cluster_proxy_port(cluster, 0),
                              .replica = watched_shard_replica(&shards[shard])};
    struct client *client = client_connect(writer->proxy);
    struct client *primary = client_connect(watched_shard_primary(&shards[shard]));
    bool is_found = false;
    for (unsigned i = 0; !is_found; i++) {
        char set[64], exists[64];
        (void)snprintf(writer->key, sizeof(writer->key), "writer:%u:%u", shard, i);
        (void)snprintf(set, sizeof(set), "SET %s 0", writer->key);
        (void)snprintf(exists, sizeof(exists), "EXISTS %s", writer->key);
        expect_within(client, set, "+OK", LONG_MS);
        is_found = client_gets(primary, exists, ":1");
    }
    client_close(client);
    client_close(primary);
    assert_int_equal(pthread_create(&writer->thread, NULL, write_on, writer), 0);
}

static void writer_stop(struct writer *writer)
{
    atomic_store(&writer->is_stopped, true);
    assert_int_equal(pthread_join(writer->thread, NULL), 0);
}

/* --- cases ----------------------------------------------------------------------------------- */

static void a_killed_primary_costs_errors_of_its_shard_until_the_next_one_serves(void **state)
{
    (void)state;
    struct writer writers[2];
    bank_run_tell(bank, "pause");
    watched_shard_settle(&shards[0]);
    writer_start(&writers[0], 0);
    writer_start(&writers[1], 1);
    WAIT_UNTIL(atomic_load(&writers[0].safe) > 50, LONG_MS);
    uint64_t killed_us = clock_now_us();
    watched_shard_fail_over(&shards[0]);
    uint64_t promoted_us = clock_now_us();
    WAIT_UNTIL(is_named(0), LONG_MS);
    unsigned long long before = atomic_load(&writers[0].answered);
    WAIT_UNTIL(atomic_load(&writers[0].answered) > before + 50, LONG_MS);
    print_message("promoted after %llu ms, served after %llu ms\n",
                  (unsigned long long)((promoted_us - killed_us) / 1000),
                  (unsigned long long)((clock_now_us() - killed_us) / 1000));
    writer_stop(&writers[0]);
    writer_stop(&writers[1]);
    assert_int_equal(atomic_load(&writers[1].refused), 0);
    assert_true(atomic_load(&writers[0].refused) > 0);

    struct client *client = client_connect(cluster_proxy_port(cluster, 1));
    redisContext *context = client_context(client);
    unsigned long long safe = atomic_load(&writers[0].safe);
    assert_true(number_of(context, "GET", writers[0].key) >= (long long)safe);
    client_close(client);
    watched_shard_return(&shards[0]);
    watched_shard_follow(&shards[0]);
    bank_run_tell(bank, "resume");
}

/* Unless the Sentinels have made it a replica, when all this took long: then it has what its
 * primary has. */
static void expect_unwritten(struct client *former, const char *get)
{
    char *value = client_ask(former, get);
    char *role = client_ask(former, "INFO replication");
    if (strcmp(value, "(nil)") != 0 && strstr(role, "role:slave") == NULL) {
        fail_msg("a former primary was written: %s", value);
    }
    mem_free(value);
    mem_free(role);
}

/* Alive, at the address that the topology named, with a fence of this shard: what stops a proxy
 * that has not heard of anything is that neither its process nor its fence are the topology's. */
static void a_former_primary_that_comes_back_is_not_written(void **state)
{
    (void)state;
    struct process *stale = cluster_proxy(cluster, 1);
    bank_run_tell(bank, "pause");
    watched_shard_settle(&shards[0]);
    process_signal(stale, SIGSTOP);
    watched_shard_fail_over(&shards[0]);
    WAIT_UNTIL(is_named(0), LONG_MS);
    watched_shard_return(&shards[0]);
    process_signal(stale, SIGCONT);
    struct writer writer;
    writer_start(&writer, 0);
    writer_stop(&writer);
    struct client *late = client_connect(cluster_proxy_port(cluster, 1));
    struct client *former = client_connect(watched_shard_replica(&shards[0]));
    char *set = mem_printf("SET {%s}:late 1", writer.key);
    char *get = mem_printf("GET {%s}:late", writer.key);
    expect_within(late, set, "+OK", LONG_MS);
    expect_unwritten(former, get);
    mem_free(set);
    mem_free(get);
    client_close(late);
    client_close(former);
    watched_shard_follow(&shards[0]);
    bank_run_tell(bank, "resume");
}

static void a_migration_begins_a_new_base_whichever_side_fails_over(void **state)
{
    (void)state;
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch");
    for (unsigned shard = 0; shard < 2; shard++) {
        WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
        uint64_t before = migration_base(cluster, id);
        fail_over(shard);
        assert_true(migration_base(cluster, id) > before);
    }
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    /* The copy of the rollback window is the source's. */
    uint64_t before = migration_base(cluster, id);
    fail_over(0);
    assert_true(migration_base(cluster, id) > before);
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    compare_quietly(cluster, bank, NULL);
    cluster_tell(cluster, "rollback %s --wait", id);
    compare_quietly(cluster, bank, NULL);
    mem_free(id);
}

/* Where a migrator hangs while a shard fails over. */
struct stage {
    const char *phase;
    const char *step;    /* the fail point that it stops at */
    const char *first;   /* asked for and waited for; null: nothing */
    const char *verb;    /* what brings it there; null: nothing has to */
    const char *kept_in; /* the phase that the new process finds it in */
    const char *reaches; /* by itself, once the migrator goes on */
    const char *end;     /* what ends it from there; null: it is closed */
};

// clang-format off
static const struct stage stages[] = {
    {"planned", "planned.before-dual-write-cas", NULL, NULL, "planned", "dual-write", "abort"},
    /* All is drained, and the copy is the owner by its guard: only the change is missing. */
    {"hold", "hold.before-switched-cas", NULL, "switch", "dual-write", "switched", "rollback"},
    {"hold-back", "hold-back.before-aborting-cas", "switch", "rollback", "switched", "closed", NULL},
    {"finalizing", "purge.after-purge-guard", "switch", "finalize", "finalizing", "closed", NULL},
    {"aborting", "purge.after-purge-guard", NULL, "abort", "aborting", "closed", NULL},
};

// clang-format on

static uint64_t epoch_now(void)
{
    struct topology *topology = cluster_topology(cluster);
    uint64_t epoch = topology->epoch;
    topology_free(topology);
    return epoch;
}

/* The bank rests then, for a shard that is killed has slots that do not move. */
static char *stop_in(const struct stage *stage)
{
    char *setting = mem_printf("SLUICE_FAIL=%s=stop@1", stage->step);
    cluster_restart_migrator(cluster, (const char *const[]){setting, NULL});
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch --hold-max 60s");
    if (stage->first != NULL) {
        WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
        cluster_tell(cluster, "%s %s --wait", stage->first, id);
    }
    if (stage->verb != NULL) {
        WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
        bank_run_tell(bank, "pause");
        cluster_tell(cluster, "%s %s", stage->verb, id);
    }
    WAIT_UNTIL(process_is_stopped(cluster_migrator(cluster)), LONG_MS);
    assert_true(migration_is_in(cluster, id, stage->phase));
    mem_free(setting);
    return id;
}

/* What it had proven counts no more, whatever it does next. */
static void go_on(const struct stage *stage, const char *id, uint64_t stopped_at)
{
    assert_true(migration_is_in(cluster, id, stage->kept_in));
    assert_true(strcmp(stage->phase, "planned") == 0 || migration_base(cluster, id) > stopped_at);
    process_signal(cluster_migrator(cluster), SIGCONT);
    WAIT_UNTIL(migration_is_in(cluster, id, stage->reaches), LONG_MS);
    if (stage->end != NULL) {
        WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
        assert_true(migration_base(cluster, id) > stopped_at);
        cluster_tell(cluster, "%s %s --wait", stage->end, id);
    }
    compare_quietly(cluster, bank, NULL);
}

static void in_every_phase_either_side_may_fail_over(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * sizeof(stages) / sizeof(stages[0]); i++) {
        const struct stage *stage = &stages[i / 2];
        print_message("%s: s%u fails over\n", stage->phase, i % 2 + 1);
        char *id = stop_in(stage);
        uint64_t stopped_at = epoch_now();
        fail_over(i % 2);
        go_on(stage, id, stopped_at);
        mem_free(id);
    }
}

static bool is_named_by_its_id(unsigned shard)
{
    struct topology *topology = cluster_topology(cluster);
    struct client *primary = client_connect(watched_shard_primary(&shards[shard]));
    char *info = client_ask(primary, "INFO replication");
    char *line = mem_printf("master_replid:%s", topology->shards[shard].identity.replid);
    bool is_it = strstr(info, line) != NULL;
    mem_free(line);
    mem_free(info);
    client_close(primary);
    topology_free(topology);
    return is_it;
}

/* As when a first replica attaches. By the old id that replica would be a stranger once promoted.
 */
static void a_primary_that_takes_another_replication_id_is_named_by_it(void **state)
{
    (void)state;
    WAIT_UNTIL(is_named_by_its_id(1), LONG_MS);
    struct client *primary = client_connect(watched_shard_primary(&shards[1]));
    expect(primary, "DEBUG CHANGE-REPL-ID", "+OK");
    client_close(primary);
    WAIT_UNTIL(is_named_by_its_id(1), LONG_MS);
}

static bool is_refused(struct client *client, const char *command)
{
    char *reply = client_ask(client, command);
    bool refused = strncmp(reply, "-UNAVAILABLE", 12) == 0;
    mem_free(reply);
    return refused;
}

/* Its reads grow old; that it was the shard's primary, and has the fence, does not matter. */
static void a_primary_that_was_made_a_replica_serves_no_reads(void **state)
{
    (void)state;
    struct writer writer;
    bank_run_tell(bank, "pause");
    writer_start(&writer, 0);
    writer_stop(&writer);
    char *get = mem_printf("GET %s", writer.key);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    struct client *primary = client_connect(watched_shard_primary(&shards[0]));
    expect(primary, "REPLICAOF 127.0.0.1 1", "+OK");
    WAIT_UNTIL(is_refused(client, get), LONG_MS);
    expect(primary, "REPLICAOF NO ONE", "+OK");
    WAIT_UNTIL(!is_refused(client, get), LONG_MS);
    client_close(client);
    client_close(primary);
    mem_free(get);
    bank_run_tell(bank, "resume");
}

static bool log_has(struct process *process, const char *words)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "grep -q '%s' '%s'", words, process_log_path(process));
    const char *argv[] = {"sh", "-c", command, NULL};
    struct output output = process_run(argv, NULL, 60000);
    bool has = output.code == 0;
    output_free(&output);
    return has;
}

/* Last: Sentinels that were stopped start no failover for half a minute. */
static void without_sentinels_shards_are_served_until_they_are_another_process(void **state)
{
    (void)state;
    struct writer writer;
    struct redis_server *primary = shards[1].servers[shards[1].primary];
    assert_int_equal(shards[1].primary, 0); /* the other one would come back as a replica */
    bank_run_tell(bank, "pause");
    for (unsigned i = 0; i < SENTINELS_GROUP_MAX; i++) {
        process_signal(sentinel_group_member(sentinels, i), SIGSTOP);
    }
    WAIT_UNTIL(log_has(cluster_proxy(cluster, 0), "sentinels do not tell shard=s2"), LONG_MS);
    writer_start(&writer, 1);
    writer_stop(&writer);
    assert_int_equal(atomic_load(&writer.refused), 0);

    redis_server_restart(primary, false);
    WAIT_UNTIL(log_has(cluster_proxy(cluster, 0), "is not served shard=s2.*no majority"), LONG_MS);
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *incr = mem_printf("INCR %s", writer.key), *get = mem_printf("GET %s", writer.key);
    expect_prefix(client, incr, "-UNAVAILABLE");
    for (unsigned i = 0; i < SENTINELS_GROUP_MAX; i++) {
        process_signal(sentinel_group_member(sentinels, i), SIGCONT);
    }
    char value[24];
    (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)atomic_load(&writer.answered));
    expect_within(client, get, value, LONG_MS);
    client_close(client);
    client = client_connect(cluster_proxy_port(cluster, 1));
    expect_within(client, get, value, LONG_MS);
    client_close(client);
    mem_free(incr);
    mem_free(get);
    bank_run_tell(bank, "resume");
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
        cmocka_unit_test(a_killed_primary_costs_errors_of_its_shard_until_the_next_one_serves),
        cmocka_unit_test(a_former_primary_that_comes_back_is_not_written),
        cmocka_unit_test(a_migration_begins_a_new_base_whichever_side_fails_over),
        cmocka_unit_test(in_every_phase_either_side_may_fail_over),
        cmocka_unit_test(a_primary_that_takes_another_replication_id_is_named_by_it),
        cmocka_unit_test(a_primary_that_was_made_a_replica_serves_no_reads),
        cmocka_unit_test(without_sentinels_shards_are_served_until_they_are_another_process),
        cmocka_unit_test(no_account_has_lost_anything),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
