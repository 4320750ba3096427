/* Every link by TLS, with a user or a password on each, and etcd for a store: what an operator does
 * who trusts no network. One cluster for all tests, in their order; the later ones find renewed
 * certificates. tls_test.c has the clients' links, admin_test.c the admin endpoints', and
 * secured_sentinels_test.c the Sentinels'. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/certificates.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/etcd.h"
#include "tests/support/migrations.h"
#include "tests/support/raw.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS 60000
#define KEYS    100
#define SHARDS  2
/* In every secret, and nowhere else. */
#define MARK "Open-Sesame-Links-Test"

static char *folder; /* certificates and secrets */
static struct etcd_cluster *etcd;
static char etcd_url[128];
static char *etcd_files[3];   /* whom it trusts, its certificate, its key */
static char *users;           /* the shards' ACL file */
static struct client *client; /* of the proxy, through all tests */

/* --- a shell in the folder -------------------------------------------------------------------- */

/* $E is etcd's port, $A the proxy's admin port. */
static struct output sh(const char *line)
{
    unsigned port = 0;
    assert_int_equal(sscanf(etcd_url, "etcds:127.0.0.1:%u", &port), 1);
    char *script = mem_printf("cd '%s'; E=%u; A=%u; %s", folder, port,
                              cluster != NULL ? cluster_proxy_admin_port(cluster, 0) : 0, line);
    const char *argv[] = {"sh", "-c", script, NULL};
    struct output output = process_run(argv, NULL, LONG_MS);
    mem_free(script);
    return output;
}

static void tell(const char *line)
{
    struct output output = sh(line);
    if (output.code != 0) {
        fail_msg("%s: code %d\n%s%s", line, output.code, output.out, output.err);
    }
    output_free(&output);
}

static void expect_says(const char *line, const char *text)
{
    struct output output = sh(line);
    if (strcmp(output.out, text) != 0) {
        fail_msg("%s: \"%s%s\" is not \"%s\"", line, output.out, output.err, text);
    }
    output_free(&output);
}

static bool log_says(const struct process *process, const char *text)
{
    const char *argv[] = {"grep", "-q", text, process_log_path(process), NULL};
    struct output output = process_run(argv, NULL, LONG_MS);
    bool says = output.code == 0;
    output_free(&output);
    return says;
}

/* --- the servers ------------------------------------------------------------------------------ */

static void set(const char *name, char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
    mem_free(value);
}

/* A user who may do nothing but what stands under the cluster's prefix: the role of
 * docs/operations.md. */
#define ASK \
    "curl -sSf --max-time 30 --cacert ca.crt --cert node.crt --key node.key https://127.0.0.1:$E/v3/"

static void give_etcd_users(void)
{
    tell(ASK "auth/user/add -d '{\"name\":\"root\",\"password\":\"" MARK "-root\"}'");
    tell(ASK "auth/role/add -d '{\"name\":\"root\"}'");
    tell(ASK "auth/user/grant -d '{\"user\":\"root\",\"role\":\"root\"}'");
    tell(ASK "auth/user/add -d '{\"name\":\"sluice\",\"password\":\"" MARK "-store\"}'");
    tell(ASK "auth/role/add -d '{\"name\":\"links\"}'");
    tell(ASK "auth/role/grant -d \"{\\\"name\\\":\\\"links\\\",\\\"perm\\\":{\\\"permType\\\":"
             "\\\"READWRITE\\\",\\\"key\\\":\\\"$(printf /links/ | base64)\\\","
             "\\\"range_end\\\":\\\"$(printf /links0 | base64)\\\"}}\"");
    tell(ASK "auth/user/grant -d '{\"user\":\"sluice\",\"role\":\"links\"}'");
    tell(ASK "auth/enable -d '{}'");
}

static void start_etcd(void)
{
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = {"all.crt", "etcd.crt", "etcd.key"};
        etcd_files[i] = mem_printf("%s/%s", folder, names[i]);
    }
    set("SLUICE_STORE_CA", mem_printf("%s/ca.crt", folder));
    set("SLUICE_STORE_CERT", mem_printf("%s/store.crt", folder));
    set("SLUICE_STORE_KEY", mem_printf("%s/store.key", folder));
    const struct etcd_options options = {
        .ca = etcd_files[0], .cert = etcd_files[1], .key = etcd_files[2]};
    etcd = etcd_cluster_start(1, &options);
    etcd_cluster_url(etcd, 0, "links", etcd_url, sizeof(etcd_url));
    give_etcd_users();
    set("SLUICE_STORE_USER", mem_strdup("sluice"));
    set("SLUICE_STORE_PASSWORD", mem_strdup(MARK "-store"));
}

