#include "tests/support/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/scratch.h"

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
