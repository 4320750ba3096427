#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "tests/support/history/linearizable.h"
#include "tests/support/history/model.h"

#define STEPS_MAX 1000000
#define CHECK(...)                           \
    check((struct operation[]){__VA_ARGS__}, \
          sizeof((struct operation[]){__VA_ARGS__}) / sizeof(struct operation))

static enum verdict check(struct operation *operations, size_t count)
{
    return linearizable_check(operations, count, STEPS_MAX, NULL);
}

static void one_client_after_another_reads_what_was_written(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 2, "SET a", "+OK", 0}, {3, 4, "GET", "a", 1}, {5, 6, "DEL", ":1", 0},
                           {7, 8, "GET", "(nil)", 1}),
                     VERDICT_LINEARIZABLE);
}

static void a_lost_write_is_found(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 2, "SET a", "+OK", 0}, {3, 4, "GET", "(nil)", 1}), VERDICT_BROKEN);
    assert_int_equal(
        CHECK({1, 2, "INCR", ":1", 0}, {3, 4, "INCR", ":2", 0}, {5, 6, "INCR", ":2", 1}),
        VERDICT_BROKEN);
}

static void a_write_applied_twice_is_found(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 2, "APPEND x", ":1", 0}, {3, 4, "GET", "xx", 1}), VERDICT_BROKEN);
    /* Nor may an unknown one have happened twice. */
    assert_int_equal(CHECK({1, 0, "INCR", NULL, 0}, {3, 4, "GET", "2", 1}), VERDICT_BROKEN);
}

static void a_read_that_goes_back_in_time_is_found(void **state)
{
    (void)state;
    /* Two reads during one write: new, then old. */
    assert_int_equal(CHECK({1, 2, "SET a", "+OK", 0}, {3, 20, "SET b", "+OK", 0},
                           {4, 5, "GET", "b", 1}, {6, 7, "GET", "a", 2}),
                     VERDICT_BROKEN);
    assert_int_equal(CHECK({1, 2, "SET a", "+OK", 0}, {3, 20, "SET b", "+OK", 0},
                           {4, 5, "GET", "a", 1}, {6, 7, "GET", "b", 2}),
                     VERDICT_LINEARIZABLE);
}

static void a_deleted_key_that_comes_back_is_found(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 2, "SET a", "+OK", 0}, {3, 4, "DEL", ":1", 0},
                           {5, 6, "GET", "(nil)", 1}, {7, 8, "GET", "a", 1}),
                     VERDICT_BROKEN);
}

static void an_unknown_write_may_happen_late_or_never(void **state)
{
    (void)state;
    assert_int_equal(
        CHECK({1, 0, "SET a", NULL, 0}, {3, 4, "GET", "(nil)", 1}, {5, 6, "GET", "a", 1}),
        VERDICT_LINEARIZABLE);
    assert_int_equal(CHECK({1, 0, "SET a", NULL, 0}, {3, 4, "GET", "(nil)", 1}),
                     VERDICT_LINEARIZABLE);
    /* But not before it was called. */
    assert_int_equal(CHECK({1, 2, "GET", "a", 1}, {3, 0, "SET a", NULL, 0}), VERDICT_BROKEN);
    /* And once it was seen, it is not undone. */
    assert_int_equal(
        CHECK({1, 0, "SET a", NULL, 0}, {3, 4, "GET", "a", 1}, {5, 6, "GET", "(nil)", 1}),
        VERDICT_BROKEN);
}

static void concurrent_writes_may_have_either_order_but_one(void **state)
{
    (void)state;
    assert_int_equal(
        CHECK({1, 9, "GETSET a", "b", 0}, {2, 8, "GETSET b", "(nil)", 1}, {10, 11, "GET", "a", 2}),
        VERDICT_LINEARIZABLE);
    assert_int_equal(
        CHECK({1, 9, "GETSET a", "b", 0}, {2, 8, "GETSET b", "(nil)", 1}, {10, 11, "GET", "b", 2}),
        VERDICT_BROKEN);
    assert_int_equal(CHECK({1, 9, "SETNX a", ":1", 0}, {2, 8, "SETNX b", ":1", 1}), VERDICT_BROKEN);
}

static void hashes_and_lists_are_known(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 2, "HSET b 1", ":1", 0}, {3, 4, "HSET a 2", ":1", 0},
                           {5, 6, "HINCRBY a 3", ":5", 0}, {7, 8, "HLEN", ":2", 1},
                           {9, 10, "HDEL b", ":1", 0}, {11, 12, "HGET b", "(nil)", 1},
                           {13, 14, "HDEL a", ":1", 0}, {15, 16, "DEL", ":0", 1}),
                     VERDICT_LINEARIZABLE);
    assert_int_equal(CHECK({1, 2, "RPUSH b", ":1", 0}, {3, 4, "LPUSH a", ":2", 0},
                           {5, 6, "LRANGE 0 -1", "[a, b]", 0}, {7, 8, "RPOP", "b", 1},
                           {9, 10, "LPOP", "a", 0}, {11, 12, "LPOP", "(nil)", 1}),
                     VERDICT_LINEARIZABLE);
    /* An element popped twice, and one popped by nobody that is gone. */
    assert_int_equal(
        CHECK({1, 2, "RPUSH a", ":1", 0}, {3, 9, "LPOP", "a", 0}, {4, 8, "LPOP", "a", 1}),
        VERDICT_BROKEN);
    assert_int_equal(CHECK({1, 2, "RPUSH a", ":1", 0}, {3, 4, "LLEN", ":0", 0}), VERDICT_BROKEN);
}

