#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "migrator/copy/probe.h"
#include "tests/support/copy_rig.h"

#define DEADLINE_US UINT64_C(20000000)

static struct topology_shard shards[2];

static int start(void **state)
{
    (void)copy_rig_start(state);
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(shards[i].host, sizeof(shards[i].host), "127.0.0.1");
        shards[i].port = (uint16_t)redis_server_port(copy_rig.servers[i]);
    }
    return 0;
}

static bool read_within_deadline(struct probe *probe, uint64_t *latency_us)
{
    uint64_t until_us = clock_now_us() + DEADLINE_US;
    while (!probe_read(probe, latency_us)) {
        if (clock_now_us() > until_us) {
            return false;
        }
        clock_sleep_ms(1);
    }
    return true;
}

static void it_tells_a_slow_shard(void **state)
{
    (void)state;
    struct error err;
    uint64_t usual_us = 0;
    uint64_t latency_us = 0;
    struct probe *probe = probe_start(&shards[0], &shards[1], 5000, &err);
    assert_non_null(probe);
    assert_true(probe_is_of(probe, &shards[0], &shards[1]));
    assert_false(probe_is_of(probe, &shards[1], &shards[0]));
    assert_true(read_within_deadline(probe, &usual_us));
    assert_true(usual_us > 0);
    /* Each of these keeps the second shard busy for 20 ms. */
    uint64_t until_us = clock_now_us() + DEADLINE_US;
    while (latency_us < 5000 && clock_now_us() < until_us) {
        mem_free(ask(copy_rig.target, "DEBUG SLEEP 0.02"));
        (void)probe_read(probe, &latency_us);
    }
    assert_true(latency_us >= 5000);
    probe_stop(probe);
}

static void a_shard_that_is_not_there_does_no_harm(void **state)
{
    (void)state;
    struct error err;
    uint64_t latency_us = 0;
    struct topology_shard gone = shards[1];
    gone.port = 1;
    struct probe *probe = probe_start(&shards[0], &gone, 500, &err);
    assert_non_null(probe);
    assert_false(probe_read(probe, &latency_us));
    probe_stop(probe);
    probe_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_a_slow_shard),
        cmocka_unit_test(a_shard_that_is_not_there_does_no_harm),
    };
    return cmocka_run_group_tests(tests, start, copy_rig_stop);
}
