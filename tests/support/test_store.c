#include "tests/support/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/shard_server.h"

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
    (void)snprintf(test->folder, sizeof(test->folder), "/tmp/sluice-store-XXXXXX");
    assert_non_null(mkdtemp(test->folder));
    (void)snprintf(test->url, sizeof(test->url), "file:%s", test->folder);
    test->store = test_store_again(test);
}

void test_store_fini(struct test_store *test)
{
    store_close(test->store);
    shard_server_remove_folder(test->folder);
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
