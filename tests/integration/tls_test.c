/* TLS on all links: clients to the proxy, and proxy, migrator and sluicectl to real redis-servers.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/base/slice.h"
#include "tests/support/certificates.h"
#include "tests/support/churn.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/migrations.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"
#include "tests/support/zoo.h"

#define COMMAND_MS   120000
#define MIGRATION_MS 120000

static char *permissive; /* a folder with OpenSSL's settings */

static int start(void **state)
{
    (void)state;
    cluster = cluster_start(
        &(const struct cluster_options){.spares = 1,
                                        .has_migrator = true,
                                        .has_tls = true,
                                        .proxy_arguments = cluster_patient_proxy,
                                        .migrator_environment = cluster_patient_migrator});
    return 0;
}

/* A line for sh in the folder with the certificates; $P is the proxy's TLS port. */
static struct output sh(const char *line)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", cluster_proxy_tls_port(cluster, 0));
    char *script = mem_printf("cd '%s'; P=%s; %s", cluster_certificates(cluster), port, line);
    const char *argv[] = {"sh", "-c", script, NULL};
    struct output output = process_run(argv, NULL, COMMAND_MS);
    mem_free(script);
    return output;
}

static bool succeeds(const char *line)
{
    struct output output = sh(line);
    bool is_good = output.code == 0;
    output_free(&output);
    return is_good;
}

static void expect_says(const char *line, const char *text)
{
    struct output output = sh(line);
    if (strstr(output.out, text) == NULL) {
        fail_msg("%s: \"%s\" is not in \"%s%s\"", line, text, output.out, output.err);
    }
    output_free(&output);
}

#define CLI       "timeout 20 redis-cli -p $P --tls --cacert ca.crt "
#define AS_CLIENT "--cert node.crt --key node.key "

static bool log_says(struct process *process, const char *text)
{
    struct buffer log;
    buffer_init(&log, SIZE_MAX);
    bool is_read = file_read(process_log_path(process), &log, NULL, NULL);
    buffer_add(&log, "", 1);
    bool says = is_read && strstr(buffer_slice(&log).data, text) != NULL;
    buffer_fini(&log);
    return says;
}

/* --- clients --------------------------------------------------------------------------------- */

static void clients_speak_tls(void **state)
{
    (void)state;
    expect_says(CLI AS_CLIENT "set greeting hello", "OK");
    expect_says(CLI AS_CLIENT "get greeting", "hello");
    /* Larger than what TLS holds, both ways, and a deep pipeline. */
    expect_says("head -c 3000000 /dev/zero | tr '\\0' x | " CLI AS_CLIENT "-x set large", "OK");
    expect_says(CLI AS_CLIENT "get large | tr -d '\\n' | wc -c", "3000000");
    expect_says(
        "i=0; while [ $i -lt 20000 ]; do echo \"incr counter\"; i=$((i+1)); done | " CLI AS_CLIENT
        "--pipe",
        "replies: 20000");
    expect_says(CLI AS_CLIENT "get counter", "20000");
    struct client *plain = client_connect(cluster_proxy_port(cluster, 0));
    expect(plain, "GET greeting", "hello");
    client_close(plain);
}

static void redis_py_works_over_tls(void **state)
{
    (void)state;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", cluster_proxy_tls_port(cluster, 0));
    const char *python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
    const char *argv[] = {python, "tests/integration/redis_py.py", port,
                          cluster_certificates(cluster), NULL};
    struct output output = process_run(argv, NULL, COMMAND_MS);
    if (output.code != 0) {
        fail_msg("code %d\n%s%s", output.code, output.out, output.err);
    }
    output_free(&output);
}

static void who_shows_nothing_good_is_not_let_in(void **state)
{
    (void)state;
    const char *folder = cluster_certificates(cluster);
    certificates_make_authority(folder, "stranger");
    certificates_issue(folder, "fake", "stranger", CERTIFICATE_LOCAL, 2);
    certificates_issue(folder, "old", "ca", CERTIFICATE_LOCAL, -1);
    assert_false(succeeds(CLI "ping | grep PONG"));
    assert_false(succeeds(CLI "--cert fake.crt --key fake.key ping | grep PONG"));
    assert_false(succeeds(CLI "--cert old.crt --key old.key ping | grep PONG"));
    assert_true(succeeds(CLI AS_CLIENT "ping | grep PONG"));
    assert_true(log_says(cluster_proxy(cluster, 0), "client refused"));
}

