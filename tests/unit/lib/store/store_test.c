/* What every store promises: one table of tests, run over each of them. The etcd store runs over a
 * real server, each test below a prefix of its own. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/etcd.h"
#include "tests/support/sample_topology.h"
#include "tests/support/store_place.h"
#include "tests/support/wait.h"

#define DEADLINE_MS 60000

static struct etcd_cluster *cluster;

static int set_up_etcd(void **state)
{
    static unsigned number = 0;
    char prefix[32];
    struct store_place *fixture = mem_zalloc(sizeof(*fixture));
    (void)snprintf(prefix, sizeof(prefix), "test%u", number++);
    etcd_cluster_url(cluster, 0, prefix, fixture->url, sizeof(fixture->url));
    *state = fixture;
    return 0;
}

static int start_etcd(void **state)
{
    const struct etcd_options options = {.has_wires = false};
    (void)state;
    cluster = etcd_cluster_start(1, &options);
    return 0;
}

static int stop_etcd(void **state)
{
    (void)state;
    etcd_cluster_stop(cluster);
    return 0;
}

/* --- opening and creating ----------------------------------------------------------------- */

static void before_init_everybody_is_told_to_run_it(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = open_store(fixture->url);
    bool is_missing = false;
    uint64_t epoch;
    struct error err = {""};
    assert_null(store_read(store, &is_missing, &err));
    assert_true(is_missing);
    assert_non_null(strstr(err.text, "no topology in "));
    assert_non_null(strstr(err.text, "run `sluicectl init` first, or name the place that it was"));
    assert_false(store_epoch(store, &epoch, &err));
    assert_int_equal(cas(store, 2, 0), CAS_FAILED);
    assert_false(store_wait(store, 0, 1));
    store_close(store);
}

static void what_was_created_is_read(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store *other = open_store(fixture->url);
    bool is_missing = true;
    struct error err = {""};
    struct topology *topology = store_read(other, &is_missing, &err);
    assert_non_null(topology);
    assert_false(is_missing);
    assert_int_equal(topology->epoch, 1);
    assert_string_equal(store_url(other), fixture->url);
    assert_int_equal(store_create(other, topology, &err), CAS_LOST);
    topology_free(topology);
    store_close(store);
    store_close(other);
}

/* --- compare-and-swap --------------------------------------------------------------------- */

static void only_the_epoch_after_the_newest_is_written(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store *late = open_store(fixture->url);
    assert_int_equal(epoch_of(late), 1);
    assert_int_equal(cas(store, 2, 0), CAS_DONE);
    assert_int_equal(cas(store, 3, 0), CAS_DONE);
    assert_int_equal(cas(late, 2, 9), CAS_LOST);
    assert_int_equal(cas(late, 3, 9), CAS_LOST);
    assert_int_equal(cas(late, 5, 9), CAS_FAILED);
    assert_int_equal(epoch_of(late), 3);
    struct topology *topology = store_read(late, NULL, NULL);
    assert_int_equal(topology->shards[0].weight, 1);
    topology_free(topology);
    store_close(store);
    store_close(late);
}

static void what_does_not_validate_is_not_written(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct topology *next = of_epoch(2, 0);
    struct error err = {""};
    next->owner[7] = 99;
    assert_int_equal(store_cas(store, next, &err), CAS_FAILED);
    assert_non_null(strstr(err.text, "slot 7 is owned by no shard"));
    assert_int_equal(epoch_of(store), 1);
    topology_free(next);
    store_close(store);
}

#define RACERS 50

static void race(const struct store_place *fixture, int start_fd, unsigned writer, uint64_t epoch)
{
    struct store *store = store_open(fixture->url, NULL);
    struct topology *next = of_epoch(epoch, writer);
    char go;
    ssize_t got = read(start_fd, &go, 1); /* until the other end is closed */
    _exit(got == 0 ? (int)store_cas(store, next, NULL) : CAS_FAILED);
}

