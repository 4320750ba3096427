/* What the tests of one program have in common: a cluster or a duel, made by the program's own
 * set-up, and cmocka's teardowns for them. Main thread. */
#ifndef TESTS_SUPPORT_STAGE_H
#define TESTS_SUPPORT_STAGE_H

#include "tests/support/cluster.h"
#include "tests/support/duel.h"
#include "tests/support/redis.h"

extern struct cluster *cluster;
extern struct duel *duel;
extern struct redis_server *plain_redis;

/* A set-up: a cluster of two shards, and a plain Redis to compare it with. */
int stage_set_beside_plain(void **state);

/* Ends them, if there are any, and all that still runs. */
int stage_clear(void **state);
/* Of a test: the duel's clients disconnect. */
int stage_close_clients(void **state);

#endif
