/* The admin endpoints of proxy and migrator for those who can reach them: TLS, tokens, and what is
 * told to strangers. Asked by curl, openssl and, for the dashboard, node. */
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
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define COMMAND_MS  60000
#define STRANGERS   50
#define PROXY_TOKEN "proxy-token-0123456789"
#define NEXT_TOKEN  "next-token-0123456789"
#define LAST_TOKEN  "migrator-token-0123456789"

static char *folder;
static struct process *proxy, *migrator;
static struct process *namesakes[2]; /* a proxy and a migrator with the same ids, and logs */
static uint16_t proxy_port, migrator_port;

/* --- the programs ----------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
    struct error err;
    char *path = mem_printf("%s/%s", folder, name);
    if (!file_write(path, slice_of(text), &err)) {
        fail_msg("%s", err.text);
    }
    mem_free(path);
}

/* A line for sh in the folder; $P and $M are the admin ports, $S the store, $BIN the programs. */
static struct output sh(const char *line)
{
    char *ctl = program_path("sluicectl");
    char *bin = mem_strndup(ctl, strlen(ctl) - strlen("/sluicectl"));
    char *script = mem_printf("BIN=$(realpath '%s'); cd '%s'; P=%u; M=%u; S='%s'; %s", bin, folder,
                              proxy_port, migrator_port, cluster_store(cluster), line);
    const char *argv[] = {"sh", "-c", script, NULL};
    struct output output = process_run(argv, NULL, COMMAND_MS);
    mem_free(script);
    mem_free(bin);
    mem_free(ctl);
    return output;
}

static bool says(const char *line, const char *text)
{
    struct output output = sh(line);
    bool is_said = strstr(output.out, text) != NULL;
    output_free(&output);
    return is_said;
}

static void expect_says(const char *line, const char *text)
{
    struct output output = sh(line);
    if (strstr(output.out, text) == NULL) {
        fail_msg("%s: \"%s\" is not in \"%s%s\"", line, text, output.out, output.err);
    }
    output_free(&output);
}

static char *log_of(const struct process *process)
{
    struct buffer log;
    buffer_init(&log, SIZE_MAX);
    assert_true(file_read(process_log_path(process), &log, NULL, NULL));
    buffer_add(&log, "", 1);
    char *text = mem_strdup(buffer_slice(&log).data);
    buffer_fini(&log);
    return text;
}

static bool log_says(const struct process *process, const char *text)
{
    char *log = log_of(process);
    bool is_said = strstr(log, text) != NULL;
    mem_free(log);
    return is_said;
}

/* `words` are split at spaces, and freed. */
static struct process *start_program(const char *name, const char *id, uint16_t port, char *words,
                                     const char *const *environment)
{
    char *program = program_path(name), *log = mem_printf("%s/%s.log", folder, id);
    char *admin = mem_printf("127.0.0.1:%u", port), *place;
    const char *argv[20] = {program, "--store", cluster_store(cluster), "--admin", admin,
                            "--id",  id};
    unsigned argc = 7;
    for (char *word = strtok_r(words, " ", &place); word != NULL;
         word = strtok_r(NULL, " ", &place)) {
        argv[argc++] = word;
    }
    struct process *process = process_start(id, argv, environment, log);
    mem_free(program);
    mem_free(log);
    mem_free(admin);
    mem_free(words);
    return process;
}

#define CURL    "curl -sS --max-time 30 --cacert ca.crt "
#define MUTUAL  "--cert node.crt --key node.key "
#define HEAD    "-o /dev/null -D - " /* of the reply, alone */
#define WITH(t) "-H 'Authorization: Bearer " t "' "

