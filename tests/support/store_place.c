#include "tests/support/store_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/sample_topology.h"
#include "tests/support/scratch.h"

int store_place_set_up(void **state)
{
    struct store_place *place = mem_zalloc(sizeof(*place));
    place->folder = scratch_folder("store");
    (void)snprintf(place->url, sizeof(place->url), "file:%s/store", place->folder);
    *state = place;
    return 0;
}

int store_place_tear_down(void **state)
{
    struct store_place *place = *state;
    scratch_remove(place->folder);
    mem_free(place);
    return 0;
}

struct store *open_store(const char *url)
{
    struct error err = {""};
    struct store *store = store_open(url, &err);
    if (store == NULL) {
        fail_msg("%s", err.text);
    }
    return store;
}

struct store *create_store(const char *url)
{
    struct store *store = open_store(url);
    struct topology *topology = sample_topology(2, 64);
    struct error err = {""};
    assert_int_equal(store_create(store, topology, &err), CAS_DONE);
    topology_free(topology);
    return store;
}

struct topology *of_epoch(uint64_t epoch, unsigned writer)
{
    struct topology *topology = sample_topology(2, 64);
    topology->epoch = epoch;
    topology->shards[0].weight = 1 + writer;
    return topology;
}

enum cas_result cas(struct store *store, uint64_t epoch, unsigned writer)
{
    struct topology *next = of_epoch(epoch, writer);
    struct error err = {""};
    enum cas_result result = store_cas(store, next, &err);
    assert_int_equal(result == CAS_DONE, err.text[0] == '\0');
    topology_free(next);
    return result;
}

uint64_t epoch_of(struct store *store)
{
    uint64_t epoch = 0;
    struct error err = {""};
    if (!store_epoch(store, &epoch, &err)) {
        fail_msg("%s", err.text);
    }
    return epoch;
}
