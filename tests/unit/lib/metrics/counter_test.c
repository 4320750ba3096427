#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/metrics/counter.h"

#define ADDITIONS 200000

static void a_counter_adds_up(void **state)
{
    (void)state;
    struct counter counter = {0};
    counter_add(&counter, 2);
    counter_add(&counter, 3);
    assert_int_equal(counter_read(&counter), 5);
    counter_subtract(&counter, 4);
    assert_int_equal(counter_read(&counter), 1);
    counter_set(&counter, 9);
    assert_int_equal(counter_read(&counter), 9);
}

static void *add_many(void *argument)
{
    struct counter *counter = argument;
    for (int i = 0; i < ADDITIONS; i++) {
        counter_add(counter, 1);
    }
    return NULL;
}

static void another_thread_sees_it_only_grow(void **state)
{
    (void)state;
    struct counter counter = {0};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, add_many, &counter), 0);
    uint64_t last = 0;
    while (last < ADDITIONS) {
        uint64_t now = counter_read(&counter);
        assert_true(now >= last);
        last = now;
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(counter_read(&counter), ADDITIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_adds_up),
        cmocka_unit_test(another_thread_sees_it_only_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