/* Read to the end: no reply, and no reset either. */
static void a_plain_client_on_the_port_of_tls_is_closed(void **state)
{
    (void)state;
    struct client *client = client_connect(cluster_proxy_tls_port(cluster, 0));
    redisContext *context = client_context(client);
    assert_int_equal(write(context->fd, "PING\r\n", 6), 6);
    char bytes[64];
    ssize_t count = 1, total = 0;
    while (count > 0 && total < (ssize_t)sizeof(bytes)) {
        count = read(context->fd, bytes, sizeof(bytes));
        total += count;
    }
    assert_int_equal(count, 0);
    client_close(client);
    char *metrics = NULL;
    assert_int_equal(http_get(cluster_proxy_admin_port(cluster, 0), "/metrics", &metrics), 200);
    assert_non_null(strstr(metrics, "sluice_tls_handshakes_failed_total 1"));
    mem_free(metrics);
    assert_true(succeeds(CLI AS_CLIENT "ping | grep PONG"));
}

/* --- certificates ---------------------------------------------------------------------------- */

#define SHOWS_SECOND_NAME                                                           \
    "timeout 20 openssl s_client -connect 127.0.0.1:$P -CAfile ca.crt " AS_CLIENT_S \
    "-verify_hostname second.example -verify_return_error </dev/null"
#define AS_CLIENT_S "-cert node.crt -key node.key "

static void certificates_are_reloaded_while_clients_stay(void **state)
{
    (void)state;
    const char *folder = cluster_certificates(cluster);
    char *port = mem_printf("%u", cluster_proxy_tls_port(cluster, 0));
    char *ca = mem_printf("%s/ca.crt", folder), *cert = mem_printf("%s/node.crt", folder),
         *key = mem_printf("%s/node.key", folder), *log = mem_printf("%s/client.log", folder);
    const char *argv[] = {"redis-cli", "-p", port,    "--tls", "--cacert", ca,
                          "--cert",    cert, "--key", key,     NULL};
    struct process *client = process_start_piped("redis-cli", argv, NULL, log);
    process_write(client, "CLIENT SETNAME first\n");
    WAIT_UNTIL(log_says(client, "OK"), COMMAND_MS);

    assert_false(succeeds(SHOWS_SECOND_NAME));
    certificates_issue(folder, "node", "ca", CERTIFICATE_LOCAL ",DNS:second.example", 2);
    process_signal(cluster_proxy(cluster, 0), SIGHUP);
    process_signal(cluster_migrator(cluster), SIGHUP);
    WAIT_UNTIL(succeeds(SHOWS_SECOND_NAME), COMMAND_MS);
    process_write(client, "CLIENT GETNAME\n"); /* empty on a new connection */
    WAIT_UNTIL(log_says(client, "first"), COMMAND_MS);

    assert_true(succeeds("rm node.key"));
    process_signal(cluster_proxy(cluster, 0), SIGHUP);
    WAIT_UNTIL(log_says(cluster_proxy(cluster, 0), "node.key"), COMMAND_MS);
    process_write(client, "ECHO still\n");
    WAIT_UNTIL(log_says(client, "still"), COMMAND_MS);
    (void)process_stop(client);
    mem_free(port);
    mem_free(ca);
    mem_free(cert);
    mem_free(key);
    mem_free(log);
}

/* --- shards ---------------------------------------------------------------------------------- */

