/* The judge of histories is judged: the same switch of owner under the same bad links, once with a
 * Sluice that keeps its rules, where nothing may be found, and once with one of them switched off,
 * where something must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/chaos/traffic.h"
#include "tests/support/forwarder.h"
#include "tests/support/migrations.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define CLIENTS    12
#define RATE       300
#define SOME       150 /* operations */
#define LONG_MS    60000
#define TRIES      5 /* where nothing keeps the rule it is broken soon, if not each time */
#define KEPT_BYTES 600

struct scene {
    const char *rule;
    unsigned shard; /* whose links to the proxies are bad before and during the switch */
    struct weather weather;
    bool is_source_cut;
};

static void wait_for_some(struct traffic *traffic)
{
    uint64_t wanted = traffic_answered(traffic) + SOME;
    WAIT_UNTIL(traffic_answered(traffic) >= wanted, LONG_MS);
}

/* Writes are on the wire to the source, among other things. */
static void wait_for_wire(void)
{
    struct forwarder *link = cluster_link(cluster, 0);
    WAIT_UNTIL(forwarder_kept(link, "p1") > KEPT_BYTES && forwarder_kept(link, "p2") > KEPT_BYTES,
               LONG_MS);
}

static void set_weather(const struct scene *scene)
{
    forwarder_set(cluster_link(cluster, scene->shard), "p1", &scene->weather);
    forwarder_set(cluster_link(cluster, scene->shard), "p2", &scene->weather);
}

static struct traffic_result play(const struct scene *scene, bool is_off)
{
    char setting[128];
    const char *const environment[] = {setting, NULL};
    (void)snprintf(setting, sizeof(setting), "SLUICE_FAIL=hold.before-switched-cas=pause:200%s%s%s",
                   is_off ? "," : "", is_off ? scene->rule : "", is_off ? "=error" : "");
    const struct cluster_options options = {.shards = 2,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .has_links = true,
                                            .nslots = 64,
                                            .proxy_environment = environment,
                                            .migrator_environment = environment};
    cluster = cluster_start(&options);
    struct traffic *traffic = traffic_start(cluster, CLIENTS, RATE, scratch_seed());
    char *id =
        migration_open_by_ctl(cluster, "split s1 --to s2 --share 1 --manual-switch --hold-max 5s");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    set_weather(scene);
    if (scene->is_source_cut) {
        wait_for_wire();
    } else {
        wait_for_some(traffic);
    }
    cluster_tell(cluster, "switch --wait");
    forwarder_heal(cluster_link(cluster, scene->shard));
    wait_for_some(traffic);
    struct traffic_result result = traffic_end(traffic);
    mem_free(id);
    cluster_stop(cluster);
    cluster = NULL;
    return result;
}

static void play_both(const struct scene *scene)
{
    struct traffic_result kept = play(scene, false);
    assert_int_equal(kept.broken + kept.undecided + kept.strange, 0);
    (void)fprintf(stderr, "now without %s:\n", scene->rule);
    unsigned broken = 0;
    for (unsigned i = 0; i < TRIES && broken == 0; i++) {
        broken = play(scene, true).broken;
    }
    assert_true(broken > 0);
}

static void proxies_that_write_through_a_hold_are_noticed(void **state)
{
    (void)state;
    const struct scene scene = {.rule = "rule.no-hold"};
    play_both(&scene);
}

// field lesson: two owners, or none, around the switch
static void a_barrier_that_waits_for_nobody_is_noticed(void **state)
{
    (void)state;
    const struct scene scene = {
        .rule = "rule.no-barrier", .weather = {.cuts_requests = true}, .is_source_cut = true};
    play_both(&scene);
}

static void writes_without_marks_are_noticed(void **state)
{
    (void)state;
    const struct scene scene = {
        .rule = "rule.no-marks", .shard = 1, .weather = {.cuts_requests = true}};
    play_both(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(proxies_that_write_through_a_hold_are_noticed, stage_clear),
        cmocka_unit_test_teardown(a_barrier_that_waits_for_nobody_is_noticed, stage_clear),
        cmocka_unit_test_teardown(writes_without_marks_are_noticed, stage_clear),
    };
    return cmocka_run_group_tests_name("bite", tests, NULL, NULL);
}
