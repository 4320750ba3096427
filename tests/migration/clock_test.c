/* Shards whose clocks differ: the target's is set by tests/shim/fake_clock.
 * An absolute expiry is kept to the millisecond; while the clocks differ by more than max-skew no
 * slot changes its owner, for keys would be gone early, or live on. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/migrations.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define KEYS    40
#define NSLOTS  64

struct place {
    struct cluster *cluster;
    struct client *client;
    unsigned keys[KEYS]; /* numbers of keys that s1 owns */
    char *offset_path;
    char *settings[2];
    const char *environment[3];
};

/* The target's clock is so far ahead from now on. */
static void set_clock(struct place *place, int64_t ahead_ms)
{
    int fd = open(place->offset_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &ahead_ms, sizeof(ahead_ms)), sizeof(ahead_ms));
    (void)close(fd);
}

/* The first so many whose slots are on s1. */
static void choose_keys(struct place *place)
{
    struct client *source = client_connect(cluster_shard_port(place->cluster, 0));
    unsigned count = 0;
    for (unsigned i = 0; count < KEYS; i++) {
        char *set = mem_printf("SET k%u 1", i), *exists = mem_printf("EXISTS k%u", i);
        expect(place->client, set, "+OK");
        if (client_gets(source, exists, ":1")) {
            place->keys[count++] = i;
        }
        mem_free(set);
        mem_free(exists);
    }
    client_close(source);
}

static void start(struct place *place, int64_t ahead_ms)
{
    char *folder = scratch_folder("clock");
    char *library = program_path("tests/shim/fake_clock.so");
    *place = (struct place){.offset_path = mem_printf("%s/offset", folder)};
    mem_free(folder); /* removed when the program ends */
    set_clock(place, ahead_ms);
    place->settings[0] = mem_printf("LD_PRELOAD=%s", library);
    place->settings[1] = mem_printf("FAKE_CLOCK=%s", place->offset_path);
    memcpy(place->environment, place->settings, sizeof(place->settings));
    mem_free(library);
    const struct cluster_options options = {
        .has_migrator = true, .nslots = NSLOTS, .last_shard_environment = place->environment};
    place->cluster = cluster_start(&options);
    place->client = client_connect(cluster_proxy_port(place->cluster, 0));
    choose_keys(place);
}

static void stop(struct place *place)
{
    client_close(place->client);
    cluster_stop(place->cluster);
    mem_free(place->offset_path);
    for (unsigned i = 0; i < sizeof(place->settings) / sizeof(place->settings[0]); i++) {
        mem_free(place->settings[i]);
    }
}

/* Key i of a run, expiring at an odd millisecond. */
static uint64_t expiry_of(uint64_t base_ms, unsigned i)
{
    return base_ms + 1000 * i + 7 * i;
}

static void load(struct place *place, uint64_t base_ms)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char *words = mem_printf("SET k%u v%u PXAT %llu", place->keys[i], i,
                                 (unsigned long long)expiry_of(base_ms, i));
        expect(place->client, words, "+OK");
        mem_free(words);
    }
}

static void expect_all(struct place *place, uint64_t base_ms)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char *get = mem_printf("GET k%u", place->keys[i]), *value = mem_printf("v%u", i);
        char *ask = mem_printf("PEXPIRETIME k%u", place->keys[i]);
        char *when = mem_printf(":%llu", (unsigned long long)expiry_of(base_ms, i));
        expect(place->client, get, value);
        expect(place->client, ask, when);
        mem_free(get);
        mem_free(value);
        mem_free(ask);
        mem_free(when);
    }
}

static bool status_tells(struct place *place, const char *words)
{
    char *text = cluster_ctl_ok(place->cluster, "--json status");
    bool is_there = strstr(text, words) != NULL;
    mem_free(text);
    return is_there;
}

static char *open_migration(struct place *place)
{
    return migration_open_by_ctl(place->cluster, "drain s1 --manual-switch");
}

