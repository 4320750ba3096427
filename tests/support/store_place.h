/* A new file store for each test of lib/store, and the few calls that the tests of every store
 * make. Fails the test when it cannot go on. Main thread, and processes forked from it. */
#ifndef TESTS_SUPPORT_STORE_PLACE_H
#define TESTS_SUPPORT_STORE_PLACE_H

#include "lib/store/store.h"

struct store_place {
    char *folder; /* its "store" is made by store_create; null: not in a folder */
    char url[512];
};

/* Set-up and teardown for cmocka; *state is the place. */
int store_place_set_up(void **state);
int store_place_tear_down(void **state);

struct store *open_store(const char *url) __attribute__((warn_unused_result));
/* With a topology of epoch 1. */
struct store *create_store(const char *url) __attribute__((warn_unused_result));
/* A topology of that epoch, different for each writer: by the weight of its first shard,
 * 1 + writer. */
struct topology *of_epoch(uint64_t epoch, unsigned writer) __attribute__((warn_unused_result));
/* Writes it. What is not done says why. */
enum cas_result cas(struct store *store, uint64_t epoch, unsigned writer);
uint64_t epoch_of(struct store *store);

#endif
