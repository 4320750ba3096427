/* Streams with TLS over a socket pair, both ends in one thread; who is believed, and who is not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/slice.h"
#include "lib/net/handshakes.h"
#include "lib/net/tls.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define BULK      ((size_t)100000)
#define CLIENT_MS 60000

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    folder = scratch_folder("tls");
    certificates_make(folder);
    certificates_make_authority(folder, "stranger");
    certificates_issue(folder, "old", "ca", CERTIFICATE_LOCAL, -1);
    certificates_issue(folder, "other", "ca", "DNS:other.example", 2);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    process_stop_all();
    return 0;
}

/* --- both ends ------------------------------------------------------------------------------- */

static struct tls_context *new_context(const char *name, const char *authority, bool is_server,
                                       enum tls_auth auth)
{
    struct error err = {""};
    char *cert = name != NULL ? mem_printf("%s/%s.crt", folder, name) : NULL;
    char *key = name != NULL ? mem_printf("%s/%s.key", folder, name) : NULL;
    char *ca = mem_printf("%s/%s.crt", folder, authority);
    struct tls_options options = {.prefix = is_server ? "tls-" : "shard-tls-",
                                  .cert_file = cert,
                                  .key_file = key,
                                  .ca_cert_file = ca,
                                  .is_server = is_server,
                                  .auth_clients = auth};
    struct tls_context *context = tls_context_new(&options, &err);
    if (context == NULL) {
        fail_msg("%s", err.text);
    }
    mem_free(cert);
    mem_free(key);
    mem_free(ca);
    return context;
}

struct both {
    struct stream server, client;
    enum stream_result server_result, client_result;
};

/* The handshake, until each end has settled. */
static void shake_hands(struct both *both)
{
    bool wants_write;
    both->server_result = both->client_result = STREAM_AGAIN;
    for (int i = 0; i < 20; i++) {
        if (both->client_result == STREAM_AGAIN) {
            both->client_result = stream_shake_hands(&both->client, &wants_write);
        }
        if (both->server_result == STREAM_AGAIN) {
            both->server_result = stream_shake_hands(&both->server, &wants_write);
        }
    }
}

static void connect_both(struct both *both, struct tls_context *server, struct tls_context *client,
                         const char *host)
{
    int pair[2];
    struct endpoint endpoint = {.length = 0};
    (void)snprintf(endpoint.tls_host, sizeof(endpoint.tls_host), "%s", host);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    stream_accept_tls(&both->server, pair[0], server);
    stream_open_to(&both->client, pair[1], &endpoint, client);
    shake_hands(both);
}

static void close_both(struct both *both)
{
    stream_close(&both->client);
    stream_close(&both->server);
}

struct fixture {
    struct tls_context *server, *client;
    struct both both;
};

static void set_up(struct fixture *fixture)
{
    fixture->server = new_context("node", "ca", true, TLS_AUTH_YES);
    fixture->client = new_context("node", "ca", false, TLS_AUTH_NO);
    connect_both(&fixture->both, fixture->server, fixture->client, "127.0.0.1");
    assert_int_equal(fixture->both.client_result, STREAM_OK);
    assert_int_equal(fixture->both.server_result, STREAM_OK);
}

