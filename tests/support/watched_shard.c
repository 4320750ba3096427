#include "tests/support/watched_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/wait.h"

#define LONG_MS 60000

static struct redis_server *start_server(uint16_t of)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", of);
    const char *const options[] = {
        "--repl-diskless-sync-delay", "0", of != 0 ? "--replicaof" : NULL, "127.0.0.1", port, NULL};
    return redis_server_start(options);
}

/* The number behind a field of INFO replication; for words, whether it begins with `word`. */
static uint64_t replication(uint16_t port, const char *field, const char *word)
{
    struct client *client = client_connect(port);
    char *info = client_ask(client, "INFO replication");
    const char *found = strstr(info, field);
    const char *value = found != NULL ? found + strlen(field) : "";
    uint64_t number = word == NULL ? strtoull(value, NULL, 10)
                                   : (uint64_t)(strncmp(value, word, strlen(word)) == 0);
    mem_free(info);
    client_close(client);
    return number;
}

static void wait_for_link(uint16_t replica)
{
    WAIT_UNTIL(replication(replica, "master_link_status:", "up"), LONG_MS);
}

void watched_shard_start_with(struct watched_shard *shard, struct sentinel_group *sentinels,
                              const char *name, unsigned nreplicas)
{
    *shard = (struct watched_shard){.name = name, .sentinels = sentinels};
    shard->nservers = 1 + nreplicas;
    assert_in_range(shard->nservers, 2, WATCHED_SERVERS_MAX);
    shard->servers[0] = start_server(0);
    for (unsigned i = 1; i < shard->nservers; i++) {
        shard->servers[i] = start_server(watched_shard_primary(shard));
    }
    for (unsigned i = 1; i < shard->nservers; i++) {
        wait_for_link(redis_server_port(shard->servers[i]));
    }
    sentinel_group_monitor(sentinels, name, watched_shard_primary(shard));
    for (unsigned i = 1; i < shard->nservers; i++) {
        sentinel_group_wait(sentinels, name, redis_server_port(shard->servers[i]));
    }
    sentinel_group_be_patient(sentinels, name, true);
}

void watched_shard_start(struct watched_shard *shard, struct sentinel_group *sentinels,
                         const char *name)
{
    watched_shard_start_with(shard, sentinels, name, 1);
}

void watched_shard_stop(struct watched_shard *shard)
{
    for (unsigned i = 0; i < shard->nservers; i++) {
        redis_server_stop(shard->servers[i]);
    }
}

uint16_t watched_shard_primary(const struct watched_shard *shard)
{
    return redis_server_port(shard->servers[shard->primary]);
}

uint16_t watched_shard_replica(const struct watched_shard *shard)
{
    return redis_server_port(shard->servers[(shard->primary + 1) % shard->nservers]);
}

void watched_shard_settle(const struct watched_shard *shard)
{
    uint64_t offset = replication(watched_shard_primary(shard), "master_repl_offset:", NULL);
    WAIT_UNTIL(replication(watched_shard_replica(shard), "master_repl_offset:", NULL) >= offset,
               LONG_MS);
}

static unsigned server_at(const struct watched_shard *shard, uint16_t port)
{
    unsigned i = 0;
    while (i < shard->nservers && redis_server_port(shard->servers[i]) != port) {
        i++;
    }
    assert_in_range(i, 0, shard->nservers - 1);
    return i;
}

void watched_shard_kill_primary(struct watched_shard *shard)
{
    redis_server_kill(shard->servers[shard->primary]);
    sentinel_group_be_patient(shard->sentinels, shard->name, false);
}

void watched_shard_await_failover(struct watched_shard *shard)
{
    uint16_t port = 0;
    WAIT_UNTIL((port = sentinel_group_primary(shard->sentinels, shard->name)) !=
                   watched_shard_primary(shard),
               LONG_MS);
    sentinel_group_be_patient(shard->sentinels, shard->name, true);
    /* On a slow machine they may have called the new one dead before they were. */
    WAIT_UNTIL(sentinel_group_is_content(shard->sentinels, shard->name), LONG_MS);
    port = sentinel_group_primary(shard->sentinels, shard->name);
    shard->former = shard->primary;
    shard->primary = server_at(shard, port);
}

void watched_shard_fail_over(struct watched_shard *shard)
{
    watched_shard_kill_primary(shard);
    watched_shard_await_failover(shard);
}

void watched_shard_return(struct watched_shard *shard)
{
    redis_server_restart(shard->servers[shard->former], false);
}

void watched_shard_follow(struct watched_shard *shard)
{
    uint16_t former = redis_server_port(shard->servers[shard->former]);
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", watched_shard_primary(shard));
    struct client *client = client_connect(former);
    expect_prefix(client, words, "+OK");
    client_close(client);
    wait_for_link(former);
    sentinel_group_wait(shard->sentinels, shard->name, former);
}