static void of_many_racing_processes_exactly_one_wins(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    pid_t racers[RACERS];
    int start[2];
    assert_int_equal(pipe(start), 0);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = fork();
        assert_true(racers[i] >= 0);
        if (racers[i] == 0) {
            (void)close(start[1]);
            race(fixture, start[0], i, 2);
        }
    }
    (void)close(start[0]);
    (void)close(start[1]);
    unsigned winners = 0, winner = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(racers[i], &status, 0), racers[i]);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == CAS_DONE || WEXITSTATUS(status) == CAS_LOST);
        if (WEXITSTATUS(status) == CAS_DONE) {
            winners++;
            winner = i;
        }
    }
    assert_int_equal(winners, 1);
    struct topology *topology = store_read(store, NULL, NULL);
    assert_int_equal(topology->epoch, 2);
    assert_int_equal(topology->shards[0].weight, 1 + winner);
    topology_free(topology);
    store_close(store);
}

/* --- watching ----------------------------------------------------------------------------- */

/* What a watch needs until it is there may wake it too: it comes to rest. */
static void rest(struct store *store)
{
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    uint64_t deadline_us = deadline_after_ms(DEADLINE_MS);
    uint64_t epoch;
    do {
        store_watch_clear(store);
        (void)!store_epoch(store, &epoch, NULL);
        assert_false(deadline_is_over(deadline_us));
    } while (poll(&watched, 1, 300) != 0);
}