/* "next" will have signed what comes later. */
static void make_certificates(void)
{
    certificates_make(folder);
    certificates_make_authority(folder, "next");
    certificates_issue(folder, "etcd", "ca", CERTIFICATE_LOCAL, 2);
    certificates_issue_nameless(folder, "store", "ca");
    certificates_issue(folder, "shard", "next", CERTIFICATE_LOCAL, 2);
    certificates_issue(folder, "other", "next", "DNS:other.example", 2);
    tell("cat ca.crt next.crt >all.crt");
}

/* The documented rules with our secrets; the test itself needs no password. */
static void write_users(void)
{
    users = mem_printf("%s/users.acl", folder);
    char *line = mem_printf("sed 's/change-this/" MARK "/; s/^user default off/user default on "
                            "nopass ~* \\&* +@all/' \"$OLDPWD/config/shard-users.acl\" >%s",
                            users);
    tell(line);
    mem_free(line);
}

static int start(void **state)
{
    static const char *const proxy[] = {
        "SLUICE_SHARD_USER=sluice-proxy", "SLUICE_SHARD_PASSWORD=" MARK "-proxy-password",
        "SLUICE_REQUIREPASS=" MARK "-clients", "SLUICE_ADMIN_TOKEN=" MARK "-admin", NULL};
    static const char *const arguments[] = {"--log-level", "debug", NULL};
    static const char *const migrator[] = {"SLUICE_ADMIN_TOKEN=" MARK "-admin", NULL};
    (void)state;
    folder = scratch_folder("links");
    (void)snprintf(etcd_url, sizeof(etcd_url), "etcds:127.0.0.1:1");
    make_certificates();
    write_users();
    start_etcd();
    set("SLUICE_SHARD_USER", mem_strdup("sluice-migrator"));
    set("SLUICE_SHARD_PASSWORD", mem_strdup(MARK "-migrator-password"));
    set("SLUICE_SENTINEL_PASSWORD", mem_strdup(MARK "-sentinels"));
    const char *redis[] = {"--aclfile", users, NULL};
    cluster = cluster_start(&(const struct cluster_options){.shards = SHARDS,
                                                            .has_migrator = true,
                                                            .has_tls = true,
                                                            .certificates = folder,
                                                            .store = etcd_url,
                                                            .redis_options = redis,
                                                            .proxy_arguments = arguments,
                                                            .proxy_environment = proxy,
                                                            .migrator_environment = migrator});
    client = client_connect(cluster_proxy_port(cluster, 0));
    expect(client, "AUTH " MARK "-clients", "+OK");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    client_close(client);
    cluster_stop(cluster);
    etcd_cluster_stop(etcd);
    process_stop_all();
    for (unsigned i = 0; i < 3; i++) {
        mem_free(etcd_files[i]);
    }
    mem_free(users);
    scratch_remove(folder);
    return 0;
}

/* --- all is well ------------------------------------------------------------------------------ */

static bool has_all(void)
{
    bool has = true;
    for (unsigned i = 0; has && i < KEYS; i++) {
        char set_words[32];
        (void)snprintf(set_words, sizeof(set_words), "SET k%u v%u", i, i);
        has = client_gets(client, set_words, "+OK");
    }
    return has;
}

/* The migrator, the proxy and sluicectl each over all of their links. */
static void move_slots(const char *words)
{
    char *id = migration_open_by_ctl(cluster, words);
    WAIT_UNTIL(migration_is_in(cluster, id, "switched"), LONG_MS);
    assert_true(has_all());
    cluster_tell(cluster, "rollback %s --wait", id);
    mem_free(id);
}

static void expect_nothing_denied(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct client *shard = client_connect(cluster_shard_port(cluster, i));
        expect(shard, "ACL LOG", "[]");
        client_close(shard);
    }
}

static void slots_move_over_secured_links_by_least_rights(void **state)
{
    (void)state;
    assert_true(has_all());
    move_slots("split s1 --to s2");
    expect_nothing_denied();
}

/* --- secrets ---------------------------------------------------------------------------------- */

/* A file of ours is left out when it is where a secret belongs. */
#define SHOWN_BY_PROCESSES "grep -alF -f mark /proc/[0-9]*/cmdline 2>/dev/null || true"
#define SHOWN_IN_LOGS      "grep -rlF -f mark --include=*.log . 2>/dev/null || true"

