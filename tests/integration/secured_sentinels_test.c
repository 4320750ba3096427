/* Sentinels that speak TLS and want a password, of a shard that speaks TLS: all three programs ask
 * them. The failover is done by hand; tests/migration/sentinel_test.c has real ones. */
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
#include "lib/store/store.h"
#include "tests/support/certificates.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/sentinels.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS  60000
#define PASSWORD "Sentinels-Secret"
#define VARIABLE "SLUICE_SENTINEL_PASSWORD"

struct server {
    struct redis_server *redis;
    uint16_t tls_port;
};

static char *folder; /* certificates, and a file with the password */
static char *password_file;
static struct server servers[3]; /* s1: its primary and its replica; s2 */
static struct sentinel_group *sentinels;

/* --- the servers ----------------------------------------------------------------------------- */

static void start_server(struct server *server)
{
    char port[8];
    server->tls_port = scratch_port();
    (void)snprintf(port, sizeof(port), "%u", server->tls_port);
    char *cert = mem_printf("%s/node.crt", folder);
    char *key = mem_printf("%s/node.key", folder);
    char *ca = mem_printf("%s/ca.crt", folder);
    server->redis = redis_server_start((const char *const[]){
        "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file",
        ca, "--tls-replication", "yes", "--repl-diskless-sync-delay", "0", NULL});
    mem_free(cert);
    mem_free(key);
    mem_free(ca);
}

static bool info_has(const struct server *server, const char *text)
{
    struct client *client = client_try_connect(redis_server_port(server->redis));
    char *info = client != NULL ? client_ask(client, "INFO replication") : mem_strdup("");
    bool has = strstr(info, text) != NULL;
    mem_free(info);
    client_close(client);
    return has;
}

static void tell(const struct server *server, const char *words)
{
    struct client *client = client_connect(redis_server_port(server->redis));
    expect(client, words, "+OK");
    client_close(client);
}

static void follow(const struct server *server, const struct server *primary)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", primary->tls_port);
    tell(server, words);
    WAIT_UNTIL(info_has(server, "master_link_status:up"), LONG_MS);
}

/* Redis loses what the replica had not received, and that is not what is tested. */
static void wait_for_replica(const struct server *primary)
{
    struct client *client = client_connect(redis_server_port(primary->redis));
    expect(client, "PING", "+PONG"); /* all before it is waited for */
    expect(client, "WAIT 1 60000", ":1");
    client_close(client);
}

/* As Sentinels would. */
static void fail_over(const struct server *from, const struct server *to)
{
    wait_for_replica(from);
    redis_server_kill(from->redis);
    tell(to, "REPLICAOF NO ONE");
    for (unsigned i = 0; i < SENTINELS_GROUP_MAX; i++) {
        sentinel_group_mislead(sentinels, i, "m1", to->tls_port);
    }
}

/* --- the cluster ----------------------------------------------------------------------------- */

static int start(void **state)
{
    (void)state;
    char place[256], init[400];
    struct error err;
    folder = scratch_folder("secured");
    certificates_make(folder);
    password_file = mem_printf("%s/password", folder);
    assert_true(file_write(password_file, SLICE(PASSWORD "\n"), &err));
    for (unsigned i = 0; i < 3; i++) {
        start_server(&servers[i]);
    }
    follow(&servers[1], &servers[0]);
    sentinels = sentinel_group_start_secured(SENTINELS_GROUP_MAX, folder, PASSWORD);
    sentinel_group_monitor(sentinels, "m1", servers[0].tls_port);
    sentinel_group_place(sentinels, "m1", place, sizeof(place));
    (void)snprintf(init, sizeof(init), "s1=tls:%s s2=tls:127.0.0.1:%u", place, servers[2].tls_port);
    /* The migrator's and sluicectl's; the proxy's is in the file, which goes before. */
    static const char *const environment[] = {VARIABLE "=wrong", NULL};
    const char *const arguments[] = {"--sentinel-user", "default", "--sentinel-password-file",
                                     password_file, NULL};
    assert_int_equal(setenv(VARIABLE, PASSWORD, 1), 0);
    cluster = cluster_start(&(const struct cluster_options){.init = init,
                                                            .has_migrator = true,
                                                            .has_tls = true,
                                                            .certificates = folder,
                                                            .proxy_arguments = arguments,
                                                            .proxy_environment = environment});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    sentinel_group_stop(sentinels);
    for (unsigned i = 0; i < 3; i++) {
        redis_server_kill(servers[i].redis);
        redis_server_stop(servers[i].redis);
    }
    process_stop_all();
    mem_free(password_file);
    scratch_remove(folder);
    return 0;
}

