#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/pubsub/channel_set.h"

#define MANY 3000u

static struct slice name_of(unsigned number)
{
    static char text[16];
    int length = snprintf(text, sizeof(text), "channel:%u", number);
    return (struct slice){text, (size_t)length};
}

static void an_empty_set_has_nothing(void **state)
{
    struct channel_set set;
    (void)state;
    channel_set_init(&set);
    assert_false(channel_set_has(&set, SLICE("a")));
    assert_false(channel_set_remove(&set, SLICE("a")));
    assert_null(channel_set_first(&set));
    channel_set_fini(&set);
}

static void a_name_is_there_once(void **state)
{
    struct channel_set set;
    (void)state;
    channel_set_init(&set);
    assert_true(channel_set_add(&set, SLICE("a")));
    assert_false(channel_set_add(&set, SLICE("a")));
    assert_true(channel_set_add(&set, SLICE("")));
    assert_true(channel_set_add(&set, SLICE("a\0b")));
    assert_int_equal(set.count, 3);
    assert_true(channel_set_has(&set, SLICE("a\0b")));
    assert_false(channel_set_has(&set, SLICE("a\0c")));
    assert_true(channel_set_remove(&set, SLICE("")));
    assert_false(channel_set_has(&set, SLICE("")));
    assert_false(channel_set_remove(&set, SLICE("")));
    channel_set_fini(&set);
}

static void the_order_of_coming_is_kept(void **state)
{
    struct channel_set set;
    (void)state;
    channel_set_init(&set);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(channel_set_add(&set, name_of(i)));
    }
    for (unsigned i = 0; i < MANY; i += 3) {
        assert_true(channel_set_remove(&set, name_of(i)));
    }
    assert_int_equal(set.count, MANY - MANY / 3);
    unsigned i = 0;
    for (const struct channel *it = channel_set_first(&set); it != NULL; it = channel_next(it)) {
        i += i % 3 == 0 ? 1 : 0;
        assert_true(slice_equal(channel_name(it), name_of(i)));
        i++;
    }
    assert_int_equal(i, MANY);
    channel_set_fini(&set);
}

static void its_size_goes_back_to_nothing(void **state)
{
    struct channel_set set;
    (void)state;
    channel_set_init(&set);
    for (unsigned i = 0; i < MANY; i++) {
        (void)channel_set_add(&set, name_of(i));
    }
    assert_true(set.bytes > MANY * sizeof("channel:0"));
    while (set.count > 0) {
        char text[32];
        struct slice first = channel_name(channel_set_first(&set));
        memcpy(text, first.data, first.len);
        assert_true(channel_set_remove(&set, (struct slice){text, first.len}));
    }
    assert_int_equal(set.bytes, 0);
    assert_null(channel_set_first(&set));
    assert_true(channel_set_add(&set, SLICE("again")));
    channel_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(a_name_is_there_once),
        cmocka_unit_test(the_order_of_coming_is_kept),
        cmocka_unit_test(its_size_goes_back_to_nothing),
    };
    return cmocka_run_group_tests_name("channel_set", tests, NULL, NULL);
}
