/* sluicectl store: a cluster's topology and journal carried from files to etcd and back, into a
 * backup and out of it, and a store that is behind its shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/etcd.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000

static struct etcd_cluster *etcd;
static char etcd_url[256];

static int start(void **state)
{
    (void)state;
    const struct etcd_options etcd_options = {.has_wires = false};
    const struct cluster_options options = {.shards = 2, .spares = 1, .has_migrator = true};
    etcd = etcd_cluster_start(1, &etcd_options);
    etcd_cluster_url(etcd, 0, "carried", etcd_url, sizeof(etcd_url));
    cluster = cluster_start(&options);
    cluster_add_spare(cluster, 2);
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

/* Refused, and says `word`. */
static void ctl_refused(const char *words, const char *word)
{
    struct output output = cluster_ctl(cluster, words);
    assert_int_equal(output.code, 1);
    if (strstr(output.err, word) == NULL) {
        fail_msg("no \"%s\" in: %s", word, output.err);
    }
    output_free(&output);
}

static char *journal_of(const char *url)
{
    return cluster_ctl_ok(cluster, "journal --json --store %s", url);
}

static uint64_t epoch_of(const char *url)
{
    uint64_t epoch = 0;
    struct store *store = store_open(url, NULL);
    assert_non_null(store);
    assert_true(store_epoch(store, &epoch, NULL));
    store_close(store);
    return epoch;
}

static void move_there_and_finish(void)
{
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --wait");
    cluster_tell(cluster, "finalize %s --wait", id);
    mem_free(id);
}

static void a_store_is_carried_to_etcd_and_back_with_its_journal(void **state)
{
    (void)state;
    move_there_and_finish();
    char *back = mem_printf("file:%s/back", cluster_folder(cluster));
    cluster_tell(cluster, "store copy %s %s", cluster_store(cluster), etcd_url);
    cluster_tell(cluster, "store copy %s %s", etcd_url, back);
    char *first = journal_of(cluster_store(cluster));
    char *second = journal_of(etcd_url), *third = journal_of(back);
    assert_non_null(strstr(first, "switched"));
    assert_string_equal(first, second);
    assert_string_equal(first, third);
    assert_int_equal(epoch_of(etcd_url), epoch_of(cluster_store(cluster)));
    assert_int_equal(epoch_of(back), epoch_of(cluster_store(cluster)));

    char *words = mem_printf("store copy %s %s", cluster_store(cluster), etcd_url);
    ctl_refused(words, "there is a topology in");
    mem_free(words);
    mem_free(first);
    mem_free(second);
    mem_free(third);
    mem_free(back);
}

static void an_open_migration_is_not_copied_unless_forced(void **state)
{
    (void)state;
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --manual-switch");
    char *words =
        mem_printf("store copy %s file:%s/open", cluster_store(cluster), cluster_folder(cluster));
    ctl_refused(words, "migrations are open");
    cluster_tell(cluster, "%s --force", words);
    cluster_tell(cluster, "abort %s --wait", id);
    mem_free(words);
    mem_free(id);
}

static void a_restored_store_is_repaired_when_no_slot_has_moved_since(void **state)
{
    (void)state;
    char *file = mem_printf("%s/backup", cluster_folder(cluster));
    char *restored = mem_printf("file:%s/restored", cluster_folder(cluster));
    cluster_tell(cluster, "store backup %s", file);
    uint64_t saved = epoch_of(cluster_store(cluster));
    /* Another process of the shard is an epoch, and its fence. */
    redis_server_restart(cluster_shard(cluster, 0), false);
    WAIT_UNTIL(epoch_of(cluster_store(cluster)) > saved, LONG_MS);
    cluster_wait_proxy_ready(cluster, 0);

    cluster_tell(cluster, "store restore %s --store %s", file, restored);
    assert_int_equal(epoch_of(restored), saved);
    cluster_tell(cluster, "store repair --store %s", restored);
    assert_true(epoch_of(restored) > saved);
    char *again = cluster_ctl_ok(cluster, "store repair --store %s", restored);
    assert_non_null(strstr(again, "nothing to repair"));
    mem_free(again);
    mem_free(file);
    mem_free(restored);
}

static void a_restored_store_that_missed_a_migration_is_not_repaired(void **state)
{
    (void)state;
    char *file = mem_printf("%s/older", cluster_folder(cluster));
    char *restored = mem_printf("file:%s/behind", cluster_folder(cluster));
    cluster_tell(cluster, "store backup %s", file);
    move_there_and_finish();
    cluster_tell(cluster, "store restore %s --store %s", file, restored);
    char *words = mem_printf("store repair --store %s", restored);
    ctl_refused(words, "another owner than the backup says");
    mem_free(words);
    mem_free(file);
    mem_free(restored);
}

/* A command on the guard of a migration. */
static void expect_guard(unsigned shard, const char *command, const char *id, const char *reply)
{
    struct client *client = client_connect(cluster_shard_port(cluster, shard));
    char *words = mem_printf("%s __sluice:fence guard:%s", command, id + 1);
    char *got = client_ask(client, words);
    assert_string_equal(got, reply);
    mem_free(got);
    mem_free(words);
    client_close(client);
}