/* By address, and by the replication id that its replica will be known by. */
static bool is_named(const struct server *server)
{
    struct topology *topology = cluster_topology(cluster);
    const struct topology_shard *shard = &topology->shards[0];
    char *line = mem_printf("master_replid:%s", shard->identity.replid);
    bool is = shard->is_tls && shard->port == server->tls_port && info_has(server, line);
    mem_free(line);
    topology_free(topology);
    return is;
}

/* Some key of s1 and some of s2. */
static bool all_is_served(void)
{
    struct client *client = client_try_connect(cluster_proxy_port(cluster, 0));
    bool is_served = client != NULL;
    for (unsigned i = 0; is_served && i < 20; i++) {
        char set[32];
        (void)snprintf(set, sizeof(set), "SET key:%u 1", i);
        is_served = client_gets(client, set, "+OK");
    }
    client_close(client);
    return is_served;
}

/* --- cases ----------------------------------------------------------------------------------- */

static void a_proxy_follows_them(void **state)
{
    (void)state;
    WAIT_UNTIL(all_is_served(), LONG_MS);
    fail_over(&servers[0], &servers[1]);
    WAIT_UNTIL(is_named(&servers[1]) && all_is_served(), LONG_MS);
}

/* Nobody else looks, while the proxy is stopped. */
static void the_migrator_asks_them(void **state)
{
    (void)state;
    redis_server_restart(servers[0].redis, false);
    follow(&servers[0], &servers[1]);
    WAIT_UNTIL(is_named(&servers[1]), LONG_MS);
    cluster_tell(cluster, "split s1 --to s2 --manual-switch");
    process_signal(cluster_proxy(cluster, 0), SIGSTOP);
    fail_over(&servers[1], &servers[0]);
    WAIT_UNTIL(is_named(&servers[0]), LONG_MS);
    process_signal(cluster_proxy(cluster, 0), SIGCONT);
    WAIT_UNTIL(all_is_served(), LONG_MS);
}

static void expect_ctl(const char *words, int code, const char *said)
{
    struct output output = cluster_ctl(cluster, words);
    const char *text = code == 0 ? output.out : output.err;
    if (output.code != code || strstr(text, said) == NULL) {
        fail_msg("sluicectl %s: code %d, \"%s\" is not in %s%s", words, output.code, said,
                 output.out, output.err);
    }
    output_free(&output);
}

static void sluicectl_changes_the_list(void **state)
{
    (void)state;
    char place[256], same[300], fewer[300];
    sentinel_group_place(sentinels, "m1", place, sizeof(place));
    (void)snprintf(same, sizeof(same), "shard set s1=tls:%s", place);
    *strrchr(place, ',') = '\0';
    (void)snprintf(fewer, sizeof(fewer), "shard set s1=tls:%s", place);
    assert_int_equal(setenv(VARIABLE, "wrong", 1), 0);
    expect_ctl(fewer, 1, "WRONGPASS");
    assert_int_equal(unsetenv(VARIABLE), 0);
    expect_ctl(fewer, 1, "NOAUTH");
    assert_int_equal(setenv(VARIABLE, PASSWORD, 1), 0);
    expect_ctl(same, 0, "s1 is so already");
    expect_ctl(fewer, 0, "s1 set");
    struct topology *topology = cluster_topology(cluster);
    assert_string_equal(topology->shards[0].sentinels, place + strlen("sentinel://"));
    topology_free(topology);
    WAIT_UNTIL(all_is_served(), LONG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_follows_them),
        cmocka_unit_test(the_migrator_asks_them),
        cmocka_unit_test(sluicectl_changes_the_list),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