static void tear_down(struct fixture *fixture)
{
    close_both(&fixture->both);
    tls_context_free(fixture->server);
    tls_context_free(fixture->client);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void bytes_go_both_ways(void **state)
{
    (void)state;
    struct fixture fixture;
    char room[16];
    size_t count;
    set_up(&fixture);
    assert_int_equal(stream_write(&fixture.both.client, "ping", 4, &count), STREAM_OK);
    assert_int_equal(stream_read(&fixture.both.server, room, sizeof(room), &count), STREAM_OK);
    assert_int_equal(count, 4);
    assert_int_equal(stream_write(&fixture.both.server, "pong!", 5, &count), STREAM_OK);
    assert_int_equal(stream_read(&fixture.both.client, room, sizeof(room), &count), STREAM_OK);
    assert_memory_equal(room, "pong!", 5);
    assert_int_equal(stream_read(&fixture.both.client, room, sizeof(room), &count), STREAM_AGAIN);
    tear_down(&fixture);
}

/* openssl(1) as the client of a listener, in that version and with whatever ciphers there ever
 * were; how the handshake ends for the server. */
static enum stream_result result_of_version(struct tls_context *server, const char *version)
{
    struct endpoint endpoint;
    bool is_exhausted, wants_write;
    struct stream stream;
    int fd = -1;
    enum stream_result result = STREAM_AGAIN;
    assert_true(endpoint_resolve(&endpoint, "127.0.0.1", 0, NULL));
    int listener = socket_listen(&endpoint, NULL);
    char *address = mem_printf("127.0.0.1:%u", socket_port(listener));
    char *log = mem_printf("%s/s_client.log", folder);
    const char *argv[] = {"openssl",         "s_client", version, "-cipher",
                          "ALL:@SECLEVEL=0", "-connect", address, NULL};
    struct process *client = process_start_piped("s_client", argv, NULL, log);
    WAIT_UNTIL((fd = socket_accept(listener, &is_exhausted)) >= 0, CLIENT_MS);
    stream_accept_tls(&stream, fd, server);
    WAIT_UNTIL((result = stream_shake_hands(&stream, &wants_write)) != STREAM_AGAIN, CLIENT_MS);
    stream_close(&stream);
    process_kill(client);
    (void)process_stop(client);
    (void)close(listener);
    mem_free(address);
    mem_free(log);
    return result;
}

static void versions_before_1_2_are_refused(void **state)
{
    (void)state;
    char *cert = mem_printf("%s/node.crt", folder), *key = mem_printf("%s/node.key", folder);
    const struct tls_options options = {.prefix = "tls-",
                                        .cert_file = cert,
                                        .key_file = key,
                                        .ciphers = "ALL:@SECLEVEL=0",
                                        .is_server = true};
    struct tls_context *server = tls_context_new(&options, NULL);
    assert_non_null(server);
    assert_int_equal(result_of_version(server, "-tls1"), STREAM_END);
    assert_int_equal(result_of_version(server, "-tls1_1"), STREAM_END);
    assert_int_equal(result_of_version(server, "-tls1_2"), STREAM_OK);
    assert_int_equal(result_of_version(server, "-tls1_3"), STREAM_OK);
    tls_context_free(server);
    mem_free(cert);
    mem_free(key);
}

/* A level-triggered loop hears nothing of them. */
static void bytes_taken_off_the_socket_are_told_of(void **state)
{
    (void)state;
    struct fixture fixture;
    char room[1000];
    size_t count, total = 0;
    set_up(&fixture);
    char *bulk = mem_zalloc(BULK);
    assert_int_equal(stream_write(&fixture.both.client, bulk, 16000, &count), STREAM_OK);
    assert_int_equal(count, 16000);
    while (total < 16000) {
        assert_int_equal(stream_read(&fixture.both.server, room, sizeof(room), &count), STREAM_OK);
        assert_int_equal(count, sizeof(room));
        total += count;
        assert_true(fixture.both.server.has_pending || total == 16000);
    }
    assert_int_equal(stream_read(&fixture.both.server, room, sizeof(room), &count), STREAM_AGAIN);
    assert_false(fixture.both.server.has_pending);
    mem_free(bulk);
    tear_down(&fixture);
}

/* As with a plain socket, what is short was all there was: many records in one call. */
static void a_read_takes_all_there_is(void **state)
{
    (void)state;
    struct fixture fixture;
    size_t count;
    set_up(&fixture);
    char *bulk = mem_zalloc(BULK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(stream_write(&fixture.both.client, bulk, 100, &count), STREAM_OK);
    }
    assert_int_equal(stream_read(&fixture.both.server, bulk, BULK, &count), STREAM_OK);
    assert_int_equal(count, 1000);
    assert_false(fixture.both.server.has_pending);
    mem_free(bulk);
    tear_down(&fixture);
}

static void the_end_behind_some_bytes_is_told_too(void **state)
{
    (void)state;
    struct fixture fixture;
    char room[100];
    size_t count;
    set_up(&fixture);
    assert_int_equal(stream_write(&fixture.both.client, "last", 4, &count), STREAM_OK);
    stream_end_writing(&fixture.both.client);
    assert_int_equal(stream_read(&fixture.both.server, room, sizeof(room), &count), STREAM_OK);
    assert_int_equal(count, 4);
    assert_true(fixture.both.server.has_pending);
    assert_int_equal(stream_read(&fixture.both.server, room, sizeof(room), &count), STREAM_END);
    assert_int_equal(stream_write(&fixture.both.server, "answer", 6, &count), STREAM_OK);
    assert_int_equal(stream_read(&fixture.both.client, room, sizeof(room), &count), STREAM_OK);
    assert_int_equal(count, 6);
    tear_down(&fixture);
}

/* Bytes that were not confirmed may be sent again to another shard: they must not arrive here,
 * although a part of their record is in the kernel. */
static void what_was_not_confirmed_never_arrives(void **state)
{
    (void)state;
    struct fixture fixture;
    size_t count, confirmed = 0, arrived = 0;
    set_up(&fixture);
    char *bulk = mem_zalloc(BULK);
    while (stream_write(&fixture.both.client, bulk, BULK, &count) == STREAM_OK) {
        confirmed += count;
    }
    assert_true(confirmed > 0);
    /* Room for the rest of the record comes up just before the close. */
    assert_int_equal(stream_read(&fixture.both.server, bulk, BULK, &count), STREAM_OK);
    arrived += count;
    stream_close(&fixture.both.client);
    while (stream_read(&fixture.both.server, bulk, BULK, &count) == STREAM_OK) {
        arrived += count;
    }
    assert_int_equal(arrived, confirmed);
    mem_free(bulk);
    tear_down(&fixture);
}

/* --- who is believed ------------------------------------------------------------------------- */

static void expect_refused(const char *server_name, const char *authority, const char *host,
                           const char *why)
{
    struct tls_context *server = new_context(server_name, "ca", true, TLS_AUTH_NO);
    struct tls_context *client = new_context(NULL, authority, false, TLS_AUTH_NO);
    struct both both;
    connect_both(&both, server, client, host);
    assert_int_equal(both.client_result, STREAM_END);
    if (strstr(stream_why(&both.client), why) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", why, stream_why(&both.client));
    }
    close_both(&both);
    tls_context_free(server);
    tls_context_free(client);
}

static void a_server_is_believed_by_its_certificate_alone(void **state)
{
    (void)state;
    expect_refused("node", "stranger", "127.0.0.1", "shard-tls-ca-cert-file");
    expect_refused("other", "ca", "127.0.0.1", "subjectAltName");
    expect_refused("other", "ca", "localhost", "subjectAltName");
    expect_refused("old", "ca", "127.0.0.1", "renew it");
}

static void a_host_name_is_as_good_as_a_number(void **state)
{
    (void)state;
    struct fixture fixture;
    struct both named;
    set_up(&fixture);
    connect_both(&named, fixture.server, fixture.client, "localhost");
    assert_int_equal(named.client_result, STREAM_OK);
    close_both(&named);
    tear_down(&fixture);
}

/* In TLS 1.3 a client learns only from the first read that it was refused. */
static enum stream_result client_reads(struct both *both)
{
    char room[8];
    size_t count;
    return both->client_result == STREAM_OK ? stream_read(&both->client, room, sizeof(room), &count)
                                            : both->client_result;
}

static void expect_client(enum tls_auth auth, const char *name, bool is_let_in)
{
    struct tls_context *server = new_context("node", "ca", true, auth);
    struct tls_context *client = new_context(name, "ca", false, TLS_AUTH_NO);
    struct both both;
    connect_both(&both, server, client, "127.0.0.1");
    assert_int_equal(both.server_result, is_let_in ? STREAM_OK : STREAM_END);
    assert_int_equal(client_reads(&both), is_let_in ? STREAM_AGAIN : STREAM_END);
    if (!is_let_in) {
        assert_non_null(strstr(stream_why(&both.client), "TLS: "));
    }
    close_both(&both);
    tls_context_free(server);
    tls_context_free(client);
}

static void clients_show_certificates_as_they_must(void **state)
{
    (void)state;
    expect_client(TLS_AUTH_YES, "node", true);
    expect_client(TLS_AUTH_YES, NULL, false);
    expect_client(TLS_AUTH_YES, "old", false);
    expect_client(TLS_AUTH_YES, "stranger", false);
    expect_client(TLS_AUTH_OPTIONAL, NULL, true);
    expect_client(TLS_AUTH_OPTIONAL, "stranger", false);
    expect_client(TLS_AUTH_NO, NULL, true);
}

static void a_reload_is_for_new_connections(void **state)
{
    (void)state;
    struct error err = {""};
    struct fixture fixture;
    struct both later;
    char room[8];
    size_t count;
    certificates_issue(folder, "changing", "ca", CERTIFICATE_LOCAL, 2);
    set_up(&fixture);
    struct tls_context *server = new_context("changing", "ca", true, TLS_AUTH_NO);
    connect_both(&later, server, fixture.client, "127.0.0.1");
    assert_int_equal(later.client_result, STREAM_OK);

    certificates_issue(folder, "changing", "ca", "DNS:other.example", 2);
    assert_true(tls_context_reload(server, &err));
    assert_int_equal(stream_write(&later.client, "on", 2, &count), STREAM_OK);
    assert_int_equal(stream_read(&later.server, room, sizeof(room), &count), STREAM_OK);
    close_both(&later);
    connect_both(&later, server, fixture.client, "127.0.0.1");
    assert_int_equal(later.client_result, STREAM_END);
    close_both(&later);

    char *cert = mem_printf("%s/changing.crt", folder);
    assert_int_equal(unlink(cert), 0);
    assert_false(tls_context_reload(server, &err));
    assert_non_null(strstr(err.text, "changing.crt"));
    assert_non_null(strstr(err.text, "tls-cert-file"));
    connect_both(&later, server, fixture.client, "other.example");
    assert_int_equal(later.client_result, STREAM_OK);
    close_both(&later);
    mem_free(cert);
    tls_context_free(server);
    tear_down(&fixture);
}

static void options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct tls_options options = {.prefix = "tls-", .is_server = true};
    assert_null(tls_context_new(&options, &err));
    assert_non_null(strstr(err.text, "tls-cert-file"));
    char *cert = mem_printf("%s/node.crt", folder), *key = mem_printf("%s/old.key", folder);
    options.cert_file = cert;
    options.key_file = key;
    assert_null(tls_context_new(&options, &err)); /* the key of another certificate */
    assert_non_null(strstr(err.text, "tls-key-file"));
    mem_free(key);
    options.key_file = key = mem_printf("%s/node.key", folder);
    options.auth_clients = TLS_AUTH_YES;
    assert_null(tls_context_new(&options, &err));
    assert_non_null(strstr(err.text, "tls-ca-cert-file"));
    options.auth_clients = TLS_AUTH_NO;
    options.ciphersuites = "NO_SUCH_SUITE";
    assert_null(tls_context_new(&options, &err));
    assert_non_null(strstr(err.text, "tls-ciphersuites"));
    mem_free(cert);
    mem_free(key);
}

