/* Replies of several shards become one by the policies that Redis publishes with its commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/routing/aggregate.h"

#define ANSWERS_MAX 4

/* Of one command with a name of three letters. */
#define HISTOGRAM(commands, name, parts, buckets, calls, counts)         \
    commands "\r\n$3\r\n" name "\r\n" parts "\r\n$5\r\ncalls\r\n:" calls \
             "\r\n$14\r\nhistogram_usec\r\n" buckets "\r\n" counts

struct outcome_case {
    enum response_policy policy;
    const char *replies[ANSWERS_MAX]; /* ended by null */
    const char *expected;
};

static unsigned answers_of(const char *const *replies, struct shard_answer *answers)
{
    unsigned count = 0;
    while (count < ANSWERS_MAX && replies[count] != NULL) {
        answers[count] = (struct shard_answer){slice_of(replies[count]), replies[count][0] == '-'};
        count++;
    }
    return count;
}

static void expect_outcome(const struct outcome_case *wanted, bool is_write)
{
    struct shard_answer answers[ANSWERS_MAX];
    struct buffer out;
    unsigned count = answers_of(wanted->replies, answers);
    buffer_init(&out, SIZE_MAX);
    const struct shard_answer *failure = aggregate_failure(wanted->policy, answers, count);
    if (failure != NULL) {
        (void)aggregate_error(failure, answers, count, is_write, &out);
    } else {
        aggregate(wanted->policy, answers, count, &out);
    }
    if (!slice_starts_with(buffer_slice(&out), slice_of(wanted->expected))) {
        fail_msg("policy %d, %s: wanted %s, got %.*s", (int)wanted->policy, wanted->replies[0],
                 wanted->expected, (int)buffer_length(&out), buffer_slice(&out).data);
    }
    buffer_fini(&out);
}

