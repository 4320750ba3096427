/* The script that forgets the guards of migrations that are over. One test a rule; each fails when
 * its check is taken out of the script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "tests/support/lone_shard.h"

#define F   METADATA_FENCE
#define VER "__sluice:m3:9:f:ver"

/* As an hour of migrations leaves them. */
static void write_guards(void)
{
    expect_ask(lone.link, "HSET " F " epoch 30 guard:2 9:4 guard:3 12:4 guard:4 11:3 guard:5 20:4",
               ":4");
}

static void closed_guards_of_old_generations_are_pruned(void **state)
{
    (void)state;
    write_guards();
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 13", ":2");
    expect_ask(lone.link, "HMGET " F " guard:2 guard:3 guard:4 guard:5 born pruned",
               "[(nil), (nil), 11:3, 20:4, 13, 12]");
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 13", ":0");
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 3", ":0"); /* a late one */
    expect_ask(lone.link, "HMGET " F " born pruned", "[13, 12]");
}

/* A migrator of a migration that ended long ago wakes up. */
// field lesson: late cleanup deleted the next migration's keys
static void behind_a_pruned_guard_its_generations_stay_refused(void **state)
{
    (void)state;
    write_guards();
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 13", ":2");
    expect_ask(lone.link, "SET k owner", "+OK");
    for (int generation = 1; generation <= 12; generation++) {
        char argv[32];
        (void)snprintf(argv, sizeof(argv), "$ 3 %d 3 -1", generation);
        expect_script(lone.link, SCRIPT_GUARD, F, argv, "-STALE 0:0 born 13");
        (void)snprintf(argv, sizeof(argv), "$ 3 %d 1", generation);
        expect_script(lone.link, SCRIPT_MAKE, F " v:3", argv, "-STALE 0:0 born 13");
        (void)snprintf(argv, sizeof(argv), "$ 3 %d", generation);
        expect_script(lone.link, SCRIPT_PURGE, F " k", argv, "-STALE 0:0");
        expect_script(lone.link, SCRIPT_DROP, F " k", argv, "-STALE 0:0");
    }
    expect_script(lone.link, SCRIPT_APPLY, F " " VER " k", "$ 3 12 1 s-1 late", "-STALE 0:0");
    expect_ask(lone.link, "GET k", "owner");
    expect_script(lone.link, SCRIPT_GUARD, F, "$ 6 13 1 -1", "+OK"); /* what is open goes on */
}

/* A store restored from a backup goes on above the fences, and maybe below the horizon. */
static void nothing_is_pruned_above_the_fences_epoch(void **state)
{
    (void)state;
    write_guards();
    expect_ask(lone.link, "HSET " F " epoch 10", ":0");
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 99", ":1");
    expect_ask(lone.link, "HMGET " F " guard:3 born pruned", "[12:4, 10, 9]");
    expect_ask(lone.link, "HSET " F " run_id other", ":0");
    expect_script(lone.link, SCRIPT_PRUNE, F, "$ 99",
                  "-UNFENCED the fence names another process, other");
}

#define FENCED(test) cmocka_unit_test_setup(test, lone_shard_fence)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FENCED(closed_guards_of_old_generations_are_pruned),
        FENCED(behind_a_pruned_guard_its_generations_stay_refused),
        FENCED(nothing_is_pruned_above_the_fences_epoch),
    };
    return cmocka_run_group_tests(tests, lone_shard_start, lone_shard_stop);
}
