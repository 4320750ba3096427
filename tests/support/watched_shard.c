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

void watched_shard_start(struct watched_shard *shard, struct sentinel_group *sentinels,
                         const char *name)
{
    *shard = (struct watched_shard){.name = name, .sentinels = sentinels};
    shard->servers[0] = start_server(0);
    shard->servers[1] = start_server(redis_server_port(shard->servers[0]));
    wait_for_link(watched_shard_replica(shard));
    sentinel_group_monitor(sentinels, name, watched_shard_primary(shard));
    sentinel_group_wait(sentinels, name, watched_shard_replica(shard));
    sentinel_group_be_patient(sentinels, name, true);
}

void watched_shard_stop(struct watched_shard *shard)
{
    redis_server_stop(shard->servers[0]);
    redis_server_stop(shard->servers[1]);
}

uint16_t watched_shard_primary(const struct watched_shard *shard)
{
    return redis_server_port(shard->servers[shard->primary]);
}

uint16_t watched_shard_replica(const struct watched_shard *shard)
{
    return redis_server_port(shard->servers[1 - shard->primary]);
}

void watched_shard_settle(const struct watched_shard *shard)
{
    uint64_t offset = replication(watched_shard_primary(shard), "master_repl_offset:", NULL);
    WAIT_UNTIL(replication(watched_shard_replica(shard), "master_repl_offset:", NULL) >= offset,
               LONG_MS);
}

void watched_shard_fail_over(struct watched_shard *shard)
{
    redis_server_kill(shard->servers[shard->primary]);
    sentinel_group_be_patient(shard->sentinels, shard->name, false);
    WAIT_UNTIL(sentinel_group_primary(shard->sentinels, shard->name) ==
                   watched_shard_replica(shard),
               LONG_MS);
    shard->primary = 1 - shard->primary;
    sentinel_group_be_patient(shard->sentinels, shard->name, true);
}

void watched_shard_return(struct watched_shard *shard)
{
    redis_server_restart(shard->servers[1 - shard->primary], false);
}

void watched_shard_follow(struct watched_shard *shard)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", watched_shard_primary(shard));
    struct client *client = client_connect(watched_shard_replica(shard));
    expect_prefix(client, words, "+OK");
    client_close(client);
    wait_for_link(watched_shard_replica(shard));
    sentinel_group_wait(shard->sentinels, shard->name, watched_shard_replica(shard));
}