static void expect_unknown(const char *command)
{
    char *reply = client_ask(client, command);
    if (strstr(reply, MARK) != NULL) {
        fail_msg("%s tells a secret: %s", command, reply);
    }
    mem_free(reply);
}

/* With secrets that are wrong: what it says of them must not be what they are. */
static void start_in_vain(const char *variable, const char *why)
{
    char *program = program_path("sluice-proxy"), *log = mem_printf("%s/vain.log", folder);
    char *secret = mem_printf("%s=" MARK "-wrong", variable);
    char *ca = mem_printf("%s/ca.crt", folder), *cert = mem_printf("%s/node.crt", folder),
         *key = mem_printf("%s/node.key", folder);
    const char *argv[] = {program,
                          "--store",
                          etcd_url,
                          "--listen",
                          "127.0.0.1:0",
                          "--admin",
                          "127.0.0.1:0",
                          "--id",
                          "vain",
                          "--log-level",
                          "debug",
                          "--shard-tls-ca-cert-file",
                          ca,
                          "--shard-tls-cert-file",
                          cert,
                          "--shard-tls-key-file",
                          key,
                          NULL};
    const char *environment[] = {secret, NULL};
    struct process *proxy = process_start("vain", argv, environment, log);
    WAIT_UNTIL(log_says(proxy, why), LONG_MS);
    process_kill(proxy);
    (void)process_stop(proxy);
    mem_free(program);
    mem_free(log);
    mem_free(secret);
    mem_free(ca);
    mem_free(cert);
    mem_free(key);
}

static void no_secret_is_in_a_process_list_or_a_log_or_an_answer(void **state)
{
    static const char *const pages[] = {"metrics", "stats", "topology", "readyz"};
    static const char *const commands[] = {
        "INFO",     "INFO everything", "CONFIG GET *",       "CLIENT LIST",
        "ACL LIST", "ACL LOG",         "ACL GETUSER default"};
    static const char *const views[] = {"status", "proxies", "journal", "shard list", "health"};
    (void)state;
    struct error err;
    char *mark = mem_printf("%s/mark", folder), *token = mem_printf("%s/token", folder);
    assert_true(file_write(mark, SLICE(MARK), &err));
    assert_true(file_write(token, SLICE("Authorization: Bearer " MARK "-admin\n"), &err));
    expect_says("grep -lF -f mark users.acl", "users.acl\n"); /* it is found where it is */
    struct client *stranger = client_connect(cluster_proxy_port(cluster, 0));
    expect_prefix(stranger, "AUTH " MARK "-guessed", "-WRONGPASS");
    client_close(stranger);
    start_in_vain("SLUICE_SHARD_PASSWORD", "warn.*does not let this proxy in.*WRONGPASS");
    start_in_vain("SLUICE_STORE_PASSWORD", "authentication failed");
    expect_says(SHOWN_BY_PROCESSES, "");
    expect_says(SHOWN_IN_LOGS, "");
    char *logs = mem_printf("cd '%s'; grep -rlF -f '%s' --include=*.log . || true",
                            cluster_folder(cluster), mark);
    expect_says(logs, "");
    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        char *line = mem_printf("curl -sSf --max-time 30 -H @token http://127.0.0.1:$A/%s >page && "
                                "grep -cF -f mark page",
                                pages[i]);
        expect_says(line, "0\n");
        mem_free(line);
    }
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        expect_unknown(commands[i]);
    }
    for (unsigned i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        struct output output = cluster_ctl(cluster, views[i]);
        assert_null(strstr(output.out, MARK));
        assert_null(strstr(output.err, MARK));
        output_free(&output);
    }
    mem_free(logs);
    mem_free(mark);
    mem_free(token);
}

/* --- certificates ----------------------------------------------------------------------------- */

static void shard_shows(unsigned shard, const char *name)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, shard));
    char *words =
        mem_printf("CONFIG SET tls-ca-cert-file %s/all.crt tls-cert-file %s/%s.crt tls-key-file "
                   "%s/%s.key",
                   folder, folder, name, folder, name);
    expect(direct, words, "+OK");
    mem_free(words);
    client_close(direct);
}

static void lose_connections(unsigned shard)
{
    struct client *direct = client_connect(cluster_shard_port(cluster, shard));
    expect_prefix(direct, "CLIENT KILL TYPE normal", ":");
    client_close(direct);
}