static void a_shard_is_not_believed_without_its_authority(void **state)
{
    (void)state;
    char *ctl = program_path("sluicectl"), *program = program_path("sluice-proxy");
    const char *argv[] = {ctl, "--store", cluster_store(cluster), "status", NULL};
    struct output output = process_run(argv, NULL, COMMAND_MS);
    assert_non_null(strstr(output.out, "shard-tls-ca-cert-file"));
    output_free(&output);

    char *listen = mem_printf("127.0.0.1:%u", scratch_port());
    char *admin = mem_printf("127.0.0.1:%u", scratch_port());
    char *log = mem_printf("%s/unbelieving.log", cluster_folder(cluster));
    const char *words[] = {
        program, "--store", cluster_store(cluster), "--listen", listen, "--admin", admin, "--id",
        "p9",    NULL};
    struct process *proxy = process_start("proxy p9", words, NULL, log);
    WAIT_UNTIL(log_says(proxy, "shard-tls-ca-cert-file"), COMMAND_MS);
    assert_true(process_stop(proxy));
    mem_free(ctl);
    mem_free(program);
    mem_free(listen);
    mem_free(admin);
    mem_free(log);
}

static void slots_move_with_tls_on_all_links(void **state)
{
    (void)state;
    zoo_load(cluster);
    cluster_add_spare(cluster, 2);
    struct churn *churn = churn_start(cluster, 2, scratch_seed());
    char *id = migration_open_by_ctl(cluster, "split s1 --to s3");
    struct output output = sh("timeout 100 redis-benchmark -p $P --tls --cacert ca.crt " AS_CLIENT
                              "-t set,get,incr,lpush -r 2000 -n 2000 -c 8 -q --csv");
    if (output.code != 0) {
        fail_msg("code %d: %s%s", output.code, output.out, output.err);
    }
    output_free(&output);
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), MIGRATION_MS);
    uint64_t refused = 0;
    (void)churn_end(churn, &refused);
    assert_int_equal(refused, 0);
    cluster_tell(cluster, "finalize %s --wait", id);
    zoo_check(cluster, 0);
    cluster_compare(cluster, "");
    mem_free(id);
}

/* --- a shard that offers only TLS 1.1 --------------------------------------------------------- */

/* By itself, OpenSSL as it is configured here would speak it too: only we refuse. */
static int start_permissive(void **state)
{
    (void)state;
    static const char settings[] = "openssl_conf = all\n[all]\nssl_conf = ssl\n"
                                   "[ssl]\nsystem_default = any\n"
                                   "[any]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n";
    struct error err;
    permissive = scratch_folder("permissive");
    char *path = mem_printf("%s/openssl.cnf", permissive);
    assert_true(file_write(path, SLICE(settings), &err));
    assert_int_equal(setenv("OPENSSL_CONF", path, 1), 0);
    mem_free(path);
    cluster = cluster_start(&(const struct cluster_options){.has_tls = true, .has_migrator = true});
    return 0;
}

static int clear_permissive(void **state)
{
    assert_int_equal(unsetenv("OPENSSL_CONF"), 0);
    scratch_remove(permissive);
    return stage_clear(state);
}

/* What speaks TLS already has to connect again. */
static void offer_only(const char *protocols)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, 0));
    char *command = mem_printf("CONFIG SET tls-protocols \"%s\"", protocols);
    expect(direct, command, "+OK");
    expect_prefix(direct, "CLIENT KILL TYPE normal SKIPME yes", ":");
    client_close(direct);
    mem_free(command);
}

/* By who accepts anything. */
static bool speaks_tls_1_1(void)
{
    char *line = mem_printf("timeout 20 openssl s_client -connect 127.0.0.1:%u -tls1_1 -CAfile "
                            "ca.crt " AS_CLIENT_S "-verify_return_error </dev/null",
                            cluster_shard_address(cluster, 0));
    bool speaks = succeeds(line);
    mem_free(line);
    return speaks;
}

static bool answers(struct client *client, const char *command, const char *prefix)
{
    char *reply = client_ask(client, command);
    bool is_it = strncmp(reply, prefix, strlen(prefix)) == 0;
    mem_free(reply);
    return is_it;
}

