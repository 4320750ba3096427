/* Names, asked of a name server that this program stands in for: it answers "127.0.0.9", or
 * nothing for as long as the test likes. */
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/lookup.h"
#include "tests/support/wait.h"

#define PATIENCE_MS 20000
#define BRIEF_MS    50
#define KEPT_US     5000000u /* an answer that nobody waited for */
#define ASKERS      4

static atomic_bool is_hanging;
static atomic_uint questions, answers;

/* In the place of libc's. Those below a hanging server go on when it does. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)service;
    (void)hints;
    atomic_fetch_add(&questions, 1);
    while (atomic_load(&is_hanging)) {
        clock_sleep_ms(WAIT_POLL_MS);
    }
    int failure = strcmp(name, "nobody") == 0 ? EAI_NONAME : 0;
    if (failure == 0) {
        struct {
            struct addrinfo info;
            struct sockaddr_in address;
        } *answer = calloc(1, sizeof(*answer));

        assert_non_null(answer);
        answer->address =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(0x7f000009)}};
        answer->info = (struct addrinfo){.ai_family = AF_INET,
                                         .ai_addr = (struct sockaddr *)&answer->address,
                                         .ai_addrlen = sizeof(answer->address)};
        *found = &answer->info;
    }
    atomic_fetch_add(&answers, 1);
    return failure;
}

void freeaddrinfo(struct addrinfo *found)
{
    free(found);
}

static int start(void **state)
{
    (void)state;
    atomic_store(&questions, 0);
    atomic_store(&answers, 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    atomic_store(&is_hanging, false);
    WAIT_UNTIL(atomic_load(&answers) == atomic_load(&questions), PATIENCE_MS);
    lookup_set_patience(LOOKUP_PATIENCE_MS);
    return 0;
}

static void expect_found(const char *name)
{
    struct endpoint endpoint;
    struct error err = {""};
    char text[ENDPOINT_TEXT_MAX];
    if (!lookup_name(name, &endpoint, &err)) {
        fail_msg("%s", err.text);
    }
    endpoint_set_port(&endpoint, 7);
    endpoint_format(&endpoint, text);
    assert_string_equal(text, "127.0.0.9:7");
}

static bool is_found(const char *name)
{
    struct endpoint endpoint;
    return lookup_name(name, &endpoint, NULL);
}

static void expect_failure(const char *name, const char *why)
{
    struct endpoint endpoint;
    struct error err = {""};
    assert_false(lookup_name(name, &endpoint, &err));
    assert_int_equal(endpoint.length, 0);
    if (strstr(err.text, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    }
}

static void a_name_is_asked_for_each_time(void **state)
{
    (void)state;
    expect_found("somebody");
    expect_found("somebody");
    expect_failure("nobody", "cannot resolve \"nobody\": ");
    assert_int_equal(atomic_load(&questions), 3);
}

static void who_hangs_is_given_up_and_asked_no_second_time(void **state)
{
    (void)state;
    lookup_set_patience(BRIEF_MS);
    atomic_store(&is_hanging, true);
    for (unsigned i = 0; i < ASKERS; i++) {
        expect_failure("slow", "the name server has not answered for ");
    }
    WAIT_UNTIL(atomic_load(&questions) > 0, PATIENCE_MS); /* its thread may be late */
    assert_int_equal(atomic_load(&questions), 1);
}

static void a_late_answer_is_kept_for_the_next(void **state)
{
    (void)state;
    lookup_set_patience(BRIEF_MS);
    atomic_store(&is_hanging, true);
    uint64_t began_us = clock_now_us();
    expect_failure("late", "has not answered");
    atomic_store(&is_hanging, false);
    WAIT_UNTIL(atomic_load(&answers) == 1, PATIENCE_MS);
    lookup_set_patience(PATIENCE_MS);
    expect_found("late");
    bool is_kept = clock_now_us() < began_us + KEPT_US;
    assert_true(atomic_load(&questions) == 1 || !is_kept);
}

static void *find_shared(void *context)
{
    (void)context;
    expect_found("shared");
    return NULL;
}

static void those_who_wait_for_one_name_share_the_answer(void **state)
{
    pthread_t threads[ASKERS];
    (void)state;
    atomic_store(&is_hanging, true);
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, find_shared, NULL), 0);
    }
    WAIT_UNTIL(atomic_load(&questions) == 1, PATIENCE_MS);
    atomic_store(&is_hanging, false);
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_in_range(atomic_load(&questions), 1, ASKERS); /* one may come when it is over */
}

static void so_many_hang_and_no_more(void **state)
{
    char name[16];
    (void)state;
    lookup_set_patience(0);
    atomic_store(&is_hanging, true);
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(name, sizeof(name), "slow%u", i);
        expect_failure(name, "has not answered");
    }
    expect_failure("one", "too many names");
    atomic_store(&is_hanging, false);
    WAIT_UNTIL(atomic_load(&answers) == 64, PATIENCE_MS);
    lookup_set_patience(PATIENCE_MS);
    WAIT_UNTIL(is_found("one"), PATIENCE_MS); /* as soon as one of them has put its answer down */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_is_asked_for_each_time),
        TEST(who_hangs_is_given_up_and_asked_no_second_time),
        TEST(a_late_answer_is_kept_for_the_next),
        TEST(those_who_wait_for_one_name_share_the_answer),
        TEST(so_many_hang_and_no_more),
    };
    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