static void a_watcher_wakes_when_another_process_writes(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    rest(store);
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    pid_t child = fork();
    if (child == 0) {
        struct store *other = store_open(fixture->url, NULL);
        struct topology *next = of_epoch(2, 0);
        _exit(store_cas(other, next, NULL));
    }
    assert_int_equal(poll(&watched, 1, DEADLINE_MS), 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_watch_clear(store);
    assert_int_equal(epoch_of(store), 2);
    rest(store);
    store_close(store);
}

static void waiting_ends_with_the_epoch_or_with_the_time(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    assert_true(store_wait(store, 0, DEADLINE_MS));
    assert_false(store_wait(store, 1, 20));
    pid_t child = fork();
    if (child == 0) {
        struct store *other = store_open(fixture->url, NULL);
        struct topology *next = of_epoch(2, 0);
        _exit(store_cas(other, next, NULL));
    }
    assert_true(store_wait(store, 1, DEADLINE_MS));
    assert_int_equal(waitpid(child, NULL, 0), child);
    store_close(store);
}

static void waiting_begins_before_the_store_is_made(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = open_store(fixture->url);
    pid_t child = fork();
    if (child == 0) {
        struct store *other = store_open(fixture->url, NULL);
        struct topology *first = sample_topology(2, 64);
        _exit(store_create(other, first, NULL));
    }
    assert_true(store_wait(store, 0, DEADLINE_MS));
    assert_int_equal(waitpid(child, NULL, 0), child);
    store_close(store);
}

/* --- the journal -------------------------------------------------------------------------- */

struct journal {
    char text[8192];
    unsigned count;
    unsigned stop_after;
};

static bool collect(void *context, struct slice record)
{
    struct journal *journal = context;
    size_t used = strlen(journal->text);
    if (used + record.len + 2 < sizeof(journal->text)) {
        (void)snprintf(journal->text + used, sizeof(journal->text) - used, "%.*s;", (int)record.len,
                       record.data);
    }
    journal->count++;
    return journal->count != journal->stop_after;
}

static void records_are_read_in_their_order(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct journal journal = {.count = 0};
    assert_true(store_journal(store, collect, &journal, NULL));
    assert_int_equal(journal.count, 0);
    assert_true(store_append(store, SLICE("{\"a\":1}"), NULL));
    assert_true(store_append(store, SLICE("{\"b\":{}}"), NULL));
    assert_true(store_append(store, SLICE("{}"), NULL));
    assert_true(store_journal(store, collect, &journal, NULL));
    assert_string_equal(journal.text, "{\"a\":1};{\"b\":{}};{};");
    journal = (struct journal){.stop_after = 2};
    assert_true(store_journal(store, collect, &journal, NULL));
    assert_int_equal(journal.count, 2);
    store_close(store);
}

static void reading_goes_on_where_it_was(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct journal journal = {.count = 0};
    uint64_t position = 0;
    assert_true(store_journal_from(store, &position, collect, &journal, NULL));
    assert_int_equal(journal.count, 0);
    assert_true(store_append(store, SLICE("{\"a\":1}"), NULL));
    assert_true(store_append(store, SLICE("{\"b\":2}"), NULL));
    journal.stop_after = 1;
    assert_true(store_journal_from(store, &position, collect, &journal, NULL));
    assert_string_equal(journal.text, "{\"a\":1};");
    journal = (struct journal){.stop_after = 0};
    assert_true(store_append(store, SLICE("{\"c\":3}"), NULL));
    assert_true(store_journal_from(store, &position, collect, &journal, NULL));
    assert_string_equal(journal.text, "{\"b\":2};{\"c\":3};");
    journal = (struct journal){.stop_after = 0};
    assert_true(store_journal_from(store, &position, collect, &journal, NULL));
    assert_int_equal(journal.count, 0);
    store_close(store);
}

static bool is_whole(void *context, struct slice record)
{
    const char *first = memchr(record.data, 'x', record.len);
    size_t *length = context;
    assert_non_null(first);
    *length = record.len;
    return strspn(first, "x") + (size_t)(first - record.data) + 2 == record.len;
}

/* etcd takes 1.5 MB in a request. */
static void a_record_may_be_larger_than_a_request(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    size_t length = (size_t)3 << 20;
    char *record = mem_alloc(length + 1);
    memset(record, 'x', length);
    memcpy(record, "{\"a\":\"", 6);
    memcpy(record + length - 2, "\"}", 3);
    assert_true(store_append(store, (struct slice){record, length}, NULL));
    size_t read = 0;
    assert_true(store_journal(store, is_whole, &read, NULL));
    assert_int_equal(read, length);
    mem_free(record);
    store_close(store);
}

#define APPENDERS       8
#define RECORDS_OF_EACH 40

static void append_many(const struct store_place *fixture, unsigned appender)
{
    struct store *store = store_open(fixture->url, NULL);
    for (unsigned i = 0; i < RECORDS_OF_EACH; i++) {
        char record[300];
        int length =
            snprintf(record, sizeof(record), "{\"appender\":%u,\"number\":%u,\"pad\":\"%*s\"}",
                     appender, i, (int)(appender * 20), "");
        if (!store_append(store, (struct slice){record, (size_t)length}, NULL)) {
            _exit(1);
        }
    }
    _exit(0);
}

struct tally {
    unsigned next[APPENDERS];
};

static bool count_record(void *context, struct slice record)
{
    struct tally *tally = context;
    char text[300];
    (void)snprintf(text, sizeof(text), "%.*s", (int)record.len, record.data);
    const char *appender_at = strstr(text, "\"appender\":"),
               *number_at = strstr(text, "\"number\":");
    ASSERT(appender_at != NULL && number_at != NULL);
    unsigned long appender = strtoul(appender_at + 11, NULL, 10);
    unsigned long number = strtoul(number_at + 9, NULL, 10);
    assert_true(appender < APPENDERS);
    assert_int_equal(number, tally->next[appender]++);
    return true;
}

static void appenders_of_many_processes_all_survive(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    pid_t appenders[APPENDERS];
    for (unsigned i = 0; i < APPENDERS; i++) {
        appenders[i] = fork();
        assert_true(appenders[i] >= 0);
        if (appenders[i] == 0) {
            append_many(fixture, i);
        }
    }
    for (unsigned i = 0; i < APPENDERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(appenders[i], &status, 0), appenders[i]);
        assert_int_equal(status, 0);
    }
    struct tally tally = {{0}};
    assert_true(store_journal(store, count_record, &tally, NULL));
    for (unsigned i = 0; i < APPENDERS; i++) {
        assert_int_equal(tally.next[i], RECORDS_OF_EACH);
    }
    store_close(store);
}

/* --- members ------------------------------------------------------------------------------ */

static void members_are_listed_in_order_with_what_they_said(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member proxy = {.kind = "proxy",
                                 .id = "p1",
                                 .incarnation = "aaaa",
                                 .address = "127.0.0.1:6380",
                                 .admin = "127.0.0.1:9380",
                                 .pid = 77,
                                 .epoch = 3};
    struct store_member migrator = {.kind = "migrator", .id = "../m/ 1", .incarnation = "bbbb"};
    assert_true(store_renew(store, &proxy, NULL));
    assert_true(store_renew(store, &migrator, NULL));
    struct store_member *members;
    unsigned count;
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 2);
    assert_string_equal(members[0].id, "../m/ 1");
    assert_true(members[0].is_alive);
    assert_string_equal(members[1].id, "p1");
    assert_string_equal(members[1].address, "127.0.0.1:6380");
    assert_string_equal(members[1].admin, "127.0.0.1:9380");
    assert_int_equal(members[1].pid, 77);
    assert_int_equal(members[1].epoch, 3);
    assert_true(store_ages(store, members, count, NULL));
    assert_in_range(members[1].heartbeat_age_ms, 0, DEADLINE_MS);
    mem_free(members);
    store_close(store);
}

