#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/cluster/change.h"
#include "lib/store/store_internal.h"
#include "tests/support/test_store.h"

static struct test_store test;

static int start(void **state)
{
    (void)state;
    struct topology *topology = topology_new("0123456789abcdef0123456789abcdef", 16);
    struct topology_shard shard = {.name = "s1", .host = "127.0.0.1", .port = 1, .weight = 100};
    test_store_init(&test);
    (void)topology_add_shard(topology, &shard);
    assert_int_equal(store_create(test.store, topology, NULL), CAS_DONE);
    topology_free(topology);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_store_fini(&test);
    return 0;
}

/* A change that sets the weight of shard 0, with what a test wants to happen on the way. */
struct wish {
    uint32_t weight;
    unsigned calls;
    unsigned losses;         /* so many times somebody else is faster */
    uint64_t only_at_weight; /* a precondition; 0: none */
};

static void change_elsewhere(uint32_t weight)
{
    struct topology *present = test_store_read(&test);
    struct topology *next = topology_next(present);
    next->shards[0].weight = weight;
    test_store_write(&test, next);
    topology_free(present);
}

static enum change_verdict set_weight(struct topology *next, void *context, struct error *err)
{
    struct wish *wish = context;
    wish->calls++;
    if (wish->only_at_weight != 0 && next->shards[0].weight != wish->only_at_weight) {
        (void)error_set(err, "the weight is %u by now", next->shards[0].weight);
        return CHANGE_REFUSED;
    }
    if (next->shards[0].weight == wish->weight) {
        return CHANGE_NOTHING;
    }
    if (wish->calls <= wish->losses) {
        change_elsewhere(1000 + wish->calls);
    }
    next->shards[0].weight = wish->weight;
    return CHANGE_WRITE;
}

static uint32_t weight_now(void)
{
    struct topology *topology = test_store_read(&test);
    uint32_t weight = topology->shards[0].weight;
    topology_free(topology);
    return weight;
}

static void a_change_is_written_and_its_epoch_told(void **state)
{
    (void)state;
    uint64_t epoch = 0;
    struct wish wish = {.weight = 7};
    assert_true(cluster_change(test.store, set_weight, &wish, &epoch, NULL));
    assert_int_equal(epoch, 2);
    assert_int_equal(weight_now(), 7);
}

static void nothing_to_do_writes_nothing(void **state)
{
    (void)state;
    uint64_t epoch = 0;
    struct wish wish = {.weight = 100};
    assert_true(cluster_change(test.store, set_weight, &wish, &epoch, NULL));
    assert_int_equal(epoch, 1);
    assert_int_equal(test_store_epoch(&test), 1);
}

static void a_refusal_says_why_and_writes_nothing(void **state)
{
    (void)state;
    struct error err;
    struct wish wish = {.weight = 7, .only_at_weight = 50};
    assert_false(cluster_change(test.store, set_weight, &wish, NULL, &err));
    assert_string_equal(err.text, "the weight is 100 by now");
    assert_int_equal(test_store_epoch(&test), 1);
}

static void who_loses_starts_over_from_what_stands_then(void **state)
{
    (void)state;
    uint64_t epoch = 0;
    struct wish wish = {.weight = 7, .losses = 3};
    assert_true(cluster_change(test.store, set_weight, &wish, &epoch, NULL));
    assert_int_equal(wish.calls, 4);
    assert_int_equal(epoch, 5);
    assert_int_equal(weight_now(), 7);
}

/* "A migrator retries a CAS only while entry epoch, base and generation are unchanged." */
static void preconditions_are_checked_again_after_a_loss(void **state)
{
    (void)state;
    struct error err;
    struct wish wish = {.weight = 7, .losses = 1, .only_at_weight = 100};
    assert_false(cluster_change(test.store, set_weight, &wish, NULL, &err));
    assert_string_equal(err.text, "the weight is 1001 by now");
    assert_int_equal(weight_now(), 1001);
}

static void losing_for_ever_ends(void **state)
{
    (void)state;
    struct error err;
    struct wish wish = {.weight = 7, .losses = UINT32_MAX};
    assert_false(cluster_change(test.store, set_weight, &wish, NULL, &err));
    assert_non_null(strstr(err.text, "lost 100 compare-and-swaps in a row"));
}

/* --- unknown outcomes ------------------------------------------------------------------------ */

static enum cas_result (*real_cas)(struct store *, const struct topology *, struct error *);
static unsigned unknowns; /* so many compare-and-swaps answer "unknown" ... */
static bool does_write;   /* ... having written or not */
static bool is_built_on;  /* ... and somebody else wrote on top */

static enum cas_result answer_unknown(struct store *store, const struct topology *next,
                                      struct error *err)
{
    if (unknowns == 0) {
        return real_cas(store, next, err);
    }
    unknowns--;
    if (does_write) {
        assert_int_equal(real_cas(store, next, err), CAS_DONE);
    }
    if (is_built_on) {
        change_elsewhere(55);
    }
    return CAS_UNKNOWN;
}

static struct store *doubtful_store(bool writes, bool built_on)
{
    static struct store_operations operations;
    struct store *store = test_store_again(&test);
    operations = *store->operations;
    real_cas = operations.cas;
    operations.cas = answer_unknown;
    store->operations = &operations;
    unknowns = 1;
    does_write = writes;
    is_built_on = built_on;
    return store;
}

static void an_unknown_change_that_was_written_is_found_by_reading(void **state)
{
    (void)state;
    uint64_t epoch = 0;
    struct store *store = doubtful_store(true, false);
    struct wish wish = {.weight = 7, .only_at_weight = 100};
    assert_true(cluster_change(store, set_weight, &wish, &epoch, NULL));
    assert_int_equal(epoch, 2);
    assert_int_equal(wish.calls, 1);
    assert_int_equal(test_store_epoch(&test), 2);
    store_close(store);
}

static void an_unknown_change_that_was_not_written_is_made_again(void **state)
{
    (void)state;
    uint64_t epoch = 0;
    struct store *store = doubtful_store(false, false);
    struct wish wish = {.weight = 7};
    assert_true(cluster_change(store, set_weight, &wish, &epoch, NULL));
    assert_int_equal(wish.calls, 2);
    assert_int_equal(weight_now(), 7);
    store_close(store);
}

/* The same epoch with another content is not ours. */
static void an_unknown_change_that_somebody_else_beat_is_decided_again(void **state)
{
    (void)state;
    struct error err;
    struct store *store = doubtful_store(false, true);
    struct wish wish = {.weight = 7, .only_at_weight = 100};
    assert_false(cluster_change(store, set_weight, &wish, NULL, &err));
    assert_string_equal(err.text, "the weight is 55 by now");
    assert_int_equal(weight_now(), 55);
    store_close(store);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_change_is_written_and_its_epoch_told),
        WITH_STORE(nothing_to_do_writes_nothing),
        WITH_STORE(a_refusal_says_why_and_writes_nothing),
        WITH_STORE(who_loses_starts_over_from_what_stands_then),
        WITH_STORE(preconditions_are_checked_again_after_a_loss),
        WITH_STORE(losing_for_ever_ends),
        WITH_STORE(an_unknown_change_that_was_written_is_found_by_reading),
        WITH_STORE(an_unknown_change_that_was_not_written_is_made_again),
        WITH_STORE(an_unknown_change_that_somebody_else_beat_is_decided_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
