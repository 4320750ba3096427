/* A shard of two redis-servers that Sentinels watch: a primary and its replica, which change places
 * whenever the primary dies. Main thread. */
#ifndef TESTS_SUPPORT_WATCHED_SHARD_H
#define TESTS_SUPPORT_WATCHED_SHARD_H

#include "tests/support/redis.h"
#include "tests/support/sentinels.h"

struct watched_shard {
    const char *name;
    struct sentinel_group *sentinels;
    struct redis_server *servers[2];
    unsigned primary; /* as the test believes */
};

void watched_shard_start(struct watched_shard *shard, struct sentinel_group *sentinels,
                         const char *name);
void watched_shard_stop(struct watched_shard *shard);
uint16_t watched_shard_primary(const struct watched_shard *shard); /* port */
uint16_t watched_shard_replica(const struct watched_shard *shard); /* port */

/* Waits until the replica has all that the primary has now: nothing of it can be lost. */
void watched_shard_settle(const struct watched_shard *shard);
/* SIGKILL to the primary, and waits until the Sentinels name the replica. They call no other
 * primary dead, so that nothing is lost which the test does not know of. All of them must run. */
void watched_shard_fail_over(struct watched_shard *shard);
/* The server that died comes back, and believes to be a primary still. */
void watched_shard_return(struct watched_shard *shard);
/* What Sentinels tell it some time later. Waits until it has followed, and they know. */
void watched_shard_follow(struct watched_shard *shard);

#endif
