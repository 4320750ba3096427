/* Each death of a shard begins a new base, and each base leaves metadata behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"
#include "tests/support/zoo.h"

#define LONG_MS 60000
#define DEATHS  6

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {.shards = 2, .has_migrator = true, .nslots = 64};
    cluster = cluster_start(&options);
    return 0;
}

/* The shard's last process has been taken over by the proxy, too. */
static bool all_shards_are_served(void)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *reply = client_ask(client, "DBSIZE"); /* asks every shard */
    bool is_served = reply[0] != '-';
    mem_free(reply);
    client_close(client);
    return is_served;
}

/* Found by a storm (seed 21): the purge dropped all names at once, more than fit into a call. */
static void a_migration_that_has_seen_many_bases_can_be_closed(void **state)
{
    (void)state;
    zoo_load(cluster);
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch");
    for (unsigned i = 0; i < DEATHS; i++) {
        WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
        uint64_t before = migration_base(cluster, id);
        redis_server_restart(cluster_shard(cluster, 1), false);
        WAIT_UNTIL(migration_base(cluster, id) > before, LONG_MS);
    }
    cluster_tell(cluster, "abort --wait");
    assert_true(process_is_running(cluster_migrator(cluster)));
    cluster_compare(cluster, "");
    WAIT_UNTIL(all_shards_are_served(), LONG_MS);
    zoo_check(cluster, 0);
    mem_free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_migration_that_has_seen_many_bases_can_be_closed, start,
                                        stage_clear),
    };
    return cmocka_run_group_tests_name("many bases", tests, NULL, NULL);
}
