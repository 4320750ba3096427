/* The one redis-server of a test program about the scripts of lib/shard, and a link to it: set-ups
 * for cmocka. Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_LONE_SHARD_H
#define TESTS_SUPPORT_LONE_SHARD_H

#include "tests/support/ask.h"

struct lone_shard {
    struct redis_server *server;
    struct shard_link *link;
};

extern struct lone_shard lone;

/* Of a group of tests. In memory: a restart loses all. */
int lone_shard_start(void **state);
int lone_shard_start_with_aof(void **state);
int lone_shard_stop(void **state);

/* Of a test: an empty shard with the fence of cluster c, shard s1, this process, epoch 5. */
int lone_shard_fence(void **state);
/* Another process at the same place, and a link to it. */
int lone_shard_restart(void **state);

#endif