static void a_shard_that_offers_only_tls_1_1_is_refused(void **state)
{
    static const char why[] = "protocol version";
    (void)state;
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    char *get = mem_printf("GET %s", cluster_key(cluster, 0, "key:", 0));
    WAIT_UNTIL(answers(client, get, "(nil)"), COMMAND_MS);
    char *id = migration_open_by_ctl(cluster, "split s2 --to s1 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), MIGRATION_MS);
    assert_false(speaks_tls_1_1());
    offer_only("TLSv1.1");
    assert_true(speaks_tls_1_1());

    WAIT_UNTIL(answers(client, get, "-UNAVAILABLE"), COMMAND_MS);
    WAIT_UNTIL(log_says(cluster_proxy(cluster, 0), why), COMMAND_MS);
    WAIT_UNTIL(log_says(cluster_migrator(cluster), why), COMMAND_MS);
    offer_only("TLSv1.2");
    WAIT_UNTIL(answers(client, get, "(nil)"), COMMAND_MS);
    cluster_tell(cluster, "switch %s --wait", id);
    client_close(client);
    mem_free(id);
    mem_free(get);
}

/* --- replicas -------------------------------------------------------------------------------- */

static int start_for_replicas(void **state)
{
    static const char *const arguments[] = {"--read-from", "prefer-replica", NULL};
    (void)state;
    cluster = cluster_start(
        &(const struct cluster_options){.has_tls = true, .proxy_arguments = arguments});
    return 0;
}

/* One that follows s1 over TLS, and announces its TLS port. */
static struct redis_server *start_replica(void)
{
    char port[8], command[64];
    const char *folder = cluster_certificates(cluster);
    (void)snprintf(port, sizeof(port), "%u", scratch_port());
    char *ca = mem_printf("%s/ca.crt", folder), *cert = mem_printf("%s/node.crt", folder),
         *key = mem_printf("%s/node.key", folder);
    const char *const words[] = {"--tls-port",
                                 port,
                                 "--tls-cert-file",
                                 cert,
                                 "--tls-key-file",
                                 key,
                                 "--tls-ca-cert-file",
                                 ca,
                                 "--tls-replication",
                                 "yes",
                                 NULL};
    struct redis_server *replica = redis_server_start(words);
    struct client *primary = client_connect(cluster_shard_port(cluster, 0));
    expect(primary, "CONFIG SET repl-diskless-sync-delay 0", "+OK");
    client_close(primary);
    struct client *direct = client_connect(redis_server_port(replica));
    (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u",
                   cluster_shard_address(cluster, 0));
    expect(direct, command, "+OK");
    client_close(direct);
    mem_free(ca);
    mem_free(cert);
    mem_free(key);
    return replica;
}

/* Of some keys, of all shards. While s1 is taken over for its new replication id there may be
 * errors. */
static void read_keys(struct client *client)
{
    char command[32];
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(command, sizeof(command), "STRLEN k%u", i);
        mem_free(client_ask(client, command));
    }
}

static bool has_read(struct client *server)
{
    char *text = client_ask(server, "INFO commandstats");
    bool has = strstr(text, "cmdstat_strlen:") != NULL;
    mem_free(text);
    return has;
}

static void replicas_are_read_over_tls(void **state)
{
    (void)state;
    struct redis_server *replica = start_replica();
    struct client *direct = client_connect(redis_server_port(replica));
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    WAIT_UNTIL((read_keys(client), has_read(direct)), COMMAND_MS);
    client_close(client);
    client_close(direct);
    redis_server_stop(replica);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clients_speak_tls),
        TEST(redis_py_works_over_tls),
        TEST(who_shows_nothing_good_is_not_let_in),
        TEST(a_plain_client_on_the_port_of_tls_is_closed),
        TEST(certificates_are_reloaded_while_clients_stay),
        TEST(a_shard_is_not_believed_without_its_authority),
        TEST(slots_move_with_tls_on_all_links),
        cmocka_unit_test_setup_teardown(a_shard_that_offers_only_tls_1_1_is_refused,
                                        start_permissive, clear_permissive),
        cmocka_unit_test_setup_teardown(replicas_are_read_over_tls, start_for_replicas,
                                        stage_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