/* The guards of a migration that is over go when the next one begins; that there was one stays. */
static void a_migration_whose_guards_were_pruned_is_not_forgotten(void **state)
{
    (void)state;
    char *file = mem_printf("%s/oldest", cluster_folder(cluster));
    char *restored = mem_printf("file:%s/pruned", cluster_folder(cluster));
    cluster_tell(cluster, "store backup %s", file);
    char *missed = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --wait");
    cluster_tell(cluster, "finalize %s --wait", missed);
    expect_guard(0, "HEXISTS", missed, ":1");
    char *next = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --wait");
    cluster_tell(cluster, "rollback %s --wait", next);
    for (unsigned shard = 0; shard <= 2; shard += 2) {
        expect_guard(shard, "HEXISTS", missed, ":0");
        expect_guard(shard, "HDEL", next, ":1");
    }
    cluster_tell(cluster, "store restore %s --store %s", file, restored);
    char *words = mem_printf("store repair --store %s", restored);
    ctl_refused(words, "another owner than the backup says");
    mem_free(words);
    mem_free(next);
    mem_free(missed);
    mem_free(file);
    mem_free(restored);
}

/* The last thing before a switch that leaves a trace on a shard is the guard of the copy. */
static void a_backup_from_before_a_switch_is_not_repaired(void **state)
{
    (void)state;
    char *file = mem_printf("%s/during", cluster_folder(cluster));
    char *restored = mem_printf("file:%s/before", cluster_folder(cluster));
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3 --share 0.1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    cluster_tell(cluster, "store backup %s", file);
    cluster_tell(cluster, "store restore %s --store %s", file, restored);
    cluster_tell(cluster, "store repair --store %s", restored);

    struct client *copy = client_connect(cluster_shard_port(cluster, 2));
    char *get = mem_printf("HGET __sluice:fence guard:%s", id + 1);
    char *open = client_ask(copy, get);
    char *generation = mem_strndup(open, strcspn(open, ":"));
    char *own = mem_printf("HSET __sluice:fence guard:%s %s:2", id + 1, generation);
    assert_string_equal(strchr(open, ':'), ":1");
    mem_free(client_ask(copy, own));
    char *words = mem_printf("store repair --store %s", restored);
    ctl_refused(words, "it was given the slots");

    char *back = mem_printf("HSET __sluice:fence guard:%s %s", id + 1, open);
    mem_free(client_ask(copy, back));
    cluster_tell(cluster, "abort %s --wait", id);
    /* Closed by now; then the guards are pruned. */
    expect_guard(0, "HDEL", id, ":1");
    expect_guard(2, "HDEL", id, ":1");
    char *pruned = mem_printf("HSET __sluice:fence pruned %s", generation);
    mem_free(client_ask(copy, pruned));
    ctl_refused(words, "here a migration has ended");
    mem_free(pruned);
    mem_free(back);
    mem_free(words);
    mem_free(own);
    mem_free(generation);
    mem_free(open);
    mem_free(get);
    client_close(copy);
    mem_free(id);
    mem_free(restored);
    mem_free(file);
}

/* "Moving from one store to another" in docs/operations.md. Last: the cluster stays there. */
static void a_cluster_goes_on_with_the_store_that_it_was_copied_to(void **state)
{
    char moved[256];
    (void)state;
    etcd_cluster_url(etcd, 0, "moved", moved, sizeof(moved));
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    expect(client, "SET key before", "+OK");
    client_close(client);
    char *from = mem_strdup(cluster_store(cluster));
    uint64_t epoch = epoch_of(from);
    process_kill(cluster_migrator(cluster));
    cluster_tell(cluster, "store copy %s %s", from, moved);
    cluster_use_store(cluster, moved);
    cluster_restart_proxy(cluster, 0);
    cluster_restart_migrator(cluster, NULL);
    client = client_connect(cluster_proxy_port(cluster, 0));
    expect(client, "GET key", "before");
    move_there_and_finish();
    expect(client, "SET key after", "+OK");
    assert_true(epoch_of(moved) > epoch);
    assert_int_equal(epoch_of(from), epoch);
    cluster_compare(cluster, "");
    client_close(client);
    mem_free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_carried_to_etcd_and_back_with_its_journal),
        cmocka_unit_test(an_open_migration_is_not_copied_unless_forced),
        cmocka_unit_test(a_restored_store_is_repaired_when_no_slot_has_moved_since),
        cmocka_unit_test(a_restored_store_that_missed_a_migration_is_not_repaired),
        cmocka_unit_test(a_migration_whose_guards_were_pruned_is_not_forgotten),
        cmocka_unit_test(a_backup_from_before_a_switch_is_not_repaired),
        cmocka_unit_test(a_cluster_goes_on_with_the_store_that_it_was_copied_to),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
