#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrator/copy/key_list.h"

static void keys_of_any_bytes_come_back_as_they_were(void **state)
{
    (void)state;
    struct key_list list;
    key_list_init(&list);
    key_list_add(&list, SLICE(""), 1);
    key_list_add(&list, SLICE("a\0b\r\n"), 2);
    assert_true(slice_equal(key_list_at(&list, 0), SLICE("")));
    assert_true(slice_equal(key_list_at(&list, 1), SLICE("a\0b\r\n")));
    key_list_clear(&list);
    assert_int_equal(list.count, 0);
    key_list_fini(&list);
}

static void a_group_is_bounded_by_keys(void **state)
{
    (void)state;
    struct key_list list;
    key_list_init(&list);
    for (unsigned i = 0; i < GROUP_KEYS_MAX + 3; i++) {
        key_list_add(&list, SLICE("k"), 1);
    }
    struct key_group first = key_list_group(&list, 0);
    struct key_group second = key_list_group(&list, first.count);
    struct key_group end = key_list_group(&list, first.count + second.count);
    assert_int_equal(first.count, GROUP_KEYS_MAX);
    assert_int_equal(second.count, 3);
    assert_int_equal(end.count, 0);
    key_list_fini(&list);
}

static void a_group_is_bounded_by_bytes_but_has_at_least_one_key(void **state)
{
    (void)state;
    struct key_list list;
    key_list_init(&list);
    key_list_add(&list, SLICE("huge"), 10 * GROUP_BYTES_MAX);
    key_list_add(&list, SLICE("half"), GROUP_BYTES_MAX / 2);
    key_list_add(&list, SLICE("half"), GROUP_BYTES_MAX / 2);
    key_list_add(&list, SLICE("more"), 1);
    struct key_group group = key_list_group(&list, 0);
    assert_int_equal(group.count, 1);
    group = key_list_group(&list, 1);
    assert_int_equal(group.count, 2);
    assert_int_equal(key_group_bytes(&group), GROUP_BYTES_MAX);
    key_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_any_bytes_come_back_as_they_were),
        cmocka_unit_test(a_group_is_bounded_by_keys),
        cmocka_unit_test(a_group_is_bounded_by_bytes_but_has_at_least_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
