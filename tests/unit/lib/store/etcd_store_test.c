/* What is particular to the etcd store, over real servers: logins, certificates, compaction,
 * answers that do not come. What it shares with the others is in store_test.c. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/store/etcd_http.h"
#include "lib/store/etcd_json.h"
#include "lib/store/etcd_store.h"
#include "lib/store/store_internal.h"
#include "tests/support/etcd.h"
#include "tests/support/sample_topology.h"
#include "tests/support/scratch.h"
#include "tests/support/store_place.h"
#include "tests/support/wait.h"

#define DEADLINE_MS 60000

/* A question by hand; `body` is JSON. Its answer, to be given back with json_decref. */
static json_t *ask(const char *url, const char *path, const char *body)
{
    struct etcd_place place;
    struct error err = {""};
    json_t *answer = NULL;
    assert_true(curl_library_load(&err) && etcd_place_init(&place, url, &err));
    struct etcd_http *http = etcd_http_new(&place);
    json_t *question = json_loads(body, 0, NULL);
    assert_non_null(question);
    if (etcd_ask(http, path, question, &answer, &err) != ETCD_ANSWERED) {
        fail_msg("%s", err.text);
    }
    etcd_http_free(http);
    etcd_place_fini(&place);
    return answer;
}

/* --- the URL ------------------------------------------------------------------------------- */

static void a_url_names_endpoints_prefix_and_options(void **state)
{
    (void)state;
    struct etcd_place place;
    struct error err = {""};
    assert_true(etcd_place_init(&place, "etcds:h1:1,[::1]:2/a/b/?ca=/c&cert=/d&key=/e", &err));
    assert_int_equal(place.nendpoints, 2);
    assert_string_equal(place.endpoints[0], "https://h1:1");
    assert_string_equal(place.endpoints[1], "https://[::1]:2");
    assert_string_equal(place.prefix, "/a/b");
    assert_string_equal(place.ca, "/c");
    assert_string_equal(place.cert, "/d");
    assert_string_equal(place.key, "/e");
    etcd_place_fini(&place);
    assert_true(etcd_place_init(&place, "etcd:h1:1", &err));
    assert_string_equal(place.endpoints[0], "http://h1:1");
    assert_string_equal(place.prefix, "/sluice");
    etcd_place_fini(&place);
}

