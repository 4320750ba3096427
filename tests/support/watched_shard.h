/* A shard of two or three redis-servers that Sentinels watch: a primary and its replicas, one of
 * which takes its place whenever it dies. Main thread. */
#ifndef TESTS_SUPPORT_WATCHED_SHARD_H
#define TESTS_SUPPORT_WATCHED_SHARD_H

#include "tests/support/redis.h"
#include "tests/support/sentinels.h"

#define WATCHED_SERVERS_MAX 3

struct watched_shard {
    const char *name;
    struct sentinel_group *sentinels;
    struct redis_server *servers[WATCHED_SERVERS_MAX];
    unsigned nservers;
    unsigned primary; /* as the test believes */
    unsigned former;  /* the one that died */
};

/* A primary and one replica. */
void watched_shard_start(struct watched_shard *shard, struct sentinel_group *sentinels,
                         const char *name);
/* With so many replicas. */
void watched_shard_start_with(struct watched_shard *shard, struct sentinel_group *sentinels,
                              const char *name, unsigned nreplicas);
void watched_shard_stop(struct watched_shard *shard);
uint16_t watched_shard_primary(const struct watched_shard *shard); /* port */
/* The port of the one replica; of several, of one of them. */
uint16_t watched_shard_replica(const struct watched_shard *shard);

/* Waits until that replica has all that the primary has now: nothing of it can be lost. */
void watched_shard_settle(const struct watched_shard *shard);
/* SIGKILL to the primary, and waits until the Sentinels name a replica. They call no other primary
 * dead meanwhile, however slow the machine is. All of them must run. */
void watched_shard_fail_over(struct watched_shard *shard);
/* The two halves of that. */
void watched_shard_kill_primary(struct watched_shard *shard);
void watched_shard_await_failover(struct watched_shard *shard);
/* The server that died comes back, and believes to be a primary still. */
void watched_shard_return(struct watched_shard *shard);
/* What Sentinels tell it some time later. Waits until it has followed, and they know. */
void watched_shard_follow(struct watched_shard *shard);

#endif