/* --- half-open connections ------------------------------------------------------------------- */

struct tally {
    unsigned done, failed;
};

static void on_done(void *context, struct stream *stream)
{
    ((struct tally *)context)->done++;
    stream_close(stream);
}

static void on_failed(void *context, const char *why)
{
    assert_non_null(strstr(why, "TLS: "));
    ((struct tally *)context)->failed++;
}

static void half_open_connections_are_bounded(void **state)
{
    (void)state;
    struct tally tally = {0, 0};
    const struct handshake_events events = {on_done, on_failed, &tally};
    struct tls_context *server = new_context("node", "ca", true, TLS_AUTH_NO);
    struct loop *loop = loop_new();
    struct handshakes *handshakes = handshakes_new(loop, server, 3, &events);
    int others[5];
    char byte;
    for (int i = 0; i < 5; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        handshakes_start(handshakes, pair[0]);
        others[i] = pair[1];
    }
    assert_int_equal(tally.failed, 2);
    for (int i = 0; i < 5; i++) { /* the oldest are closed */
        assert_int_equal(read(others[i], &byte, 1), i < 2 ? 0 : -1);
    }
    handshakes_free(handshakes);
    assert_int_equal(read(others[4], &byte, 1), 0);
    for (int i = 0; i < 5; i++) {
        (void)close(others[i]);
    }
    loop_free(loop);
    tls_context_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(versions_before_1_2_are_refused),
        cmocka_unit_test(bytes_taken_off_the_socket_are_told_of),
        cmocka_unit_test(a_read_takes_all_there_is),
        cmocka_unit_test(the_end_behind_some_bytes_is_told_too),
        cmocka_unit_test(what_was_not_confirmed_never_arrives),
        cmocka_unit_test(a_server_is_believed_by_its_certificate_alone),
        cmocka_unit_test(a_host_name_is_as_good_as_a_number),
        cmocka_unit_test(clients_show_certificates_as_they_must),
        cmocka_unit_test(a_reload_is_for_new_connections),
        cmocka_unit_test(options_that_cannot_work_are_refused),
        cmocka_unit_test(half_open_connections_are_bounded),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