static int start(void **state)
{
    static const char *const environment[] = {"SLUICE_ADMIN_TOKEN=" LAST_TOKEN, NULL};
    (void)state;
    folder = scratch_folder("admin");
    cluster = cluster_start(&(const struct cluster_options){.shards = 1});
    certificates_make(folder);
    write_file("tokens", "# by team\n" PROXY_TOKEN "\n");
    proxy_port = scratch_port();
    migrator_port = scratch_port();
    proxy =
        start_program("sluice-proxy", "guarded", proxy_port,
                      mem_printf("--listen 127.0.0.1:0 --admin-tls-cert-file %s/node.crt "
                                 "--admin-tls-key-file %s/node.key --admin-token-file %s/tokens",
                                 folder, folder, folder),
                      NULL);
    migrator = start_program(
        "sluice-migrator", "mutual", migrator_port,
        mem_printf("--admin-tls-cert-file %s/node.crt --admin-tls-key-file %s/node.key "
                   "--admin-tls-ca-cert-file %s/ca.crt",
                   folder, folder, folder),
        environment);
    namesakes[0] =
        start_program("sluice-proxy", "guarded", 0, mem_strdup("--listen 127.0.0.1:0"), NULL);
    namesakes[1] = start_program("sluice-migrator", "mutual", 0, mem_strdup(""), NULL);
    WAIT_UNTIL(says(CURL HEAD "https://127.0.0.1:$P/readyz", "HTTP/1.1 200 "), COMMAND_MS);
    WAIT_UNTIL(says(CURL MUTUAL HEAD "https://127.0.0.1:$M/readyz", "HTTP/1.1 200 "), COMMAND_MS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    bool is_well = process_stop(namesakes[0]) && process_stop(namesakes[1]) &&
                   process_stop(proxy) && process_stop(migrator);
    cluster_stop(cluster);
    process_stop_all();
    scratch_remove(folder);
    return is_well ? 0 : -1;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void all_but_health_needs_a_token(void **state)
{
    static const char *const paths[] = {"metrics", "stats", "topology"};
    (void)state;
    expect_says(CURL HEAD "https://127.0.0.1:$P/healthz", "HTTP/1.1 200 ");
    expect_says(CURL HEAD "https://127.0.0.1:$P/", "HTTP/1.1 200 ");
    expect_says(CURL "https://127.0.0.1:$P/readyz", "OK\n");
    expect_says(CURL WITH(PROXY_TOKEN) "https://127.0.0.1:$P/readyz", "ready\n");
    expect_says(CURL MUTUAL HEAD "https://127.0.0.1:$M/healthz", "HTTP/1.1 200 ");
    for (unsigned i = 0; i < 3; i++) {
        char *denied = mem_printf(CURL "-i https://127.0.0.1:$P/%s", paths[i]);
        char *wrong = mem_printf(CURL WITH(LAST_TOKEN) HEAD "https://127.0.0.1:$P/%s", paths[i]);
        char *head = mem_printf(CURL "-I https://127.0.0.1:$P/%s", paths[i]);
        char *good = mem_printf(CURL WITH(PROXY_TOKEN) HEAD "https://127.0.0.1:$P/%s", paths[i]);
        expect_says(denied, "WWW-Authenticate: Bearer");
        assert_false(says(denied, "guarded"));
        expect_says(wrong, "HTTP/1.1 401 ");
        expect_says(head, "HTTP/1.1 401 ");
        expect_says(good, "HTTP/1.1 200 ");
        mem_free(denied);
        mem_free(wrong);
        mem_free(head);
        mem_free(good);
        char *of_migrator = mem_printf(CURL MUTUAL HEAD "https://127.0.0.1:$M/%s", paths[i]);
        char *with_token = mem_printf("%s " WITH(LAST_TOKEN), of_migrator);
        expect_says(of_migrator, "HTTP/1.1 401 ");
        expect_says(with_token, "HTTP/1.1 200 ");
        mem_free(of_migrator);
        mem_free(with_token);
    }
    expect_says(CURL WITH(PROXY_TOKEN) "https://127.0.0.1:$P/metrics",
                "\nsluice_admin_denied_total 12\n");
}

static bool is_admitted(const char *token)
{
    char *line =
        mem_printf(CURL HEAD "-H 'Authorization: Bearer %s' https://127.0.0.1:$P/stats", token);
    bool is_good = says(line, "HTTP/1.1 200 ");
    mem_free(line);
    return is_good;
}

static void tokens_rotate_on_sighup(void **state)
{
    (void)state;
    write_file("tokens", PROXY_TOKEN "\n" NEXT_TOKEN "\n");
    assert_false(is_admitted(NEXT_TOKEN));
    process_signal(proxy, SIGHUP);
    WAIT_UNTIL(is_admitted(NEXT_TOKEN), COMMAND_MS);
    assert_true(is_admitted(PROXY_TOKEN));
    write_file("tokens", NEXT_TOKEN "\n");
    process_signal(proxy, SIGHUP);
    WAIT_UNTIL(!is_admitted(PROXY_TOKEN), COMMAND_MS);
    assert_true(is_admitted(NEXT_TOKEN));

    write_file("tokens", "# none is left\n");
    process_signal(proxy, SIGHUP);
    WAIT_UNTIL(log_says(proxy, "there is no token"), COMMAND_MS);
    assert_true(is_admitted(NEXT_TOKEN));
    assert_false(is_admitted(""));
    write_file("tokens", PROXY_TOKEN "\n");
    process_signal(proxy, SIGHUP);
    WAIT_UNTIL(is_admitted(PROXY_TOKEN), COMMAND_MS);
}

static void tokens_are_not_shown(void **state)
{
    char *proxy_log = log_of(proxy), *migrator_log = log_of(migrator);
    (void)state;
    assert_null(strstr(proxy_log, "token-0123456789"));
    assert_null(strstr(migrator_log, "token-0123456789"));
    char *line = mem_printf("tr '\\0' ' ' < /proc/%d/cmdline; tr '\\0' ' ' < /proc/%d/cmdline",
                            (int)process_pid(proxy), (int)process_pid(migrator));
    expect_says(line, "guarded");
    assert_false(says(line, "token-0123456789"));
    expect_says(CURL WITH(PROXY_TOKEN) "https://127.0.0.1:$P/stats", "guarded");
    assert_false(says(CURL WITH(PROXY_TOKEN) "https://127.0.0.1:$P/stats", "token-0123456789"));
    mem_free(proxy_log);
    mem_free(migrator_log);
    mem_free(line);
}

static void the_dashboard_asks_for_the_token(void **state)
{
    (void)state;
    if (!says("node --version", "v")) {
        (void)fprintf(stderr, "*** node is not installed: the dashboard is NOT TESTED.\n");
        skip();
    }
    char *url = mem_printf("https://127.0.0.1:%u/", proxy_port);
    char *ca = mem_printf("NODE_EXTRA_CA_CERTS=%s/ca.crt", folder);
    const char *argv[] = {"node", "tests/integration/node/dashboard.js", url, PROXY_TOKEN, NULL};
    const char *environment[] = {ca, NULL};
    struct output output = process_run(argv, environment, 2 * COMMAND_MS);
    if (output.code != 0) {
        fail_msg("code %d\n%s%s", output.code, output.out, output.err);
    }
    output_free(&output);
    mem_free(url);
    mem_free(ca);
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* One line a second: after another client's there is none for this one. */
static bool is_refused_and_logged(void)
{
    assert_false(
        says("curl -s --max-time 30 " HEAD "http://127.0.0.1:$P/healthz", "HTTP/1.1 200 "));
    return log_says(proxy, "admin client refused why=\"TLS: the other side does not speak TLS");
}

static void only_tls_is_spoken(void **state)
{
    (void)state;
    WAIT_UNTIL(is_refused_and_logged(), COMMAND_MS);
    expect_says(CURL "--tls-max 1.2 " HEAD "https://127.0.0.1:$P/healthz", "HTTP/1.1 200 ");
    expect_says(CURL "--tlsv1.3 " HEAD "https://127.0.0.1:$P/healthz", "HTTP/1.1 200 ");
    expect_says("$BIN/sluicectl --store \"$S\" proxies", "tls:127.0.0.1:");
}

static unsigned refusals_in_log(void)
{
    unsigned count = 0;
    char *log = log_of(proxy);
    for (const char *at = log; (at = strstr(at, "admin client refused")) != NULL; at++) {
        count++;
    }
    mem_free(log);
    return count;
}

static void be_refused(void)
{
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    int fd = raw_connect(proxy_port);
    assert_true(raw_send(fd, SLICE("GET / HTTP/1.1\r\n\r\n")));
    assert_true(raw_read_to_end(fd, &bytes));
    (void)close(fd);
    buffer_fini(&bytes);
}

static unsigned long failed_handshakes(void)
{
    static const char name[] = "\nsluice_admin_handshakes_failed_total ";
    struct output output = sh(CURL WITH(PROXY_TOKEN) "https://127.0.0.1:$P/metrics");
    const char *found = strstr(output.out, name);
    assert_non_null(found);
    unsigned long count = strtoul(found + sizeof(name) - 1, NULL, 10);
    output_free(&output);
    return count;
}

static void strangers_do_not_fill_the_log_and_are_counted(void **state)
{
    (void)state;
    unsigned long failed = failed_handshakes();
    unsigned lines = refusals_in_log();
    uint64_t began_us = clock_now_us();
    for (unsigned i = 0; i < STRANGERS; i++) {
        be_refused();
    }
    lines = refusals_in_log() - lines;
    assert_in_range(lines, 0, (clock_now_us() - began_us) / 1000000 + 1);
    assert_int_equal(failed_handshakes() - failed, STRANGERS);
}

static void a_client_certificate_is_asked_for_where_it_is_wanted(void **state)
{
    (void)state;
    certificates_make_authority(folder, "stranger");
    certificates_issue(folder, "fake", "stranger", CERTIFICATE_LOCAL, 2);
    assert_false(says(CURL HEAD "https://127.0.0.1:$M/healthz", "HTTP/1.1 200 "));
    assert_false(says(CURL "--cert fake.crt --key fake.key " HEAD "https://127.0.0.1:$M/healthz",
                      "HTTP/1.1 200 "));
    expect_says(CURL MUTUAL HEAD "https://127.0.0.1:$M/healthz", "HTTP/1.1 200 ");
}

#define SHOWS_SECOND_NAME                                               \
    "timeout 30 openssl s_client -connect 127.0.0.1:$P -CAfile ca.crt " \
    "-verify_hostname second.example -verify_return_error </dev/null 2>&1"

/* One connection, its request begun before the reload and ended after it. The endpoint gives it ten
 * seconds, which a slow machine may not keep: then it is tried again. */
static bool request_outlives_a_reload(void)
{
    char *log = mem_printf("%s/slow-client.log", folder);
    char *port = mem_printf("127.0.0.1:%u", proxy_port);
    const char *argv[] = {"openssl", "s_client", "-quiet", "-connect", port, NULL};
    write_file("slow-client.log", "");
    struct process *client = process_start_piped("s_client", argv, NULL, log);
    process_write(client, "GET /stats HTTP/1.1\r\n");
    process_signal(proxy, SIGHUP);
    WAIT_UNTIL(says(SHOWS_SECOND_NAME, "Verification: OK"), COMMAND_MS);
    process_write(client, "Authorization: Bearer " PROXY_TOKEN "\r\n\r\n");
    (void)process_wait(client, COMMAND_MS, NULL);
    bool is_answered = log_says(client, "HTTP/1.1 200 OK");
    (void)process_stop(client);
    mem_free(log);
    mem_free(port);
    return is_answered;
}

static void certificates_are_reloaded_while_connections_stay(void **state)
{
    (void)state;
    assert_false(says(SHOWS_SECOND_NAME, "Verification: OK"));
    certificates_issue(folder, "node", "ca", CERTIFICATE_LOCAL ",DNS:second.example", 2);
    WAIT_UNTIL(request_outlives_a_reload(), 3 * COMMAND_MS);
    write_file("node.key", "no key\n");
    process_signal(proxy, SIGHUP);
    process_signal(migrator, SIGHUP);
    WAIT_UNTIL(log_says(proxy, "admin-tls-key-file"), COMMAND_MS);
    WAIT_UNTIL(log_says(migrator, "admin-tls-key-file"), COMMAND_MS);
    expect_says(CURL HEAD "https://127.0.0.1:$P/healthz", "HTTP/1.1 200 ");
}

/* --- strangers -------------------------------------------------------------------------------- */

static void expect_code(const char *line, int code, const char *words)
{
    struct output output = sh(line);
    if (output.code != code || strstr(output.err, words) == NULL) {
        fail_msg("%s: code %d: %s%s", line, output.code, output.out, output.err);
    }
    output_free(&output);
}

#define PROXY    "timeout 30 $BIN/sluice-proxy --store $S --listen 127.0.0.1:0 --admin 0.0.0.0:0 "
#define MIGRATOR "timeout 30 $BIN/sluice-migrator --store $S --admin 0.0.0.0:0 "

static void a_public_endpoint_needs_a_token_or_a_second_word(void **state)
{
    static const char *const programs[] = {PROXY, MIGRATOR};
    (void)state;
    write_file("good", PROXY_TOKEN);
    write_file("short", "short");
    for (unsigned i = 0; i < 4; i++) {
        bool is_check = i % 2 == 1;
        char *refused = mem_printf("%s%s", programs[i / 2], is_check ? "--check-config" : "");
        char *bad = mem_printf("%s --admin-token-file short", refused);
        expect_code(refused, 1, "which others can reach, and the endpoint asks for no token");
        expect_code(bad, 1, "short: line 1: a token must have");
        mem_free(refused);
        mem_free(bad);
    }
    for (unsigned i = 0; i < 2; i++) {
        char *with_token = mem_printf("%s --admin-token-file good --check-config", programs[i]);
        char *said_twice = mem_printf("%s --protected-mode=no --check-config", programs[i]);
        expect_says(with_token, "the configuration is valid\n");
        expect_says(said_twice, "the configuration is valid\n");
        mem_free(with_token);
        mem_free(said_twice);
    }
}

/* A copy of the store that may be read and not be written, for root neither. */
#define READ_ONLY_STORE                                             \
    "rm -rf sealed; cp -r ${S#file:} sealed; chmod -R a-w sealed; " \
    "[ $(id -u) != 0 ] || AS='setpriv --bounding-set=-dac_override'; $AS timeout 30 "
#define UNSEAL "; CODE=$?; chmod -R u+w sealed; exit $CODE"

static void who_may_not_write_the_store_does_not_start(void **state)
{
    static const char why[] = "cannot write \"sealed/members\": Permission denied: give this user";
    (void)state;
    expect_code(READ_ONLY_STORE "$BIN/sluice-proxy --store file:sealed --listen 127.0.0.1:0 "
                                "--admin 127.0.0.1:0" UNSEAL,
                1, why);
    expect_code(READ_ONLY_STORE
                "$BIN/sluice-migrator --store file:sealed --admin 127.0.0.1:0" UNSEAL,
                1, why);
}

static void a_check_of_the_configuration_looks_where_strangers_get_in(void **state)
{
#define CHECK "timeout 30 $BIN/sluice-proxy --store $S --check-config "
    (void)state;
    write_file("open.acl", "user default on nopass ~* &* +@all\n");
    write_file("wrong.acl", "user default on >x +nosuch|thing ~* ~x\n");
    write_file("closed.acl", "user default on >x ~* &* +@all\n");
    expect_code(CHECK, 0, "");
    expect_code(CHECK "--listen 0.0.0.0:0", 1, "set \"requirepass\"");
    expect_code(CHECK "--listen 0.0.0.0:0 --aclfile open.acl", 1, "which others can reach");
    expect_code(CHECK "--aclfile wrong.acl", 1, "wrong.acl: line 1: user \"default\"");
    expect_code(CHECK "--listen 0.0.0.0:0 --aclfile closed.acl", 0, "");
    expect_code("SLUICE_REQUIREPASS=x " CHECK "--listen 0.0.0.0:0", 0, "");
    expect_code(CHECK "--listen 0.0.0.0:0 --protected-mode=no", 0, "");
    expect_code(CHECK "--admin-tls-cert-file node.crt", 1, "admin-tls-key-file must both be given");
    expect_code(CHECK "--tls-listen 127.0.0.1:0 --tls-cert-file no --tls-key-file no", 1,
                "cannot use tls-cert-file");
    expect_code(CHECK "--shard-password-file no", 1, "\"shard-password-file\"");
}

static void a_wrong_option_is_told_of_at_once_with_code_2(void **state)
{
    static const char *const cases[][2] = {
        {"--store bogus:xx",
         "cannot open the store \"bogus:xx\": the URL must be file:DIR or etcd:"},
        {"--admin xx", "\"admin\": \"xx\" is not an address: write HOST:PORT"},
        {"--log-level loud", "\"log-level\" must be error, warn, info or debug, not \"loud\""},
        {"--id 'a b'", "\"id\" must be 1 to 63 of A-Z a-z 0-9 _ . - : [ ], not \"a b\""},
        {"--id ''", "\"id\" must be 1 to 63"},
        {"--id $(printf '%064d' 0)", "\"id\" must be 1 to 63"},
        {"--nothing", "there is no option --nothing"},
    };
    (void)state;
    for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const *wrong = cases[i / 4];
        char *line = mem_printf("timeout 30 $BIN/%s --store $S %s %s",
                                i % 2 == 0 ? "sluice-proxy" : "sluice-migrator",
                                i % 4 < 2 ? "--check-config" : "", wrong[0]);
        expect_code(line, 2, wrong[1]);
        mem_free(line);
    }
    expect_code(CHECK "--listen nowhere", 2, "\"listen\": \"nowhere\" is not an address");
    expect_code(CHECK "--tls-listen :x", 2, "\"tls-listen\": the port of \":x\" must be 0..65535");
    expect_code(CHECK "--id '[::1]:6380'", 0, "");
    expect_code("$BIN/sluicectl status --nothing", 2, "has no option --nothing");
}

static void a_port_that_is_taken_is_told_of_with_what_to_do(void **state)
{
    static const char why[] =
        "Address already in use: end the program that has this port, or choose another";
    (void)state;
    expect_code("timeout 30 $BIN/sluice-proxy --store $S --listen 127.0.0.1:$M", 1, why);
    expect_code("timeout 30 $BIN/sluice-proxy --store $S --listen :0 --admin :$M", 1, why);
    expect_code("timeout 30 $BIN/sluice-migrator --store $S --admin :$P", 1, why);
}

static void two_with_one_id_are_warned_of(void **state)
{
    static const char *const warnings[] = {"another proxy has the same id, give each its own",
                                           "another migrator has the same id, give each its own"};
    (void)state;
    WAIT_UNTIL(log_says(proxy, warnings[0]), COMMAND_MS);
    WAIT_UNTIL(log_says(migrator, warnings[1]), COMMAND_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_but_health_needs_a_token),
        cmocka_unit_test(tokens_rotate_on_sighup),
        cmocka_unit_test(the_dashboard_asks_for_the_token),
        cmocka_unit_test(only_tls_is_spoken),
        cmocka_unit_test(strangers_do_not_fill_the_log_and_are_counted),
        cmocka_unit_test(a_client_certificate_is_asked_for_where_it_is_wanted),
        cmocka_unit_test(tokens_are_not_shown),
        cmocka_unit_test(certificates_are_reloaded_while_connections_stay),
        cmocka_unit_test(a_public_endpoint_needs_a_token_or_a_second_word),
        cmocka_unit_test(who_may_not_write_the_store_does_not_start),
        cmocka_unit_test(a_check_of_the_configuration_looks_where_strangers_get_in),
        cmocka_unit_test(a_wrong_option_is_told_of_at_once_with_code_2),
        cmocka_unit_test(a_port_that_is_taken_is_told_of_with_what_to_do),
        cmocka_unit_test(two_with_one_id_are_warned_of),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
