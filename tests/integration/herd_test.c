/* Thirty proxies before one shard that dies and comes back: how often they try meanwhile, and how
 * many connections the shard has to take when it is there again. What is counted has bounds that
 * hold on a machine of any speed: a slow one tries less often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define HERD        30u
#define PATIENCE_MS 60000
#define AWAY_MS     2000u
/* To a shard: the worker's and the control thread's. */
#define WAYS 2u

struct member {
    struct process *process;
    uint16_t port, admin_port;
};

static struct member herd[HERD];

static void start_member(unsigned i)
{
    struct member *member = &herd[i];
    member->port = scratch_port();
    member->admin_port = scratch_port();
    char *program = program_path("sluice-proxy"), *id = mem_printf("herd%u", i);
    char *listen = mem_printf("127.0.0.1:%u", member->port);
    char *admin = mem_printf("127.0.0.1:%u", member->admin_port);
    char *log = mem_printf("%s/%s.log", cluster_folder(cluster), id);
    const char *argv[] = {program,     "--store", cluster_store(cluster),
                          "--listen",  listen,    "--admin",
                          admin,       "--id",    id,
                          "--threads", "1",       NULL};
    member->process = process_start(id, argv, NULL, log);
    mem_free(program);
    mem_free(id);
    mem_free(listen);
    mem_free(admin);
    mem_free(log);
}

static bool is_served_by(const struct member *member)
{
    struct client *client = client_try_connect(member->port);
    bool is_served = client != NULL && client_gets(client, "INCRBY key 0", ":7");
    client_close(client);
    return is_served;
}

static int start(void **state)
{
    (void)state;
    cluster = cluster_start(&(const struct cluster_options){.shards = 1});
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    expect(client, "SET key 7", "+OK");
    client_close(client);
    for (unsigned i = 0; i < HERD; i++) {
        start_member(i);
    }
    for (unsigned i = 0; i < HERD; i++) {
        WAIT_UNTIL(is_served_by(&herd[i]), PATIENCE_MS);
    }
    return 0;
}

static int stop(void **state)
{
    bool is_well = true;
    for (unsigned i = 0; i < HERD; i++) {
        is_well &= process_stop(herd[i].process);
        herd[i].process = NULL;
    }
    return stage_clear(state) == 0 && is_well ? 0 : -1;
}

static unsigned long failures(void)
{
    unsigned long sum = 0;
    for (unsigned i = 0; i < HERD; i++) {
        sum += http_metric(herd[i].admin_port, "sluice_shard_failures_total{shard=\"s1\"}");
    }
    return sum;
}

static unsigned long received(void)
{
    static const char label[] = "total_connections_received:";
    struct client *direct = client_connect(cluster_shard_port(cluster, 0));
    char *info = client_ask(direct, "INFO stats");
    const char *found = strstr(info, label);
    assert_non_null(found);
    unsigned long value = strtoul(found + strlen(label), NULL, 10);
    mem_free(info);
    client_close(direct);
    return value;
}

/* The connection that is lost, and the tries of one way within that time: the waits double from 25
 * ms (half of 50) to 500 ms (half of a second). */
static unsigned long tries_within(uint64_t ms)
{
    unsigned long tries = 2;
    uint64_t wait_ms = 25;
    for (uint64_t at_ms = wait_ms; at_ms < ms; at_ms += wait_ms) {
        tries++;
        wait_ms = wait_ms < 250 ? wait_ms * 2 : 500;
    }
    return tries;
}

static void thirty_proxies_do_not_storm_a_shard_that_is_started_again(void **state)
{
    (void)state;
    unsigned long before = failures();
    uint64_t killed_us = clock_now_us();
    redis_server_kill(cluster_shard(cluster, 0));
    clock_sleep_ms(AWAY_MS);
    unsigned long tries = failures() - before;
    uint64_t away_ms = (clock_now_us() - killed_us) / 1000;
    print_message("%lu connections lost or refused in %llu ms\n", tries,
                  (unsigned long long)away_ms);
    assert_in_range(tries, HERD, HERD * WAYS * tries_within(away_ms));

    uint64_t restarted_us = clock_now_us();
    redis_server_restart(cluster_shard(cluster, 0), false);
    for (unsigned i = 0; i < HERD; i++) {
        WAIT_UNTIL(is_served_by(&herd[i]), PATIENCE_MS);
    }
    unsigned long taken = received();
    uint64_t back_ms = (clock_now_us() - restarted_us) / 1000;
    print_message("%lu connections in %llu ms after the restart\n", taken,
                  (unsigned long long)back_ms);
    /* Who takes the shard back looks at it over one more. */
    assert_in_range(taken, HERD * WAYS, HERD * (WAYS + 1) * tries_within(back_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thirty_proxies_do_not_storm_a_shard_that_is_started_again),
    };
    return cmocka_run_group_tests_name("herd", tests, start, stop);
}
