#include "tests/support/etcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define START_MS    60000
#define URL_MAX     256
#define OPTIONS_MAX 40

struct member {
    uint16_t client_port, peer_port; /* where it listens */
    uint16_t seen_client_port, seen_peer_port;
    struct forwarder *client_wire, *peer_wire;
    char *folder;
    struct process *process;
};

struct etcd_cluster {
    unsigned nmembers;
    struct etcd_options options;
    struct member members[ETCD_MEMBERS_MAX];
};

static void place_member(struct member *member, bool has_wires)
{
    member->folder = scratch_folder("etcd");
    member->client_port = member->seen_client_port = scratch_port();
    member->peer_port = member->seen_peer_port = scratch_port();
    if (has_wires) {
        member->client_wire = forwarder_start(member->client_port);
        member->peer_wire = forwarder_start(member->peer_port);
        member->seen_client_port = forwarder_port(member->client_wire);
        member->seen_peer_port = forwarder_port(member->peer_wire);
    }
}

static char *peer_list(const struct etcd_cluster *cluster)
{
    char text[ETCD_MEMBERS_MAX * 64] = "";
    for (unsigned i = 0; i < cluster->nmembers; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%sm%u=http://127.0.0.1:%u",
                       i > 0 ? "," : "", i, cluster->members[i].seen_peer_port);
    }
    return mem_strdup(text);
}

struct words {
    const char *argv[OPTIONS_MAX];
    char *owned[OPTIONS_MAX];
    unsigned count;
};

static void add(struct words *words, const char *option, char *value)
{
    words->owned[words->count] = value;
    words->argv[words->count++] = option;
    words->argv[words->count++] = value;
}

static void add_tls(struct words *words, const struct etcd_options *options)
{
    if (options->ca != NULL) {
        add(words, "--trusted-ca-file", mem_strdup(options->ca));
        add(words, "--cert-file", mem_strdup(options->cert));
        add(words, "--key-file", mem_strdup(options->key));
        words->argv[words->count++] = "--client-cert-auth";
    }
}

static void launch(struct etcd_cluster *cluster, unsigned index)
{
    struct member *member = &cluster->members[index];
    const char *scheme = cluster->options.ca != NULL ? "https" : "http";
    struct words words = {.argv = {"etcd"}, .count = 1};
    add(&words, "--name", mem_printf("m%u", index));
    add(&words, "--data-dir", mem_printf("%s/data", member->folder));
    add(&words, "--listen-client-urls",
        mem_printf("%s://127.0.0.1:%u", scheme, member->client_port));
    add(&words, "--advertise-client-urls",
        mem_printf("%s://127.0.0.1:%u", scheme, member->seen_client_port));
    add(&words, "--listen-peer-urls", mem_printf("http://127.0.0.1:%u", member->peer_port));
    add(&words, "--initial-advertise-peer-urls",
        mem_printf("http://127.0.0.1:%u", member->seen_peer_port));
    add(&words, "--initial-cluster", peer_list(cluster));
    add(&words, "--bcrypt-cost", mem_strdup("4")); /* else a busy machine takes a second for it */
    add_tls(&words, &cluster->options);
    char *log = mem_printf("%s/log", member->folder);
    member->process = process_start("etcd", words.argv, NULL, log);
    mem_free(log);
    for (unsigned i = 0; i < words.count; i++) {
        mem_free(words.owned[i]);
    }
}

struct etcd_cluster *etcd_cluster_start(unsigned members, const struct etcd_options *options)
{
    struct etcd_cluster *cluster = mem_zalloc(sizeof(*cluster));
    assert_in_range(members, 1, ETCD_MEMBERS_MAX);
    cluster->nmembers = members;
    cluster->options = *options;
    for (unsigned i = 0; i < members; i++) {
        place_member(&cluster->members[i], options->has_wires);
    }
    for (unsigned i = 0; i < members; i++) {
        launch(cluster, i);
    }
    etcd_cluster_wait(cluster);
    return cluster;
}

void etcd_cluster_stop(struct etcd_cluster *cluster)
{
    for (unsigned i = 0; cluster != NULL && i < cluster->nmembers; i++) {
        struct member *member = &cluster->members[i];
        process_kill(member->process);
        (void)process_stop(member->process);
        forwarder_stop(member->client_wire);
        forwarder_stop(member->peer_wire);
        scratch_remove(member->folder);
    }
    mem_free(cluster);
}

void etcd_cluster_url(const struct etcd_cluster *cluster, unsigned first, const char *prefix,
                      char *url, size_t size)
{
    (void)snprintf(url, size, "%s:", cluster->options.ca != NULL ? "etcds" : "etcd");
    for (unsigned i = 0; i < cluster->nmembers; i++) {
        size_t used = strlen(url);
        (void)snprintf(url + used, size - used, "%s127.0.0.1:%u", i > 0 ? "," : "",
                       cluster->members[(first + i) % cluster->nmembers].seen_client_port);
    }
    size_t used = strlen(url);
    (void)snprintf(url + used, size - used, "/%s", prefix);
}

struct process *etcd_cluster_member(struct etcd_cluster *cluster, unsigned member)
{
    return cluster->members[member].process;
}

void etcd_cluster_restart(struct etcd_cluster *cluster, unsigned member)
{
    (void)process_stop(cluster->members[member].process);
    launch(cluster, member);
}

void etcd_cluster_cut(struct etcd_cluster *cluster, unsigned member, bool is_cut)
{
    const struct weather weather = {.cuts_requests = is_cut, .cuts_replies = is_cut};
    forwarder_set(cluster->members[member].client_wire, NULL, &weather);
    forwarder_set(cluster->members[member].peer_wire, NULL, &weather);
}

void etcd_cluster_weather(struct etcd_cluster *cluster, unsigned member,
                          const struct weather *weather)
{
    forwarder_set(cluster->members[member].client_wire, NULL, weather);
}

static bool answers(const struct etcd_cluster *cluster, const struct member *member)
{
    char url[URL_MAX];
    struct store_member *found = NULL;
    unsigned count = 0;
    (void)snprintf(url, sizeof(url), "%s:127.0.0.1:%u/probe",
                   cluster->options.ca != NULL ? "etcds" : "etcd", member->seen_client_port);
    struct store *store = store_open(url, NULL);
    bool ok = store != NULL && store_members(store, &found, &count, NULL);
    mem_free(found);
    store_close(store);
    return ok;
}

void etcd_cluster_wait(struct etcd_cluster *cluster)
{
    uint64_t deadline_us = deadline_after_ms(START_MS);
    for (unsigned i = 0; i < cluster->nmembers; i++) {
        while (!answers(cluster, &cluster->members[i])) {
            if (deadline_is_over(deadline_us)) {
                process_print_log(cluster->members[i].process, 10);
                fail_msg("etcd does not start; is it installed?");
            }
            clock_sleep_ms(WAIT_POLL_MS * 10);
        }
    }
}
