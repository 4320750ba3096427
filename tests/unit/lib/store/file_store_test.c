/* What is particular to the file store, over a real folder; what it shares with the others is in
 * store_test.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/sample_topology.h"
#include "tests/support/store_place.h"

#define DEADLINE_MS 60000

static char *path_of(const struct store_place *fixture, const char *name)
{
    return mem_printf("%s/store/%s", fixture->folder, name);
}

/* --- opening and creating ----------------------------------------------------------------- */

static void a_url_of_another_kind_is_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {"", "file:", "/tmp/x", "http://x", "File:/tmp"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct error err = {""};
        assert_null(store_open(urls[i], &err));
        assert_non_null(strstr(err.text, "cannot open the store"));
    }
}

static void a_folder_that_cannot_be_made_is_said(void **state)
{
    const struct store_place *fixture = *state;
    char *url = mem_printf("file:%s/no/where", fixture->folder);
    struct store *store = store_open(url, NULL);
    struct topology *topology = sample_topology(1, 16);
    struct error err = {""};
    assert_int_equal(store_create(store, topology, &err), CAS_FAILED);
    assert_non_null(strstr(err.text, "/no/where"));
    topology_free(topology);
    store_close(store);
    mem_free(url);
}

/* --- compare-and-swap --------------------------------------------------------------------- */

static void no_writer_leaves_its_temporary_file(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    assert_int_equal(cas(store, 2, 0), CAS_DONE);
    assert_int_equal(cas(store, 2, 0), CAS_LOST);
    char *path = path_of(fixture, "");
    DIR *folder = opendir(path);
    assert_non_null(folder);
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        assert_int_not_equal(strncmp(entry->d_name, "tmp.", 4), 0);
    }
    (void)closedir(folder);
    mem_free(path);
    store_close(store);
}

static unsigned count_tmp(const struct store_place *fixture)
{
    unsigned count = 0;
    char *path = path_of(fixture, "");
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += strncmp(entry->d_name, "tmp.", 4) == 0;
    }
    (void)closedir(folder);
    mem_free(path);
    return count;
}

static void expect_weight(struct store *store, unsigned weight)
{
    struct error err = {""};
    struct topology *topology = store_read(store, NULL, &err);
    assert_non_null(topology);
    assert_int_equal(topology->shards[0].weight, weight);
    topology_free(topology);
}

static void a_staged_document_is_used_for_itself_alone(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct topology *staged = of_epoch(2, 1), *other = of_epoch(2, 2), *next = of_epoch(3, 3);
    struct error err = {""};
    store_stage(store, staged);
    assert_int_equal(count_tmp(fixture), 1);
    assert_int_equal(store_cas(store, other, &err), CAS_DONE);
    expect_weight(store, 3);
    assert_int_equal(count_tmp(fixture), 0);
    store_stage(store, staged);
    store_stage(store, next);
    assert_int_equal(count_tmp(fixture), 1);
    assert_int_equal(store_cas(store, next, &err), CAS_DONE);
    expect_weight(store, 4);
    assert_int_equal(count_tmp(fixture), 0);
    store_stage(store, staged);
    store_close(store);
    assert_int_equal(count_tmp(fixture), 0);
    topology_free(staged);
    topology_free(other);
    topology_free(next);
}

static ino_t file_of(const struct store_place *fixture, const char *prefix)
{
    ino_t found = 0;
    char *path = path_of(fixture, "");
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        found = strncmp(entry->d_name, prefix, strlen(prefix)) == 0 ? entry->d_ino : found;
    }
    (void)closedir(folder);
    mem_free(path);
    return found;
}

/* As in a hold: its beginning is a change, and what was staged before is its end. */
static void a_staged_document_outlives_the_changes_before_its_own(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct topology *last = of_epoch(3, 3);
    struct error err = {""};
    store_stage(store, last);
    ino_t staged = file_of(fixture, "tmp.");
    assert_int_equal(cas(store, 2, 2), CAS_DONE);
    assert_int_equal(count_tmp(fixture), 1);
    assert_int_equal(store_cas(store, last, &err), CAS_DONE);
    assert_int_equal(file_of(fixture, "topology.3"), staged);
    assert_int_equal(count_tmp(fixture), 0);
    store_stage(store, last); /* of an epoch that is over by now */
    assert_int_equal(cas(store, 4, 0), CAS_DONE);
    assert_int_equal(count_tmp(fixture), 0);
    store_close(store);
    topology_free(last);
}

