#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"

static void an_empty_buffer_holds_no_memory(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    assert_null(buffer.data);
    assert_int_equal(buffer_length(&buffer), 0);
    assert_int_equal(buffer_slice(&buffer).len, 0);
    assert_true(buffer_append(&buffer, NULL, 0));
    assert_null(buffer.data);
    buffer_fini(&buffer);
}

static void bytes_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    buffer_add(&buffer, "a\0b", 3);
    buffer_add_text(&buffer, "cd");
    buffer_printf(&buffer, "%d-%s", 42, "x");
    assert_true(slice_equal(buffer_slice(&buffer), SLICE("a\0bcd42-x")));
    buffer_consume(&buffer, 4);
    assert_true(slice_equal(buffer_slice(&buffer), SLICE("d42-x")));
    buffer_fini(&buffer);
}

static void the_limit_fits_and_one_more_byte_changes_nothing(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 8);
    assert_true(buffer_append(&buffer, "1234567", 7));
    assert_false(buffer_append(&buffer, "89", 2));
    assert_int_equal(buffer_length(&buffer), 7);
    assert_true(buffer_append(&buffer, "8", 1));
    assert_null(buffer_reserve(&buffer, 1));
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_non_null(buffer_reserve(&buffer, 0));
    assert_true(slice_equal(buffer_slice(&buffer), SLICE("12345678")));
    buffer_fini(&buffer);
}

static void the_limit_counts_only_what_is_unread(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 8);
    assert_true(buffer_append(&buffer, "12345678", 8));
    buffer_consume(&buffer, 5);
    assert_true(buffer_append(&buffer, "abcde", 5));
    assert_false(buffer_append(&buffer, "f", 1));
    assert_true(slice_equal(buffer_slice(&buffer), SLICE("678abcde")));
    buffer_fini(&buffer);
}

static void printing_may_fill_the_limit_to_its_last_byte(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 5);
    buffer_printf(&buffer, "%s", "12345");
    assert_true(slice_equal(buffer_slice(&buffer), SLICE("12345")));
    buffer_fini(&buffer);
    /* 512 bytes are the first piece of memory: the terminating zero needs a larger one. */
    buffer_init(&buffer, 512);
    buffer_printf(&buffer, "%512s", "x");
    assert_int_equal(buffer_length(&buffer), 512);
    assert_int_equal(buffer_slice(&buffer).data[511], 'x');
    buffer_fini(&buffer);
}

static void add_beyond_the_limit(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 2);
    buffer_add_text(&buffer, "123");
}

static void print_beyond_the_limit(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 2);
    buffer_printf(&buffer, "%d", 123);
}

static void consume_beyond_the_end(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 2);
    buffer_consume(&buffer, 1);
}

static void a_bug_of_the_caller_is_found_at_once(void **state)
{
    (void)state;
    static void (*const bugs[])(void) = {add_beyond_the_limit, print_beyond_the_limit,
                                         consume_beyond_the_end};
    for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            (void)close(STDERR_FILENO);
            (void)signal(SIGABRT, SIG_DFL);
            bugs[i]();
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

/* A queue of a few bytes through which many pass: memory must not grow with what has passed. */
static void memory_stays_small_while_much_passes_through(void **state)
{
    (void)state;
    struct buffer buffer;
    struct random random;
    random_seed(&random, 7);
    buffer_init(&buffer, 3000);
    unsigned char in = 0, out = 0;
    for (int round = 0; round < 100000; round++) {
        size_t size = random_below(&random, 200);
        char *room = buffer_reserve(&buffer, size);
        if (room != NULL) {
            for (size_t i = 0; i < size; i++) {
                room[i] = (char)in++;
            }
            buffer_commit(&buffer, size);
        }
        size_t taken = random_below(&random, buffer_length(&buffer) + 1);
        for (size_t i = 0; i < taken; i++) {
            assert_int_equal((unsigned char)buffer_slice(&buffer).data[i], out++);
        }
        buffer_consume(&buffer, taken);
        assert_in_range(buffer.capacity, 0, 8192);
    }
    buffer_fini(&buffer);
}

static void a_recycled_buffer_gives_large_memory_back(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    buffer_add(&buffer, "small", 5);
    buffer_recycle(&buffer, 1024);
    assert_non_null(buffer.data);
    assert_int_equal(buffer_length(&buffer), 0);
    assert_non_null(buffer_reserve(&buffer, 5000));
    buffer_recycle(&buffer, 1024);
    assert_null(buffer.data);
    buffer_add(&buffer, "again", 5);
    buffer_clear(&buffer);
    assert_int_equal(buffer_length(&buffer), 0);
    buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_holds_no_memory),
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(the_limit_fits_and_one_more_byte_changes_nothing),
        cmocka_unit_test(the_limit_counts_only_what_is_unread),
        cmocka_unit_test(printing_may_fill_the_limit_to_its_last_byte),
        cmocka_unit_test(a_bug_of_the_caller_is_found_at_once),
        cmocka_unit_test(memory_stays_small_while_much_passes_through),
        cmocka_unit_test(a_recycled_buffer_gives_large_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