static void a_url_that_makes_no_sense_is_refused(void **state)
{
    (void)state;

    static const struct {
        const char *url, *word;
    } cases[] = {
        {"etcd:", "etcd:"},
        {"etcd:h1", "h1"},
        {"etcd:h1:0", "port 0"},
        {"etcd:h1:1,,h2:2", "etcd:"},
        {"etcd:h1:1?password=x", "unknown option \"password\""},
        {"etcds:h1:1?cert=/a", "go together"},
        {"etcd:h1:1?cert=/a&key=/b", "needs \"etcds:\""},
        {"etcd:h1:1?user=u", "has no password"},
        {"etcd:h1:1?user=u&password-file=/no/where", "cannot read the password"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {""};
        assert_null(store_open(cases[i].url, &err));
        if (strstr(err.text, cases[i].word) == NULL) {
            fail_msg("%s: %s", cases[i].url, err.text);
        }
    }
}

/* --- one member ---------------------------------------------------------------------------- */

static struct etcd_cluster *plain;

static int start_plain(void **state)
{
    const struct etcd_options options = {.has_wires = true};
    (void)state;
    plain = etcd_cluster_start(1, &options);
    return 0;
}

static int stop_plain(void **state)
{
    (void)state;
    etcd_cluster_stop(plain);
    return 0;
}

static void url_of(const char *prefix, char url[256])
{
    etcd_cluster_url(plain, 0, prefix, url, 256);
}

/* Lets the watch work without reading an epoch, until it is there again or has something to say. */
static void clear_for(struct store *store, uint64_t ms)
{
    uint64_t until_us = deadline_after_ms(ms);
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    while (!deadline_is_over(until_us)) {
        (void)poll(&watched, 1, 50);
        store_watch_clear(store);
    }
}

static void a_watch_whose_past_was_compacted_goes_on(void **state)
{
    (void)state;
    char url[256], body[64];
    url_of("compacted", url);
    struct store *store = create_store(url), *other = open_store(url);
    assert_int_equal(epoch_of(store), 1);
    clear_for(store, 300);
    process_kill(etcd_cluster_member(plain, 0));
    etcd_cluster_restart(plain, 0);
    etcd_cluster_wait(plain);
    assert_int_equal(cas(other, 2, 0), CAS_DONE);
    assert_int_equal(cas(other, 3, 0), CAS_DONE);
    json_t *answer = ask(url, "/v3/kv/range", "{\"key\":\"YQ==\"}");
    (void)snprintf(
        body, sizeof(body), "{\"revision\":\"%llu\"}",
        (unsigned long long)etcd_number_of(json_object_get(answer, "header"), "revision"));
    json_decref(answer);
    json_decref(ask(url, "/v3/kv/compaction", body));
    clear_for(store, 1000); /* begins behind a revision that is no more */
    assert_int_equal(epoch_of(store), 3);
    clear_for(store, 100);
    assert_int_equal(cas(other, 4, 0), CAS_DONE);
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    assert_int_equal(poll(&watched, 1, DEADLINE_MS), 1);
    store_watch_clear(store);
    assert_int_equal(epoch_of(store), 4);
    store_close(store);
    store_close(other);
}

static bool is_told(struct store *base, uint64_t epoch)
{
    const struct etcd_store *store = (const struct etcd_store *)base;
    store_watch_clear(base);
    return etcd_watch_epoch(store->watch) == epoch || etcd_watch_epoch(store->other) == epoch;
}

/* The watch whose member has died must not join the other one: when that member hangs, neither
 * would notice. */
static void two_watches_are_never_with_one_member(void **state)
{
    (void)state;
    char url[256];
    unsigned port = 0;
    struct forwarder *wires[3];
    url_of("apart", url);
    struct store *writer = create_store(url);
    assert_int_equal(sscanf(url, "etcd:127.0.0.1:%u", &port), 1);
    for (unsigned i = 0; i < 3; i++) {
        wires[i] = forwarder_start((uint16_t)port);
    }
    char *all = mem_printf("etcd:127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/apart",
                           (unsigned)forwarder_port(wires[0]), (unsigned)forwarder_port(wires[1]),
                           (unsigned)forwarder_port(wires[2]));
    struct store *store = open_store(all);
    assert_int_equal(epoch_of(store), 1);
    clear_for(store, 200);
    forwarder_stop(wires[0]);
    clear_for(store, 1000);
    forwarder_set(wires[1], NULL, &(struct weather){.cuts_replies = true});
    assert_int_equal(cas(writer, 2, 1), CAS_DONE);
    WAIT_UNTIL(is_told(store, 2), DEADLINE_MS);
    store_close(store);
    store_close(writer);
    forwarder_stop(wires[1]);
    forwarder_stop(wires[2]);
    mem_free(all);
}

static void set_answers(bool come)
{
    etcd_cluster_weather(plain, 0, &(struct weather){.cuts_replies = !come});
}

static void *heal_soon(void *context)
{
    (void)context;
    clock_sleep_ms(1500); /* past the time-out of the first question */
    set_answers(true);
    return NULL;
}

static void a_write_whose_answer_was_lost_is_settled_by_its_token(void **state)
{
    (void)state;
    char url[256];
    pthread_t healer;
    url_of("settled", url);
    struct store *store = create_store(url);
    struct topology *next = sample_topology(2, 64);
    next->epoch = 2;
    assert_int_equal(epoch_of(store), 1);
    /* store_cas would read first; what is lost is to be the answer to the write. */
    set_answers(false);
    assert_int_equal(pthread_create(&healer, NULL, heal_soon, NULL), 0);
    assert_int_equal(store->operations->cas(store, next, NULL), CAS_DONE);
    (void)pthread_join(healer, NULL);
    assert_int_equal(epoch_of(store), 2);
    topology_free(next);
    store_close(store);
}

static void a_store_that_does_not_answer_is_given_up_in_time(void **state)
{
    (void)state;
    char url[256];
    url_of("silent", url);
    struct store *store = create_store(url);
    process_signal(etcd_cluster_member(plain, 0), SIGSTOP);
    uint64_t started_us = 0, epoch = 0;
    struct error err = {""};
    do { /* it takes a moment until all of its threads stand */
        started_us = clock_now_us();
    } while (store_epoch(store, &epoch, &err));
    assert_true(clock_now_us() - started_us < UINT64_C(10000000));
    assert_non_null(strstr(err.text, "127.0.0.1"));
    process_signal(etcd_cluster_member(plain, 0), SIGCONT);
    assert_int_equal(epoch_of(store), 1);
    store_close(store);
}

static void where_nobody_listens_the_message_says_what_to_look_at(void **state)
{
    (void)state;
    struct error err = {""};
    char *url = mem_printf("etcd:127.0.0.1:%u", scratch_port());
    struct store *store = open_store(url);
    assert_null(store_read(store, NULL, &err));
    assert_non_null(strstr(err.text, "is etcd running there? --store names it"));
    store_close(store);
    mem_free(url);
}

static void a_key_that_is_not_ours_is_not_taken_for_a_topology(void **state)
{
    (void)state;
    char url[256];
    url_of("strange", url);
    struct store *store = create_store(url);
    /* /strange/epoch: "rubbish" */
    json_decref(
        ask(url, "/v3/kv/put", "{\"key\":\"L3N0cmFuZ2UvZXBvY2g=\",\"value\":\"cnViYmlzaA==\"}"));
    struct error err = {""};
    assert_null(store_read(store, NULL, &err));
    assert_non_null(strstr(err.text, "/strange/epoch is not what Sluice writes"));
    assert_int_equal(cas(store, 2, 0), CAS_FAILED);
    store_close(store);
}

/* --- users --------------------------------------------------------------------------------- */

/* Whether that user may write; it may read. */
static bool may_write(const char *url, const char *user, const char *file)
{
    char with_user[600];
    struct error err = {""};
    (void)snprintf(with_user, sizeof(with_user), "%s?user=%s&password-file=%s", url, user, file);
    struct store *store = open_store(with_user);
    struct topology *topology = store_read(store, NULL, &err);
    assert_non_null(topology);
    topology_free(topology);
    bool may = store_may_write(store, &err);
    assert_true(may || strstr(err.text, "cannot write below \"/granted/\"") != NULL);
    store_close(store);
    return may;
}

/* A role of that name with that right on everything, and a user who has it. */
static void add_user(const char *url, const char *name, const char *right)
{
    char body[200];
    (void)snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
    json_decref(ask(url, "/v3/auth/role/add", body));
    (void)snprintf(body, sizeof(body),
                   "{\"name\":\"%s\",\"perm\":{\"permType\":\"%s\",\"key\":\"AA==\","
                   "\"range_end\":\"AA==\"}}",
                   name, right);
    json_decref(ask(url, "/v3/auth/role/grant", body));
    (void)snprintf(body, sizeof(body), "{\"name\":\"%s\",\"password\":\"sesame\"}", name);
    json_decref(ask(url, "/v3/auth/user/add", body));
    (void)snprintf(body, sizeof(body), "{\"user\":\"%s\",\"role\":\"%s\"}", name, name);
    json_decref(ask(url, "/v3/auth/user/grant", body));
}

static void a_user_who_may_only_read_is_found_out_and_nothing_is_written(void **state)
{
    (void)state;
    char url[256];
    url_of("granted", url);
    struct store *store = create_store(url);
    assert_true(store_may_write(store, NULL));
    add_user(url, "root", "READWRITE");
    add_user(url, "reader", "READ");
    add_user(url, "writer", "READWRITE");
    char *folder = scratch_folder("secret");
    char *file = mem_printf("%s/password", folder);
    assert_true(file_write(file, SLICE("sesame\n"), NULL));
    json_decref(ask(url, "/v3/auth/enable", "{}"));
    assert_false(may_write(url, "reader", file));
    assert_true(may_write(url, "writer", file));

    char root[600];
    (void)snprintf(root, sizeof(root), "%s?user=root&password-file=%s", url, file);
    json_decref(ask(root, "/v3/auth/disable", "{}"));
    /* "/granted/probe" */
    json_t *found = ask(url, "/v3/kv/range", "{\"key\":\"L2dyYW50ZWQvcHJvYmU=\"}");
    assert_null(json_object_get(found, "kvs"));
    json_decref(found);
    json_decref(ask(url, "/v3/auth/user/delete", "{\"name\":\"root\"}"));
    json_decref(ask(url, "/v3/auth/role/delete", "{\"role\":\"root\"}"));
    store_close(store);
    mem_free(file);
    scratch_remove(folder);
}

static void with_users_a_login_is_needed_and_renewed(void **state)
{
    (void)state;
    char url[256], wrong[600], right[600];
    url_of("users", url);
    json_decref(ask(url, "/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"sesame\"}"));
    json_decref(ask(url, "/v3/auth/role/add", "{\"name\":\"root\"}"));
    json_decref(ask(url, "/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}"));
    json_decref(ask(url, "/v3/auth/enable", "{}"));

    char *folder = scratch_folder("secret");
    char *file = mem_printf("%s/password", folder);
    assert_true(file_write(file, SLICE("sesame\n"), NULL));
    (void)snprintf(right, sizeof(right), "%s?user=root&password-file=%s", url, file);
    struct store *store = create_store(right);
    /* This makes the tokens void that were given out before. */
    json_decref(
        ask(right, "/v3/auth/user/changepw", "{\"name\":\"root\",\"password\":\"sesame\"}"));
    struct topology *next = of_epoch(2, 0);
    assert_int_equal(store_cas(store, next, NULL), CAS_DONE);
    topology_free(next);
    assert_true(store_wait(store, 1, DEADLINE_MS));

    struct error err = {""};
    struct store *nobody = open_store(url);
    assert_null(store_read(nobody, NULL, &err));
    assert_non_null(strstr(err.text, "user name is empty"));
    assert_true(file_write(file, SLICE("opensesame\n"), NULL));
    (void)snprintf(wrong, sizeof(wrong), "%s?user=root&password-file=%s", url, file);
    struct store *stranger = open_store(wrong);
    assert_null(store_read(stranger, NULL, &err));
    assert_non_null(strstr(err.text, "authentication failed"));
    assert_null(strstr(err.text, "sesame"));

    assert_true(file_write(file, SLICE("sesame\n"), NULL));
    json_decref(ask(right, "/v3/auth/disable", "{}"));
    store_close(store);
    store_close(nobody);
    store_close(stranger);
    mem_free(file);
    scratch_remove(folder);
}

/* --- certificates -------------------------------------------------------------------------- */

static void openssl(const char *folder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void openssl(const char *folder, const char *format, ...)
{
    char words[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    char *script = mem_printf("cd '%s' && openssl %s", folder, words);
    const char *argv[] = {"sh", "-c", script, NULL};
    struct output output = process_run(argv, NULL, DEADLINE_MS);
    if (output.code != 0) {
        fail_msg("%s: %s", script, output.err);
    }
    output_free(&output);
    mem_free(script);
}

static void make_certificates(const char *folder)
{
    char *extensions = mem_printf("%s/extensions", folder);
    assert_true(file_write(extensions,
                           SLICE("subjectAltName=IP:127.0.0.1\n"
                                 "extendedKeyUsage=serverAuth,clientAuth\n"),
                           NULL));
    mem_free(extensions);
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj "
                    "/CN=test-ca");
    openssl(folder, "req -newkey rsa:2048 -nodes -keyout node.key -out node.csr -subj /CN=node");
    openssl(folder, "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
                    "-extfile extensions -out node.crt");
}

static void certificates_are_shown_and_checked(void **state)
{
    (void)state;
    char *folder = scratch_folder("tls");
    make_certificates(folder);
    char *ca = mem_printf("%s/ca.crt", folder), *cert = mem_printf("%s/node.crt", folder),
         *key = mem_printf("%s/node.key", folder);
    assert_int_equal(setenv("SLUICE_STORE_CA", ca, 1), 0);
    assert_int_equal(setenv("SLUICE_STORE_CERT", cert, 1), 0);
    assert_int_equal(setenv("SLUICE_STORE_KEY", key, 1), 0);
    const struct etcd_options options = {.ca = ca, .cert = cert, .key = key};
    struct etcd_cluster *cluster = etcd_cluster_start(1, &options);
    char url[256];
    etcd_cluster_url(cluster, 0, "tls", url, sizeof(url));
    struct store *store = create_store(url);
    assert_true(store_wait(store, 0, DEADLINE_MS));
    assert_int_equal(cas(store, 2, 0), CAS_DONE);
    assert_true(store_wait(store, 1, DEADLINE_MS));
    store_close(store);

    /* Without its authority the server is not believed; without a certificate nor are we. */
    struct error err = {""};
    uint64_t epoch = 0;
    assert_int_equal(unsetenv("SLUICE_STORE_CA"), 0);
    store = open_store(url);
    assert_false(store_epoch(store, &epoch, &err));
    assert_non_null(strstr(err.text, "certificate"));
    store_close(store);
    assert_int_equal(setenv("SLUICE_STORE_CA", ca, 1), 0);
    assert_int_equal(unsetenv("SLUICE_STORE_CERT"), 0);
    assert_int_equal(unsetenv("SLUICE_STORE_KEY"), 0);
    store = open_store(url);
    assert_false(store_epoch(store, &epoch, &err));
    store_close(store);
    assert_int_equal(unsetenv("SLUICE_STORE_CA"), 0);
    etcd_cluster_stop(cluster);
    mem_free(ca);
    mem_free(cert);
    mem_free(key);
    scratch_remove(folder);
}

/* Nobody listens there. Who waits in a loop would spin for as long as that lasts. */
static void a_store_that_refuses_is_waited_for_all_the_same(void **state)
{
    (void)state;
    struct store *store = open_store("etcd:127.0.0.1:1");
    uint64_t end_us = deadline_after_ms(300);
    assert_false(store_wait(store, 1, 300));
    assert_true(deadline_is_over(end_us));
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_names_endpoints_prefix_and_options),
        cmocka_unit_test(a_url_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_watch_whose_past_was_compacted_goes_on),
        cmocka_unit_test(two_watches_are_never_with_one_member),
        cmocka_unit_test(a_write_whose_answer_was_lost_is_settled_by_its_token),
        cmocka_unit_test(a_store_that_does_not_answer_is_given_up_in_time),
        cmocka_unit_test(where_nobody_listens_the_message_says_what_to_look_at),
        cmocka_unit_test(a_store_that_refuses_is_waited_for_all_the_same),
        cmocka_unit_test(a_key_that_is_not_ours_is_not_taken_for_a_topology),
        cmocka_unit_test(a_user_who_may_only_read_is_found_out_and_nothing_is_written),
        cmocka_unit_test(with_users_a_login_is_needed_and_renewed),
        cmocka_unit_test(certificates_are_shown_and_checked),
    };
    return cmocka_run_group_tests(tests, start_plain, stop_plain);
}