static void late_writers_lose_to_epochs_that_were_emptied(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store *late = open_store(fixture->url);
    assert_int_equal(epoch_of(late), 1);
    for (uint64_t epoch = 2; epoch <= 70; epoch++) {
        assert_int_equal(cas(store, epoch, 0), CAS_DONE);
    }

    static const struct {
        const char *name;
        bool is_emptied;
    } files[] = {
        {"topology.1", true}, {"topology.6", true}, {"topology.7", false}, {"topology.70", false}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct stat status;
        char *path = path_of(fixture, files[i].name);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size == 0, files[i].is_emptied);
        mem_free(path);
    }
    assert_int_equal(cas(late, 2, 9), CAS_LOST);
    assert_int_equal(cas(late, 6, 9), CAS_LOST);
    struct topology *topology = store_read(late, NULL, NULL);
    assert_int_equal(topology->epoch, 70);
    topology_free(topology);
    store_close(late);
    store_close(store);
}

/* --- reading ------------------------------------------------------------------------------ */

static void a_spoilt_document_is_named_and_not_adopted(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    char *path = path_of(fixture, "topology.1");

    static const struct {
        const char *text, *word;
    } cases[] = {{"", "not JSON"}, {"{", "not JSON"}, {"{\"format\":7}", "upgrade it first"}};

    for (size_t i = 0; i < 3; i++) {
        struct error err = {""};
        bool is_missing = true;
        assert_true(file_write(path, slice_of(cases[i].text), NULL));
        assert_null(store_read(store, &is_missing, &err));
        assert_false(is_missing);
        assert_non_null(strstr(err.text, "topology.1"));
        assert_non_null(strstr(err.text, cases[i].word));
    }
    mem_free(path);
    store_close(store);
}

static void a_document_under_another_epochs_name_is_refused(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    char *from = path_of(fixture, "topology.1"), *to = path_of(fixture, "topology.2");
    assert_int_equal(link(from, to), 0);
    struct error err = {""};
    assert_null(store_read(store, NULL, &err));
    assert_non_null(strstr(err.text, "says it is epoch 1"));
    mem_free(from);
    mem_free(to);
    store_close(store);
}

static void a_store_that_was_replaced_is_read_anew(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    assert_int_equal(cas(store, 2, 0), CAS_DONE);
    assert_int_equal(cas(store, 3, 0), CAS_DONE);
    char *old = path_of(fixture, ""), *moved = mem_printf("%s/moved", fixture->folder);
    assert_int_equal(rename(old, moved), 0);
    store_close(create_store(fixture->url));
    assert_int_equal(epoch_of(store), 1);
    /* And its watch follows to the new folder. */
    store_watch_clear(store);
    struct store *other = open_store(fixture->url);
    assert_int_equal(cas(other, 2, 0), CAS_DONE);
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    assert_int_equal(poll(&watched, 1, DEADLINE_MS), 1);
    store_close(other);
    store_close(store);
    mem_free(old);
    mem_free(moved);
}

/* Found by the matrix: a proxy never watched again, and every barrier had to kill it. */
static void a_store_that_was_gone_for_a_while_is_watched_again(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    char *folder = path_of(fixture, ""), *moved = mem_printf("%s/moved", fixture->folder);
    assert_int_equal(rename(folder, moved), 0);
    store_watch_clear(store);
    uint64_t epoch;
    assert_false(store_epoch(store, &epoch, NULL));
    assert_int_equal(rename(moved, folder), 0);
    assert_int_equal(epoch_of(store), 1);
    store_watch_clear(store);
    struct store *other = open_store(fixture->url);
    assert_int_equal(cas(other, 2, 0), CAS_DONE);
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    assert_int_equal(poll(&watched, 1, DEADLINE_MS), 1);
    store_close(other);
    store_close(store);
    mem_free(folder);
    mem_free(moved);
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

static void append_raw(const struct store_place *fixture, const char *text, size_t length)
{
    char *path = path_of(fixture, "journal");
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    (void)close(fd);
    mem_free(path);
}

static void a_torn_record_is_left_out_and_spoils_no_other(void **state)
{
    const struct store_place *fixture = *state;
    /* What a crash, or a power cut that left zeros, may leave behind. */
    static const struct slice torn[] = {
        {"\n{\"torn\":", 9}, {"\n", 1},       {"\n{\"torn\":{}", 11},
        {"\n{\"to\"}", 7},   {"\0\0\0\0", 4}, {"\n{\"a\":1}", 8},
    };
    for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
        struct store *store = i == 0 ? create_store(fixture->url) : open_store(fixture->url);
        char *path = path_of(fixture, "journal");
        assert_true(file_write(path, SLICE(""), NULL));
        assert_true(store_append(store, SLICE("{\"first\":1}"), NULL));
        append_raw(fixture, torn[i].data, torn[i].len);
        struct journal journal = {.count = 0};
        assert_true(store_journal(store, collect, &journal, NULL));
        assert_string_equal(journal.text, "{\"first\":1};");
        assert_true(store_append(store, SLICE("{\"next\":1}"), NULL));
        journal = (struct journal){.count = 0};
        assert_true(store_journal(store, collect, &journal, NULL));
        /* The last of them was whole but for its newline: it may have been written whole. */
        bool was_whole = i == 5;
        assert_string_equal(journal.text, was_whole ? "{\"first\":1};{\"a\":1};{\"next\":1};"
                                                    : "{\"first\":1};{\"next\":1};");
        mem_free(path);
        store_close(store);
    }
}

