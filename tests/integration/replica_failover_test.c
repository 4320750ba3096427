/* Reads from replicas while Sentinels make one of them the primary: s1 has two, and its primary is
 * killed, and comes back.
 *
 * p1 reads what is a second old at most. p2 may read what is a minute old, so that its reads need
 * no primary for as long as a failover takes. A writer knows since when both replicas have had
 * what it wrote: Redis may lose the rest. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"
#include "tests/support/watched_shard.h"

#define PATIENCE_MS 60000
#define LAG_MAX_MS  1000
#define READS       40
#define MARKS_MAX   65536
#define KEY         "counter"
#define FINAL       "1000000000"

/* Both replicas have had at least that value since then. */
struct mark {
    uint64_t us;
    long long value;
};

struct writer {
    pthread_t thread;
    struct mark marks[MARKS_MAX]; /* those below `count` stay as they are */
    atomic_uint count;
    atomic_bool is_stopped;
};

static struct sentinel_group *sentinels;
static struct watched_shard shard; /* s1 */
static struct cluster *cluster;
static char *folder, *conf;
static struct writer writer;
static struct client *strict, *patient; /* of p1, of p2 */

/* --- setting up ------------------------------------------------------------------------------- */

static void write_conf(unsigned lag_max_ms)
{
    struct error err;
    char *text = mem_printf("read-from = prefer-replica\nreplica-lag-max = %ums\n", lag_max_ms);
    assert_true(file_write(conf, slice_of(text), &err));
    mem_free(text);
}

static int start(void **state)
{
    (void)state;
    char place[128], init[160];
    folder = scratch_folder("failover");
    conf = mem_printf("%s/proxy.conf", folder);
    write_conf(LAG_MAX_MS);
    sentinels = sentinel_group_start(SENTINELS_GROUP_MAX);
    watched_shard_start_with(&shard, sentinels, "m1", 2);
    sentinel_group_place(sentinels, "m1", place, sizeof(place));
    (void)snprintf(init, sizeof(init), "s1=%s", place);
    const char *const arguments[] = {"--config", conf, NULL};
    cluster = cluster_start(&(const struct cluster_options){
        .init = init, .proxies = 2, .nslots = 16, .proxy_arguments = arguments});
    write_conf(PATIENCE_MS);
    cluster_restart_proxy(cluster, 1);
    strict = client_connect(cluster_proxy_port(cluster, 0));
    patient = client_connect(cluster_proxy_port(cluster, 1));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    client_close(strict);
    client_close(patient);
    cluster_stop(cluster);
    watched_shard_stop(&shard);
    sentinel_group_stop(sentinels);
    mem_free(conf);
    scratch_remove(folder);
    process_stop_all();
    return 0;
}

/* --- servers ---------------------------------------------------------------------------------- */

static uint16_t port_of(unsigned server)
{
    return redis_server_port(shard.servers[server]);
}

/* Sentinels end all connections to a server that they tell whom to follow: a new one each time. */
static char *ask_server(unsigned server, const char *command)
{
    struct client *client = client_connect(port_of(server));
    char *reply = client_ask(client, command);
    client_close(client);
    return reply;
}

/* Proxied reads are the only GETs. */
static unsigned long reads_in(const char *info)
{
    static const char label[] = "\ncmdstat_get:calls=";
    const char *found = strstr(info, label);
    return found != NULL ? strtoul(found + sizeof(label) - 1, NULL, 10) : 0;
}

static unsigned long reads_of(unsigned server)
{
    char *info = ask_server(server, "INFO commandstats");
    unsigned long count = reads_in(info);
    mem_free(info);
    return count;
}

static bool is_primary(unsigned server)
{
    char *info = ask_server(server, "INFO replication");
    bool is_it = strstr(info, "role:master") != NULL;
    mem_free(info);
    return is_it;
}

static bool has_final(unsigned server)
{
    char *value = ask_server(server, "GETRANGE " KEY " 0 -1");
    bool is_it = strcmp(value, FINAL) == 0;
    mem_free(value);
    return is_it;
}