static void each_policy_does_what_its_name_says(void **state)
{
    static const struct outcome_case cases[] = {
        {RESPONSE_AGG_SUM, {":1\r\n", ":2\r\n", ":-4\r\n"}, ":-1\r\n"},
        {RESPONSE_AGG_MIN, {":3\r\n", ":1\r\n", ":2\r\n"}, ":1\r\n"},
        {RESPONSE_AGG_MAX, {":1\r\n", ":3\r\n", ":2\r\n"}, ":3\r\n"},
        {RESPONSE_AGG_LOGICAL_AND, {":1\r\n", ":0\r\n", ":1\r\n"}, ":0\r\n"},
        {RESPONSE_AGG_LOGICAL_AND, {":1\r\n", ":1\r\n"}, ":1\r\n"},
        {RESPONSE_AGG_LOGICAL_OR, {":0\r\n", ":1\r\n"}, ":1\r\n"},
        {RESPONSE_AGG_LOGICAL_OR, {":0\r\n", ":0\r\n"}, ":0\r\n"},
        {RESPONSE_AGG_LOGICAL_AND,
         {"*3\r\n:1\r\n:1\r\n:0\r\n", "*3\r\n:1\r\n:0\r\n:0\r\n"},
         "*3\r\n:1\r\n:0\r\n:0\r\n"},
        {RESPONSE_AGG_SUM, {"*2\r\n:1\r\n:5\r\n", "*2\r\n:2\r\n:6\r\n"}, "*2\r\n:3\r\n:11\r\n"},
        {RESPONSE_AGG_SUM, {":7\r\n"}, ":7\r\n"},
        {RESPONSE_ALL_SUCCEEDED, {"+OK\r\n", "+OK\r\n"}, "+OK\r\n"},
        {RESPONSE_ONE_SUCCEEDED, {"-NOTBUSY x\r\n", "+OK\r\n"}, "+OK\r\n"},
        {RESPONSE_DEFAULT,
         {"*1\r\n$1\r\na\r\n", "*0\r\n", "*2\r\n$1\r\nb\r\n*1\r\n:1\r\n"},
         "*3\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n:1\r\n"},
        {RESPONSE_DEFAULT, {"$1\r\na\r\n", "$1\r\nb\r\n"}, "$1\r\na\r\n"},
        {RESPONSE_SPECIAL, {"+one\r\n", "+two\r\n"}, "+one\r\n"},
        {RESPONSE_HISTOGRAMS,
         {HISTOGRAM("%1", "get", "%2", "%2", "3", ":1\r\n:1\r\n:8\r\n:3\r\n"), "%0\r\n",
          HISTOGRAM("%1", "get", "%2", "%2", "5", ":2\r\n:4\r\n:8\r\n:5\r\n")},
         HISTOGRAM("%1", "get", "%2", "%3", "8", ":1\r\n:1\r\n:2\r\n:5\r\n:8\r\n:8\r\n")},
        {RESPONSE_HISTOGRAMS,
         {HISTOGRAM("*2", "get", "*4", "*2", "3", ":4\r\n:3\r\n"),
          HISTOGRAM("*2", "set", "*4", "*2", "1", ":1\r\n:1\r\n")},
         "*4\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:3\r\n$14\r\nhistogram_usec\r\n*2\r\n:4\r\n:3\r\n"
         "$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:1\r\n"},
        {RESPONSE_HISTOGRAMS, {"*0\r\n", "*0\r\n"}, "*0\r\n"},
        {RESPONSE_HISTOGRAMS, {"*0\r\n", "+OK\r\n"}, "-ERR the shards answered with"},
        {RESPONSE_HISTOGRAMS,
         {HISTOGRAM("%1", "get", "%2", "%2", "3", ":1\r\n:1\r\n$1\r\nx\r\n:3\r\n"), "%0\r\n"},
         "-ERR the shards answered with"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_outcome(&cases[i], false);
    }
}

static void replies_that_do_not_fit_are_an_error_not_a_guess(void **state)
{
    static const struct outcome_case cases[] = {
        {RESPONSE_AGG_SUM, {":1\r\n", "+OK\r\n"}, "-ERR the shards answered"},
        {RESPONSE_AGG_SUM, {"+OK\r\n", ":1\r\n"}, "-ERR the shards answered"},
        {RESPONSE_AGG_SUM, {"*1\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n"}, "-ERR the shards answered"},
        {RESPONSE_AGG_SUM, {"*1\r\n:1\r\n", ":1\r\n"}, "-ERR the shards answered"},
        {RESPONSE_AGG_SUM, {"*1\r\n:1\r\n", "*1\r\n+x\r\n"}, "-ERR the shards answered"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_outcome(&cases[i], false);
    }
}

static void an_error_of_any_shard_is_the_answer(void **state)
{
    static const struct outcome_case cases[] = {
        {RESPONSE_ALL_SUCCEEDED, {"+OK\r\n", "-ERR a\r\n", "-ERR b\r\n"}, "-ERR a\r\n"},
        {RESPONSE_AGG_SUM, {":1\r\n", "-ERR a\r\n"}, "-ERR a\r\n"},
        {RESPONSE_DEFAULT, {"-ERR a\r\n", "*0\r\n"}, "-ERR a\r\n"},
        {RESPONSE_ONE_SUCCEEDED, {"-NOTBUSY x\r\n", "-NOTBUSY y\r\n"}, "-NOTBUSY x\r\n"},
        /* Whether it was executed counts more than why it was not. */
        {RESPONSE_ALL_SUCCEEDED, {"-ERR a\r\n", "-UNKNOWN b\r\n"}, "-UNKNOWN b\r\n"},
        {RESPONSE_ALL_SUCCEEDED, {"+OK\r\n", "-UNAVAILABLE b\r\n"}, "-UNAVAILABLE b\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_outcome(&cases[i], false);
    }
}

/* "-UNAVAILABLE" promises that nothing was executed. */
static void a_write_that_some_shards_executed_is_unknown(void **state)
{
    static const struct outcome_case half = {
        RESPONSE_ALL_SUCCEEDED, {"+OK\r\n", "-UNAVAILABLE b\r\n"}, "-UNKNOWN "};
    static const struct outcome_case none = {
        RESPONSE_ALL_SUCCEEDED, {"-UNAVAILABLE a\r\n", "-ERR b\r\n"}, "-UNAVAILABLE a\r\n"};
    (void)state;
    expect_outcome(&half, true);
    expect_outcome(&none, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_does_what_its_name_says),
        cmocka_unit_test(replies_that_do_not_fit_are_an_error_not_a_guess),
        cmocka_unit_test(an_error_of_any_shard_is_the_answer),
        cmocka_unit_test(a_write_that_some_shards_executed_is_unknown),
    };
    return cmocka_run_group_tests_name("aggregate", tests, NULL, NULL);
}