// field lesson: the key expired on the target first
static void a_target_an_hour_ahead_keeps_a_migration_planned(void **state)
{
    (void)state;
    struct place place;
    uint64_t base_ms = clock_wall_ms() + 600000;
    start(&place, 3600000);
    load(&place, base_ms);
    char *id = open_migration(&place);
    WAIT_UNTIL(status_tells(&place, "set the clocks right"), LONG_MS);
    assert_true(migration_is_in(place.cluster, id, "planned"));
    set_clock(&place, 200);
    WAIT_UNTIL(migration_is_verified(place.cluster, id), LONG_MS);
    cluster_tell(place.cluster, "switch %s --wait", id);
    cluster_tell(place.cluster, "finalize %s --wait", id);
    expect_all(&place, base_ms);
    mem_free(id);
    stop(&place);
}

static void expect_no_switch_while(struct place *place, int64_t ahead_ms)
{
    char *id = open_migration(place);
    uint64_t base_ms = clock_wall_ms() + 60000;
    WAIT_UNTIL(migration_is_verified(place->cluster, id), LONG_MS);
    set_clock(place, ahead_ms);
    load(place, base_ms); /* the mirrors of these expire at once where the clock is ahead */
    cluster_tell(place->cluster, "switch %s", id);
    WAIT_UNTIL(status_tells(place, "set the clocks right"), LONG_MS);
    assert_true(migration_is_in(place->cluster, id, "dual-write"));
    expect_all(place, base_ms);
    set_clock(place, 0); /* and what was asked for is carried out */
    WAIT_UNTIL(migration_is_in(place->cluster, id, "switched"), LONG_MS);
    expect_all(place, base_ms);
    cluster_tell(place->cluster, "rollback %s --wait", id);
    expect_all(place, base_ms);
    mem_free(id);
}

// field lesson: the key expired on the target first
static void a_clock_that_jumps_during_the_copy_lets_no_slot_switch(void **state)
{
    (void)state;
    struct place place;
    start(&place, 0);
    expect_no_switch_while(&place, 90000);
    expect_no_switch_while(&place, -90000);
    stop(&place);
}

/* Each way to change a lifetime, while the copy is there already. */
// field lesson: a lifetime extended during the copy was lost
static void lifetimes_that_change_during_the_copy_arrive(void **state)
{
    static const struct {
        const char *before, *after; /* the key */
    } changes[] = {
        {"PERSIST", ""},       {"EXPIRE", "900"},      {"PEXPIREAT", "33000000000007"},
        {"GETEX", "PERSIST"},  {"GETEX", "PX 800009"}, {"SET", "new KEEPTTL"},
        {"SET", "new EX 700"}, {"GETSET", "new"},
    };

    enum {
        CHANGES = sizeof(changes) / sizeof(changes[0])
    };

    (void)state;
    struct place place;
    char *expiries[KEYS];
    start(&place, 0);
    load(&place, clock_wall_ms() + 600000);
    char *id = open_migration(&place);
    WAIT_UNTIL(migration_is_verified(place.cluster, id), LONG_MS);
    for (unsigned i = 0; i < KEYS; i++) {
        char *words = mem_printf("%s k%u %s", changes[i % CHANGES].before, place.keys[i],
                                 changes[i % CHANGES].after);
        mem_free(client_ask(place.client, words));
        mem_free(words);
        words = mem_printf("PEXPIRETIME k%u", place.keys[i]);
        expiries[i] = client_ask(place.client, words);
        mem_free(words);
    }
    assert_string_equal(expiries[0], ":-1");
    assert_string_equal(expiries[2], ":33000000000007");
    cluster_tell(place.cluster, "switch %s --wait", id);
    for (unsigned i = 0; i < KEYS; i++) {
        char *words = mem_printf("PEXPIRETIME k%u", place.keys[i]);
        expect(place.client, words, expiries[i]);
        mem_free(words);
        mem_free(expiries[i]);
    }
    mem_free(id);
    stop(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_target_an_hour_ahead_keeps_a_migration_planned, stage_clear),
        cmocka_unit_test_teardown(lifetimes_that_change_during_the_copy_arrive, stage_clear),
        cmocka_unit_test_teardown(a_clock_that_jumps_during_the_copy_lets_no_slot_switch,
                                  stage_clear),
    };
    return cmocka_run_group_tests_name("clocks", tests, NULL, NULL);
}