/* Of the proxy to that shard: the ids, in their order. */
static char *connections(unsigned shard)
{
    struct buffer ids;
    buffer_init(&ids, SIZE_MAX);
    struct client *direct = client_connect(cluster_shard_port(cluster, shard));
    char *list = client_ask(direct, "CLIENT LIST");
    for (const char *at = list; (at = strstr(at, "id=")) != NULL; at++) {
        const char *end = strchr(at, '\n');
        const char *name = strstr(at, " name=sluice:p1:");
        if (name != NULL && end != NULL && name < end) {
            buffer_printf(&ids, "%.*s ", (int)strcspn(at, " "), at);
        }
    }
    buffer_add(&ids, "", 1);
    char *text = mem_strdup(buffer_slice(&ids).data);
    buffer_fini(&ids);
    mem_free(list);
    client_close(direct);
    return text;
}

static void restart_etcd_with(const char *name)
{
    char *line = mem_printf("cp %s.crt etcd.crt && cp %s.key etcd.key", name, name);
    tell(line);
    process_kill(etcd_cluster_member(etcd, 0));
    etcd_cluster_restart(etcd, 0);
    mem_free(line);
}

static bool ctl_succeeds(const char *words)
{
    struct output output = cluster_ctl(cluster, words);
    bool is_good = output.code == 0;
    output_free(&output);
    return is_good;
}

/* From one authority to another, as when the old one runs out: shards, etcd, and all that we show
 * and believe. */
static void another_authority_is_taken_on_all_links_and_no_connection_is_lost(void **state)
{
    (void)state;
    char *before = connections(1);
    assert_true(strlen(before) > 0);
    shard_shows(0, "shard");
    shard_shows(1, "shard");
    tell("cp next.crt ca.crt");
    certificates_issue(folder, "node", "next", CERTIFICATE_LOCAL, 2);
    certificates_issue_nameless(folder, "store", "next");
    lose_connections(0); /* only now does the proxy look at the new one */
    WAIT_UNTIL(log_says(cluster_proxy(cluster, 0), "is not trusted"), LONG_MS);
    assert_false(has_all());
    process_signal(cluster_proxy(cluster, 0), SIGHUP);
    process_signal(cluster_migrator(cluster), SIGHUP);
    WAIT_UNTIL(has_all(), LONG_MS);
    char *after = connections(1);
    assert_string_equal(after, before);
    restart_etcd_with("shard");
    WAIT_UNTIL(ctl_succeeds("status"), LONG_MS);
    move_slots("split s2 --to s1");
    mem_free(before);
    mem_free(after);
}

static bool ctl_says(const char *words, const char *text)
{
    struct output output = cluster_ctl(cluster, words);
    bool is_said = strstr(output.out, text) != NULL || strstr(output.err, text) != NULL;
    output_free(&output);
    return is_said;
}

static bool is_not_well(uint16_t port, const char *text)
{
    char *line = mem_printf("curl -sS --max-time 30 -H @token http://127.0.0.1:%u/readyz", port);
    struct output output = sh(line);
    bool is_said = strstr(output.out, text) != NULL;
    output_free(&output);
    mem_free(line);
    return is_said;
}

/* A good certificate, signed by whom we trust, of somebody else. */
static void another_host_s_certificate_is_refused_on_all_links(void **state)
{
    (void)state;
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    shard_shows(0, "other");
    lose_connections(0);
    WAIT_UNTIL(log_says(cluster_proxy(cluster, 0), "is not for '127.0.0.1'"), LONG_MS);
    assert_false(has_all());
    assert_true(ctl_says("status", "is not for \"127.0.0.1\""));
    WAIT_UNTIL(log_says(cluster_migrator(cluster), "is not for '127.0.0.1'"), LONG_MS);
    shard_shows(0, "shard");
    WAIT_UNTIL(has_all(), LONG_MS);

    restart_etcd_with("other");
    WAIT_UNTIL(ctl_says("status", "subject name"), LONG_MS);
    WAIT_UNTIL(is_not_well(cluster_migrator_admin_port(cluster), "the store does not answer"),
               LONG_MS);
    WAIT_UNTIL(is_not_well(cluster_proxy_admin_port(cluster, 0), "the store does not answer"),
               LONG_MS);
    assert_true(has_all());
    restart_etcd_with("shard");
    WAIT_UNTIL(ctl_succeeds("status"), LONG_MS);
    cluster_tell(cluster, "abort %s --wait", id);
    mem_free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_move_over_secured_links_by_least_rights),
        cmocka_unit_test(no_secret_is_in_a_process_list_or_a_log_or_an_answer),
        cmocka_unit_test(another_authority_is_taken_on_all_links_and_no_connection_is_lost),
        cmocka_unit_test(another_host_s_certificate_is_refused_on_all_links),
    };
    return cmocka_run_group_tests_name("links", tests, start, stop);
}
