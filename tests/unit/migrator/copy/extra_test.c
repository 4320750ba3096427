#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "migrator/copy/copier.h"
#include "migrator/copy/extra.h"
#include "tests/support/copy_rig.h"

#define KEYS  3000u
#define EXTRA 100u
#define ALL   (KEYS + EXTRA)

static struct scanner position;
static uint64_t keys_on_copy, findings;

/* The same keys on both sides, and some among them that only the copy has. */
static void fill_both(void)
{
    char command[64];
    struct scanner scanner;
    scanner_init(&scanner);
    copy_rig_fill("", KEYS);
    assert_int_equal(copier_run(&copy_rig.pair, &scanner), COPY_OK);
    for (unsigned i = 0; i < EXTRA; i++) {
        (void)snprintf(command, sizeof(command), "SET only:%u x", i);
        expect_ask(copy_rig.target, command, "+OK");
    }
    scanner_init(&position);
    keys_on_copy = findings = 0;
}

static enum copy_status find_extra(void)
{
    return extra_find(&copy_rig.pair, &position, &keys_on_copy, &findings);
}

static void expect_all_found(void)
{
    assert_true(position.is_done);
    assert_int_equal(copy_rig.findings, EXTRA);
    assert_int_equal(findings, EXTRA);
    assert_int_equal(keys_on_copy, ALL);
}

static void what_only_the_copy_has_is_found_on_every_page(void **state)
{
    (void)state;
    fill_both();
    assert_int_equal(find_extra(), COPY_OK);
    expect_all_found();
}

static void an_interrupted_search_goes_on_where_it_was(void **state)
{
    (void)state;
    enum copy_status status = COPY_INTERRUPTED;
    fill_both();
    copy_rig_interrupt();
    while (status == COPY_INTERRUPTED) {
        status = find_extra();
        copy_rig_expect_in_step();
    }
    assert_int_equal(status, COPY_OK);
    expect_all_found();
}

static void a_search_from_the_beginning_is_interrupted_everywhere(void **state)
{
    (void)state;
    enum copy_status status = COPY_INTERRUPTED;
    fill_both();
    copy_rig_interrupt();
    while (status == COPY_INTERRUPTED) {
        scanner_init(&position);
        keys_on_copy = 0;
        status = find_extra();
        copy_rig_expect_in_step();
    }
    assert_int_equal(status, COPY_OK);
    expect_all_found();
}

static void a_key_that_carries_a_mark_is_the_drains(void **state)
{
    (void)state;
    fill_both();
    copy_rig_write("only:7", "DEL only:7");
    assert_int_equal(find_extra(), COPY_OK);
    assert_int_equal(copy_rig.findings, EXTRA - 1);
}

static unsigned asked;

static bool count(void *context)
{
    (void)context;
    asked++;
    return true;
}

static unsigned asked_at_first;

static void note_first(void *context, const struct copy_finding *finding)
{
    (void)context;
    assert_true(finding->only_on_copy);
    asked_at_first = asked_at_first == 0 ? asked : asked_at_first;
}

/* Suspects are not gathered over the whole walk. */
static void suspects_are_judged_on_the_way(void **state)
{
    (void)state;
    asked = asked_at_first = 0;
    fill_both();
    copy_rig.hooks.may_go_on = count;
    copy_rig.hooks.found = note_first;
    assert_int_equal(find_extra(), COPY_OK);
    assert_in_range(asked_at_first, 1, asked - 4);
}

/* When some pages are under way. */
static bool cut_off(struct shard_link *link)
{
    if (++asked == 4) {
        (void)shutdown(shard_fd(link), SHUT_WR);
    }
    return true;
}

static bool cut_authority_off(void *context)
{
    (void)context;
    return cut_off(copy_rig.pair.authority.link);
}

static bool cut_copy_off(void *context)
{
    (void)context;
    return cut_off(copy_rig.pair.copy.link);
}

static void a_lost_authority_leaves_the_copy_in_step(void **state)
{
    (void)state;
    asked = 0;
    fill_both();
    copy_rig.pair.authority.link = ask_open(copy_rig.servers[0]);
    copy_rig.hooks.may_go_on = cut_authority_off;
    assert_int_equal(find_extra(), COPY_FAILED);
    assert_false(position.is_done);
    assert_false(copy_rig.pair.failure.on_copy);
    expect_ask(copy_rig.target, "PING", "+PONG");
    shard_close(copy_rig.pair.authority.link);
}

static void a_lost_copy_leaves_the_authority_in_step(void **state)
{
    (void)state;
    asked = 0;
    fill_both();
    copy_rig.pair.copy.link = ask_open(copy_rig.servers[1]);
    copy_rig.hooks.may_go_on = cut_copy_off;
    assert_int_equal(find_extra(), COPY_FAILED);
    assert_false(position.is_done);
    assert_true(copy_rig.pair.failure.on_copy);
    expect_ask(copy_rig.source, "PING", "+PONG");
    shard_close(copy_rig.pair.copy.link);
}

#define TEST(function) cmocka_unit_test_setup(function, copy_rig_reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_only_the_copy_has_is_found_on_every_page),
        TEST(an_interrupted_search_goes_on_where_it_was),
        TEST(a_search_from_the_beginning_is_interrupted_everywhere),
        TEST(a_key_that_carries_a_mark_is_the_drains),
        TEST(suspects_are_judged_on_the_way),
        TEST(a_lost_authority_leaves_the_copy_in_step),
        TEST(a_lost_copy_leaves_the_authority_in_step),
    };
    return cmocka_run_group_tests(tests, copy_rig_start, copy_rig_stop);
}