/* By the proxy's own word. */
static bool is_usable(unsigned proxy, unsigned server)
{
    char *body = NULL;
    char *line = mem_printf("sluice_replica_usable{shard=\"s1\",replica=\"127.0.0.1:%u\"} 1\n",
                            port_of(server));
    bool is_it = http_get(cluster_proxy_admin_port(cluster, proxy), "/metrics", &body) == 200 &&
                 strstr(body, line) != NULL;
    mem_free(line);
    mem_free(body);
    return is_it;
}

/* --- the writer ------------------------------------------------------------------------------- */

static long long number_of(struct client *client, const char *command)
{
    char *reply = client_ask(client, command);
    long long number = strtoll(reply + (reply[0] == ':' ? 1 : 0), NULL, 10);
    mem_free(reply);
    return number;
}

/* 0 when it cannot be asked. */
static long long value_at(unsigned server)
{
    struct client *client = client_try_connect(port_of(server));
    long long value = client != NULL ? number_of(client, "GETRANGE " KEY " 0 -1") : 0;
    client_close(client);
    return value;
}

/* The servers that began as replicas. */
static void mark(long long written)
{
    unsigned count = atomic_load(&writer.count);
    long long least = written;
    for (unsigned i = 1; i < shard.nservers; i++) {
        long long value = value_at(i);
        least = value < least ? value : least;
    }
    if (least > 0 && count < MARKS_MAX) {
        writer.marks[count] = (struct mark){clock_now_us(), least};
        atomic_store(&writer.count, count + 1);
    }
}

