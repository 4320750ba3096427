/* A file store in a folder of its own, for the unit tests of lib/cluster. */
#ifndef TESTS_SUPPORT_TEST_STORE_H
#define TESTS_SUPPORT_TEST_STORE_H

#include "lib/store/store.h"
#include "tests/support/redis.h"

struct test_store {
    char *folder;
    char *url;
    struct store *store;
};

void test_store_init(struct test_store *test);
void test_store_fini(struct test_store *test); /* removes the folder */
/* Another handle on it, as another process would have. */
struct store *test_store_again(const struct test_store *test) __attribute__((warn_unused_result));
/* A new cluster of these shards, with 16 slots; fails the test when it is not made. */
void test_store_found(const struct test_store *test, const struct topology_shard *shards,
                      unsigned count);
/* The same, of one redis-server a shard: s1, s2, ... */
void test_store_found_on(const struct test_store *test, struct redis_server *const *servers,
                         unsigned count, bool serve_empty);
/* Opens a migration of the first slot of one shard to another, in dual-write. Returns its base. */
uint64_t test_store_open_migration(const struct test_store *test, unsigned from, unsigned to);
/* What stands now; fails the test when there is nothing. */
struct topology *test_store_read(const struct test_store *test) __attribute__((warn_unused_result));
uint64_t test_store_epoch(const struct test_store *test);
/* Compare-and-swap that must succeed. Consumes `next`. */
void test_store_write(const struct test_store *test, struct topology *next);

#endif
