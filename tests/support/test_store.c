#include "tests/support/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/topology/migration_state.h"
#include "tests/support/scratch.h"

#define SHARDS_MAX 3

struct store *test_store_again(const struct test_store *test)
{
    struct error err = {{0}};
    struct store *store = store_open(test->url, &err);
    if (store == NULL) {
        fail_msg("%s", err.text);
    }
    return store;
}

void test_store_init(struct test_store *test)
{
    test->folder = scratch_folder("store");
    test->url = mem_printf("file:%s", test->folder);
    test->store = test_store_again(test);
}

void test_store_fini(struct test_store *test)
{
    store_close(test->store);
    scratch_remove(test->folder);
    mem_free(test->url);
}

struct topology *test_store_read(const struct test_store *test)
{
    struct error err = {{0}};
    struct topology *topology = store_read(test->store, NULL, &err);
    if (topology == NULL) {
        fail_msg("%s", err.text);
    }
    return topology;
}

uint64_t test_store_epoch(const struct test_store *test)
{
    uint64_t epoch = 0;
    struct error err = {{0}};
    if (!store_epoch(test->store, &epoch, &err)) {
        fail_msg("%s", err.text);
    }
    return epoch;
}

void test_store_write(const struct test_store *test, struct topology *next)
{
    struct error err = {{0}};
    if (store_cas(test->store, next, &err) != CAS_DONE) {
        fail_msg("%s", err.text);
    }
    topology_free(next);
}

void test_store_found(const struct test_store *test, const struct topology_shard *shards,
                      unsigned count)
{
    struct error err = {{0}};
    struct init_options options = {.shards = shards, .nshards = count, .nslots = 16};
    if (!cluster_init(test->store, &options, &err)) {
        fail_msg("%s", err.text);
    }
}

void test_store_found_on(const struct test_store *test, struct redis_server *const *servers,
                         unsigned count, bool serve_empty)
{
    struct topology_shard shards[SHARDS_MAX];
    assert_true(count <= SHARDS_MAX);
    for (unsigned i = 0; i < count; i++) {
        shards[i] = (struct topology_shard){.host = "127.0.0.1",
                                            .port = redis_server_port(servers[i]),
                                            .weight = 100,
                                            .serve_empty = serve_empty};
        (void)snprintf(shards[i].name, sizeof(shards[i].name), "s%u", i + 1);
    }
    test_store_found(test, shards, count);
}

uint64_t test_store_open_migration(const struct test_store *test, unsigned from, unsigned to)
{
    struct migration_options options;
    struct topology *present = test_store_read(test);
    struct topology *next = topology_next(present);
    struct slot_set slots;
    unsigned slot = 0;
    while (next->owner[slot] != from) {
        slot++;
        assert_true(slot < next->nslots);
    }
    migration_options_default(&options);
    slot_set_init(&slots, next->nslots);
    slot_set_add(&slots, slot);
    assert_non_null(migration_open(next, from, to, &slots, &options, NULL));
    struct topology *dual = topology_next(next);
    migration_enter(dual, &dual->migrations[0], PHASE_DUAL_WRITE);
    uint64_t base = dual->migrations[0].base;
    test_store_write(test, next);
    test_store_write(test, dual);
    slot_set_fini(&slots);
    topology_free(present);
    return base;
}
