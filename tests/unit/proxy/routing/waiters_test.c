#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "proxy/routing/waiters.h"

#define KEYS 3000 /* several in each bucket */

static struct waiters waiters;

static void join(struct waiter_place *place, const char *key, enum awaited awaited,
                 const char *group)
{
    place->waiter = place;
    waiters_join(&waiters, place, awaited, slice_of(key), slice_of(group));
}

static void who_leaves_makes_room_for_the_next(void **state)
{
    struct waiter_place a, b, c;
    (void)state;
    join(&a, "k", AWAITED_LIST, "");
    join(&b, "k", AWAITED_LIST, "");
    join(&c, "k", AWAITED_LIST, "");
    assert_true(waiter_is_first(&a) && !waiter_is_first(&b) && !waiter_is_first(&c));
    assert_null(waiters_leave(&waiters, &b));
    assert_ptr_equal(waiters_leave(&waiters, &a), &c);
    assert_true(waiter_is_first(&c));
    join(&a, "k", AWAITED_LIST, "");
    assert_false(waiter_is_first(&a));
    assert_null(waiters_leave(&waiters, &a));
    assert_null(waiters_leave(&waiters, &c));
}

static void waiters_for_different_things_do_not_see_each_other(void **state)
{
    struct waiter_place places[6];
    (void)state;
    join(&places[0], "k", AWAITED_LIST, "");
    join(&places[1], "k", AWAITED_SORTED_SET, "");
    join(&places[2], "k", AWAITED_GROUP, "g");
    join(&places[3], "k", AWAITED_GROUP, "h");
    join(&places[4], "kg", AWAITED_GROUP, "");
    join(&places[5], "K", AWAITED_LIST, "");
    for (unsigned i = 0; i < 6; i++) {
        assert_true(waiter_is_first(&places[i]));
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_null(waiters_leave(&waiters, &places[i]));
    }
}

static void thousands_of_keys_are_kept_apart(void **state)
{
    static struct waiter_place first[KEYS], second[KEYS];
    char key[16];
    (void)state;
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        join(&first[i], key, AWAITED_LIST, "");
        join(&second[i], key, AWAITED_LIST, "");
    }
    for (unsigned i = 0; i < KEYS; i++) {
        assert_ptr_equal(waiters_leave(&waiters, &first[i]), &second[i]);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        assert_null(waiters_leave(&waiters, &second[i]));
    }
    for (unsigned i = 0; i < WAITERS_BUCKETS; i++) {
        assert_null(waiters.buckets[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_leaves_makes_room_for_the_next),
        cmocka_unit_test(waiters_for_different_things_do_not_see_each_other),
        cmocka_unit_test(thousands_of_keys_are_kept_apart),
    };
    return cmocka_run_group_tests_name("waiters", tests, NULL, NULL);
}
