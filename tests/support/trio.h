/* Three redis-servers for the unit tests of lib/cluster: a shard's primary, its replica, and one
 * that is neither. Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_TRIO_H
#define TESTS_SUPPORT_TRIO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/shard/shard.h"
#include "tests/support/redis.h"
#include "tests/support/test_store.h"

#define TRIO_SIZE 3

struct trio {
    struct redis_server *servers[TRIO_SIZE];
};

/* 1 follows 0. */
void trio_start(struct trio *trio);
void trio_stop(struct trio *trio);
uint16_t trio_port(const struct trio *trio, unsigned i);
struct topology_shard trio_place(const struct trio *trio, unsigned i);
struct shard_link *trio_open(const struct trio *trio, unsigned i)
    __attribute__((warn_unused_result));
/* A new cluster whose only shard, "s1", is server 0; its replica has the fence, too. */
void trio_found(const struct trio *trio, const struct test_store *test);
/* A command that answers +OK. */
void trio_tell(const struct trio *trio, unsigned i, const char *command);
bool trio_has_key(const struct trio *trio, unsigned i, const char *key);
/* Makes a replica of it, and waits until it has followed. */
void trio_follow(const struct trio *trio, unsigned i, unsigned of);
/* It lets no proxy in: its fence names another process, and is closed. */
void trio_expect_closed(const struct trio *trio, unsigned i);
/* The only shard of the topology is this server, and its fence says so. */
void trio_expect_named(const struct trio *trio, const struct test_store *test, unsigned i);

#endif