static unsigned alive_members(struct store *store, unsigned *listed)
{
    struct store_member *members;
    unsigned alive = 0;
    assert_true(store_members(store, &members, listed, NULL));
    for (unsigned i = 0; i < *listed; i++) {
        alive += members[i].is_alive ? 1 : 0;
    }
    mem_free(members);
    return alive;
}

/* As after SIGSTOP: the lease runs out, the renewal that comes late makes it alive again. */
static void a_member_that_did_not_renew_is_listed_as_not_alive(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member member = {.kind = "proxy", .id = "p1", .incarnation = "aaaa"};
    unsigned listed = 0;
    assert_true(store_renew(store, &member, NULL));
    assert_int_equal(alive_members(store, &listed), 1);
    WAIT_UNTIL(alive_members(store, &listed) == 0, 3 * STORE_LEASE_MS);
    assert_int_equal(listed, 1);
    assert_true(store_renew(store, &member, NULL));
    assert_int_equal(alive_members(store, &listed), 1);
    store_close(store);
}

static bool leads(struct store *store, const struct store_member *member)
{
    bool is_leader = false;
    assert_true(store_renew(store, member, NULL));
    assert_true(store_lead(store, member, &is_leader, NULL));
    return is_leader;
}

static void one_leads_and_another_when_it_is_silent_or_yields(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url), *other = open_store(fixture->url);
    struct store_member first = {.kind = "migrator", .id = "m1", .incarnation = "aaaa"};
    struct store_member second = {.kind = "migrator", .id = "m2", .incarnation = "bbbb"};
    assert_true(leads(store, &first));
    assert_true(leads(store, &first));
    assert_false(leads(other, &second));
    /* The first is silent: it was stopped. */
    WAIT_UNTIL(leads(other, &second), 4 * STORE_LEAD_MS);
    assert_false(leads(store, &first));
    assert_true(leads(other, &second));
    assert_true(store_yield(other, &second, NULL));
    assert_true(leads(store, &first));
    assert_false(leads(other, &second));
    store_close(store);
    store_close(other);
}

static void a_member_renews_and_leaves(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member member = {.kind = "proxy", .id = "p1", .incarnation = "aaaa"};
    struct store_member *members;
    unsigned count;
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 0);
    mem_free(members);
    assert_true(store_renew(store, &member, NULL));
    member.epoch = 8;
    assert_true(store_renew(store, &member, NULL));
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(members[0].epoch, 8);
    mem_free(members);
    assert_true(store_unregister(store, &member, NULL));
    assert_true(store_unregister(store, &member, NULL));
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 0);
    mem_free(members);
    store_close(store);
}

/* clang-format off */
#define TESTS_OVER(set_up) \
    cmocka_unit_test_setup_teardown(before_init_everybody_is_told_to_run_it, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(what_was_created_is_read, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(only_the_epoch_after_the_newest_is_written, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(what_does_not_validate_is_not_written, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(of_many_racing_processes_exactly_one_wins, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(a_watcher_wakes_when_another_process_writes, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(waiting_ends_with_the_epoch_or_with_the_time, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(waiting_begins_before_the_store_is_made, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(records_are_read_in_their_order, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(reading_goes_on_where_it_was, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(a_record_may_be_larger_than_a_request, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(appenders_of_many_processes_all_survive, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(members_are_listed_in_order_with_what_they_said, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(a_member_that_did_not_renew_is_listed_as_not_alive, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(one_leads_and_another_when_it_is_silent_or_yields, set_up, store_place_tear_down), \
    cmocka_unit_test_setup_teardown(a_member_renews_and_leaves, set_up, store_place_tear_down)

/* clang-format on */

int main(void)
{
    const struct CMUnitTest over_files[] = {TESTS_OVER(store_place_set_up)};
    const struct CMUnitTest over_etcd[] = {TESTS_OVER(set_up_etcd)};
    int failed = cmocka_run_group_tests_name("file", over_files, NULL, NULL);
    return failed + cmocka_run_group_tests_name("etcd", over_etcd, start_etcd, stop_etcd);
}