static void *write_on(void *context)
{
    (void)context;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    while (!atomic_load(&writer.is_stopped)) {
        long long written = number_of(client, "INCR " KEY);
        if (written > 0) {
            mark(written);
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    client_close(client);
    return NULL;
}

/* What had been on both replicas by then. */
static long long safe_at(uint64_t us)
{
    unsigned i = atomic_load(&writer.count);
    while (i > 0 && writer.marks[i - 1].us > us) {
        i--;
    }
    return i > 0 ? writer.marks[i - 1].value : 0;
}

static long long safe_now(void)
{
    return safe_at(UINT64_MAX);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* False: an error. The bound is that of the client's proxy. */
static bool read_well(struct client *client, uint64_t lag_max_ms)
{
    uint64_t sent_us = clock_now_us();
    char *reply = client_ask(client, "GET " KEY);
    bool is_answer = reply[0] != '-';
    long long value = strtoll(reply, NULL, 10);
    long long floor = safe_at(sent_us - lag_max_ms * 1000);
    if (is_answer && value < floor) {
        fail_msg("read %lld, while %lld was older than the bound", value, floor);
    }
    mem_free(reply);
    return is_answer;
}

static bool is_read_from(struct client *client, unsigned server)
{
    unsigned long before = reads_of(server);
    for (unsigned i = 0; i < READS; i++) {
        assert_true(read_well(client, PATIENCE_MS));
    }
    return reads_of(server) > before;
}

static bool somebody_was_promoted(void)
{
    return is_primary(1) || is_primary(2);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void reads_go_on_through_a_failover_and_none_is_older_than_the_bound(void **state)
{
    (void)state;
    unsigned long answered = 0;
    assert_int_equal(pthread_create(&writer.thread, NULL, write_on, NULL), 0);
    for (unsigned i = 1; i < shard.nservers; i++) {
        WAIT_UNTIL(is_read_from(strict, i), PATIENCE_MS);
        WAIT_UNTIL(is_read_from(patient, i), PATIENCE_MS);
    }
    watched_shard_kill_primary(&shard);
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (!somebody_was_promoted()) {
        assert_false(deadline_is_over(deadline_us));
        (void)read_well(strict, LAG_MAX_MS);
        bool is_answer = read_well(patient, PATIENCE_MS);
        assert_true(is_answer || somebody_was_promoted());
        answered += is_answer ? 1 : 0;
    }
    assert_true(answered > 0);
    watched_shard_await_failover(&shard);
    /* Until all that the former primary could have told is too old to be told. */
    long long before = safe_now();
    deadline_us = deadline_after_ms(PATIENCE_MS);
    while (safe_at(clock_now_us() - (uint64_t)LAG_MAX_MS * 1000) <= before) {
        assert_false(deadline_is_over(deadline_us));
        (void)read_well(strict, LAG_MAX_MS);
        (void)read_well(patient, PATIENCE_MS);
    }
    atomic_store(&writer.is_stopped, true);
    assert_int_equal(pthread_join(writer.thread, NULL), 0);
    assert_true(read_well(strict, LAG_MAX_MS));
}

/* How many of the reads that server answered; all of them are answered. */
static unsigned long reads_by(unsigned server)
{
    unsigned long before = reads_of(server);
    for (unsigned i = 0; i < READS; i++) {
        assert_true(read_well(strict, LAG_MAX_MS));
    }
    return reads_of(server) - before;
}

/* Of the first two the one that was not promoted. */
static unsigned other_replica(void)
{
    assert_in_range(shard.primary, 1, 2);
    return 3 - shard.primary;
}

static void the_promoted_replica_is_read_as_a_replica_no_more(void **state)
{
    (void)state;
    unsigned other = other_replica();
    WAIT_UNTIL(is_usable(0, other) && is_usable(1, other), PATIENCE_MS);
    assert_false(is_usable(0, shard.primary) || is_usable(1, shard.primary));
    WAIT_UNTIL(reads_by(other) == READS, PATIENCE_MS);
    WAIT_UNTIL(reads_by(shard.primary) == 0, PATIENCE_MS);
}

/* Both see what was written last, and not what the former primary has. */
static void expect_final(void)
{
    for (unsigned i = 0; i < READS; i++) {
        expect(strict, "GET " KEY, FINAL);
        expect(patient, "GET " KEY, FINAL);
    }
}

/* Whether it still waits for its copy; then no read may have come to it. */
static bool is_behind(unsigned server)
{
    char *info = ask_server(server, "INFO everything");
    bool is_it = strstr(info, "master_link_status:up") == NULL;
    if (is_it) {
        assert_int_equal(reads_in(info), 0);
    }
    mem_free(info);
    return is_it;
}

/* It has what it had, and would tell: a replica that waits for its copy answers. */
static void a_former_primary_is_not_read_before_it_has_caught_up(void **state)
{
    (void)state;
    unsigned former = shard.former, looks = 0;
    char *follow = mem_printf("REPLICAOF 127.0.0.1 %u", watched_shard_primary(&shard));
    expect(strict, "SET " KEY " " FINAL, "+OK");
    WAIT_UNTIL(has_final(1) && has_final(2), PATIENCE_MS);
    WAIT_UNTIL(is_usable(0, other_replica()) && is_usable(1, other_replica()), PATIENCE_MS);
    watched_shard_return(&shard);
    expect_final();
    assert_true(is_behind(former)); /* a primary, as it believes */
    assert_true(value_at(former) > 0);
    assert_false(has_final(former));

    /* A quarter of a second for each of the few keys. */
    mem_free(ask_server(shard.primary, "CONFIG SET rdb-key-save-delay 250000"));
    mem_free(ask_server(former, follow));
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (is_behind(former)) {
        assert_false(deadline_is_over(deadline_us));
        expect_final();
        looks++;
    }
    assert_true(looks > 0);
    mem_free(ask_server(shard.primary, "CONFIG SET rdb-key-save-delay 0"));
    assert_true(has_final(former));
    WAIT_UNTIL(reads_by(former) > 0, PATIENCE_MS);
    expect_final();
    mem_free(follow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_go_on_through_a_failover_and_none_is_older_than_the_bound),
        cmocka_unit_test(the_promoted_replica_is_read_as_a_replica_no_more),
        cmocka_unit_test(a_former_primary_is_not_read_before_it_has_caught_up),
    };
    return cmocka_run_group_tests_name("replica failover", tests, start, stop);
}
