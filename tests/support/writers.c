#include "tests/support/writers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define WRITES 200

int writers_set_up(void **state)
{
    static const char *const fast[] = {"--appendonly", "no", NULL};
    static struct migration_rig rig;
    rig_start(&rig, fast);
    rig.options.barrier_timeout_ms = 30000;
    rig.options.hold_max_ms = 50000;
    *state = &rig;
    return 0;
}

int writers_tear_down(void **state)
{
    rig_stop(*state);
    return 0;
}

void writers_start(struct migration_rig *rig, struct proxy_stand_in *writers[WRITERS])
{
    static const char *const names[] = {"p1", "p2"};
    uint64_t seed = scratch_seed();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = proxy_stand_in_start(rig, names[i], seed + i);
    }
}

void writers_wait(struct proxy_stand_in *writers[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        uint64_t enough = proxy_stand_in_writes(writers[i]) + WRITES;
        WAIT_UNTIL(proxy_stand_in_writes(writers[i]) >= enough, RIG_LONG_MS);
    }
}

void writers_stop(struct proxy_stand_in *writers[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_true(proxy_stand_in_stop(writers[i]) > 0);
    }
}