/* --- members ------------------------------------------------------------------------------ */

static void set_age(const char *path, long age_s)
{
    uint64_t then_ms = clock_wall_ms() - (uint64_t)age_s * 1000;
    struct timespec times[2];
    times[0].tv_sec = times[1].tv_sec = (time_t)(then_ms / 1000);
    times[0].tv_nsec = times[1].tv_nsec = (long)(then_ms % 1000) * 1000000;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void members_are_listed_with_the_age_of_their_heartbeat(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member fresh = {.kind = "proxy",
                                 .id = "p1",
                                 .incarnation = "aaaa",
                                 .address = "127.0.0.1:6380",
                                 .admin = "127.0.0.1:9380",
                                 .pid = 77,
                                 .epoch = 3};
    struct store_member late = {.kind = "migrator", .id = "../m/ 1", .incarnation = "bbbb"};
    struct store_member gone = {.kind = "proxy", .id = "p0", .incarnation = "cccc"};
    assert_true(store_renew(store, &fresh, NULL));
    assert_true(store_renew(store, &late, NULL));
    assert_true(store_renew(store, &gone, NULL));
    char *late_path = path_of(fixture, "members/migrator..._m__1.bbbb.json");
    char *gone_path = path_of(fixture, "members/proxy.p0.cccc.json");
    set_age(late_path, 6);
    set_age(gone_path, 51);
    struct store_member *members;
    unsigned count;
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 2);
    assert_string_equal(members[0].id, "../m/ 1");
    assert_false(members[0].is_alive);
    assert_in_range(members[0].heartbeat_age_ms, 6000, 6000 + DEADLINE_MS);
    assert_string_equal(members[1].id, "p1");
    assert_string_equal(members[1].address, "127.0.0.1:6380");
    assert_string_equal(members[1].admin, "127.0.0.1:9380");
    assert_int_equal(members[1].pid, 77);
    assert_int_equal(members[1].epoch, 3);
    assert_true(members[1].is_alive);
    assert_int_equal(access(gone_path, F_OK), -1);
    mem_free(members);
    mem_free(late_path);
    mem_free(gone_path);
    store_close(store);
}

static void a_spoilt_member_is_no_member(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member member = {.kind = "proxy", .id = "\xff", .incarnation = "aaaa"};
    assert_true(store_renew(store, &member, NULL));
    static const char *const texts[] = {"", "[]", "{\"kind\":1}", "{\"kind\":\"proxy\"}"};
    for (size_t i = 0; i < 4; i++) {
        char *name = mem_printf("members/proxy.x%zu.y.json", i);
        char *path = path_of(fixture, name);
        assert_true(file_write(path, slice_of(texts[i]), NULL));
        mem_free(path);
        mem_free(name);
    }
    struct store_member *members;
    unsigned count;
    assert_true(store_members(store, &members, &count, NULL));
    assert_int_equal(count, 1); /* its id was not UTF-8 and is left out */
    assert_string_equal(members[0].id, "");
    mem_free(members);
    store_close(store);
}

static void a_dead_leader_is_followed_at_once(void **state)
{
    const struct store_place *fixture = *state;
    struct store *store = create_store(fixture->url);
    struct store_member member = {.kind = "migrator", .id = "m1", .incarnation = "aaaa"};
    bool leads = false;
    pid_t child = fork();
    if (child == 0) {
        struct store *other = store_open(fixture->url, NULL);
        _exit(store_lead(other, &member, &leads, NULL) && leads ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(store_lead(store, &member, &leads, NULL));
    assert_true(leads);
    store_close(store);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, store_place_set_up, store_place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_of_another_kind_is_refused),
        TEST(a_folder_that_cannot_be_made_is_said),
        TEST(no_writer_leaves_its_temporary_file),
        TEST(a_staged_document_is_used_for_itself_alone),
        TEST(a_staged_document_outlives_the_changes_before_its_own),
        TEST(late_writers_lose_to_epochs_that_were_emptied),
        TEST(a_spoilt_document_is_named_and_not_adopted),
        TEST(a_document_under_another_epochs_name_is_refused),
        TEST(a_store_that_was_replaced_is_read_anew),
        TEST(a_store_that_was_gone_for_a_while_is_watched_again),
        TEST(a_torn_record_is_left_out_and_spoils_no_other),
        TEST(members_are_listed_with_the_age_of_their_heartbeat),
        TEST(a_spoilt_member_is_no_member),
        TEST(a_dead_leader_is_followed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
