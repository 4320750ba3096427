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
    key_list_add(&list, SLICE(""));
    key_list_add(&list, SLICE("a\0b\r\n"));
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
        key_list_add(&list, SLICE("k"));
    }
    struct key_group first = key_list_group(&list, 0, GROUP_KEYS_MAX);
    struct key_group second = key_list_group(&list, first.count, GROUP_KEYS_MAX);
    struct key_group end = key_list_group(&list, first.count + second.count, GROUP_KEYS_MAX);
    assert_int_equal(first.count, GROUP_KEYS_MAX);
    assert_int_equal(second.count, 3);
    assert_int_equal(end.count, 0);
    key_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_any_bytes_come_back_as_they_were),
        cmocka_unit_test(a_group_is_bounded_by_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