static void a_transaction_is_one_step(void **state)
{
    (void)state;
    assert_int_equal(CHECK({1, 9, "INCR|GET", "[:1, 1]", 0}, {2, 8, "INCR|GET", "[:2, 2]", 1}),
                     VERDICT_LINEARIZABLE);
    assert_int_equal(CHECK({1, 9, "INCR|GET", "[:1, 2]", 0}, {2, 8, "INCR|GET", "[:2, 2]", 1}),
                     VERDICT_BROKEN);
}

static void a_broken_history_is_explained(void **state)
{
    (void)state;
    struct buffer why;
    buffer_init(&why, SIZE_MAX);
    struct operation operations[] = {{1, 2, "SET a", "+OK", 0}, {3, 4, "GET", "b", 7}};
    assert_int_equal(linearizable_check(operations, 2, STEPS_MAX, &why), VERDICT_BROKEN);
    buffer_add(&why, "", 1);
    assert_non_null(strstr(buffer_slice(&why).data, "the key is \"s:a\""));
    assert_non_null(strstr(buffer_slice(&why).data, "client 7"));
    buffer_fini(&why);
}

/* A real register, read and written at a random instant inside of each call, is always found
 * linearizable; with one read changed, never. */
#define RANDOM_COUNT 400
#define CLIENTS      5

struct random_history {
    struct operation operations[RANDOM_COUNT];
    char commands[RANDOM_COUNT][16];
    char *results[RANDOM_COUNT];
    const char *oldest; /* the first value that was written */
};

static void make_random(struct random_history *history, uint64_t seed)
{
    struct random random;
    struct buffer next, result;
    char *now = mem_strdup("");
    uint64_t busy_until[CLIENTS] = {0};
    random_seed(&random, seed);
    buffer_init(&next, SIZE_MAX);
    buffer_init(&result, SIZE_MAX);
    for (unsigned i = 0; i < RANDOM_COUNT; i++) {
        uint64_t at = 100 + 10 * (uint64_t)i; /* the instant at which it happens */
        unsigned client = (unsigned)random_below(&random, CLIENTS);
        uint64_t called = at - random_below(&random, 40);
        (void)snprintf(history->commands[i], 16, random_below(&random, 2) == 0 ? "SET v%u" : "GET",
                       i);
        assert_true(model_step(now, history->commands[i], &next, &result));
        bool is_unknown = history->commands[i][0] == 'S' && random_below(&random, 40) == 0;
        bool has_happened = !is_unknown || random_below(&random, 2) == 0;
        history->results[i] = is_unknown ? NULL : mem_strdup(buffer_slice(&result).data);
        if (has_happened) {
            mem_free(now);
            now = mem_strdup(buffer_slice(&next).data);
        }
        if (called <= busy_until[client]) {
            called = busy_until[client] < at ? busy_until[client] : at;
        }
        history->operations[i] =
            (struct operation){called, at + random_below(&random, 40), history->commands[i],
                               history->results[i], client};
        busy_until[client] = history->operations[i].returned_us;
    }
    history->oldest = NULL;
    for (unsigned i = 0; history->oldest == NULL; i++) {
        bool is_written = history->commands[i][0] == 'S' && history->results[i] != NULL;
        history->oldest = is_written ? history->commands[i] + 4 : NULL;
    }
    mem_free(now);
    buffer_fini(&next);
    buffer_fini(&result);
}

static void free_random(struct random_history *history)
{
    for (unsigned i = 0; i < RANDOM_COUNT; i++) {
        mem_free(history->results[i]);
    }
}

static void random_histories_of_a_real_register_pass(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct random_history history;
        make_random(&history, seed);
        assert_int_equal(check(history.operations, RANDOM_COUNT), VERDICT_LINEARIZABLE);
        free_random(&history);
    }
}

static void a_stale_read_in_a_long_random_history_is_found(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct random_history history;
        make_random(&history, seed);
        for (unsigned i = RANDOM_COUNT / 2; i < RANDOM_COUNT; i++) {
            struct operation *operation = &history.operations[i];
            if (operation->command[0] == 'G') {
                operation->result = history.oldest; /* overwritten long ago */
                break;
            }
        }
        assert_int_equal(check(history.operations, RANDOM_COUNT), VERDICT_BROKEN);
        free_random(&history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_after_another_reads_what_was_written),
        cmocka_unit_test(a_lost_write_is_found),
        cmocka_unit_test(a_write_applied_twice_is_found),
        cmocka_unit_test(a_read_that_goes_back_in_time_is_found),
        cmocka_unit_test(a_deleted_key_that_comes_back_is_found),
        cmocka_unit_test(an_unknown_write_may_happen_late_or_never),
        cmocka_unit_test(concurrent_writes_may_have_either_order_but_one),
        cmocka_unit_test(hashes_and_lists_are_known),
        cmocka_unit_test(a_transaction_is_one_step),
        cmocka_unit_test(a_broken_history_is_explained),
        cmocka_unit_test(random_histories_of_a_real_register_pass),
        cmocka_unit_test(a_stale_read_in_a_long_random_history_is_found),
    };
    return cmocka_run_group_tests_name("linearizable", tests, NULL, NULL);
}
