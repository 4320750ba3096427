#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/command/command.h"
#include "lib/command/errors.h"
#include "tests/support/protocol_doc.h"

static const struct command_info *find(const char *first, const char *second)
{
    struct slice argv[2] = {slice_of(first), slice_of(second == NULL ? "" : second)};
    return command_find(command_table_builtin(), argv, second == NULL ? 1 : 2);
}

static void every_command_is_found_by_its_name_in_any_case(void **state)
{
    const struct command_table *table = command_table_builtin();
    (void)state;
    assert_true(command_table_count(table) > 300);
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        char mixed[sizeof(info->name)];
        for (size_t i = 0; i < sizeof(mixed); i++) {
            char c = info->name[i];
            mixed[i] = (char)(i % 2 == 0 && c >= 'a' && c <= 'z' ? c - 32 : c);
        }
        char *second = strchr(mixed, '|');
        if (second != NULL) {
            *second++ = '\0';
        }
        assert_int_equal(info->id, id);
        assert_ptr_equal(find(mixed, second), info);
    }
}

static void what_is_nearly_a_name_is_unknown(void **state)
{
    static const struct slice names[] = {
        {"", 0},
        {"GE", 2},
        {"GETS", 4},
        {"GET ", 4},
        {"GET\0", 4},
        {"G\0T", 3},
        {"\x47\x45\x14", 3},
        {"object|freq", 11},
        {"{et", 3},
        {"g\xe5t", 3},
        {" get", 4},
        /* the bit of the case, set in what is no letter */
        {"SORT\x7f"
         "RO",
         7},
        {"eval\x7fro", 7},
        {"g\x05t", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(command_find(command_table_builtin(), &names[i], 1));
    }
    char long_name[4096];
    memset(long_name, 'a', sizeof(long_name));
    struct slice name = {long_name, sizeof(long_name)};
    assert_null(command_find(command_table_builtin(), &name, 1));
}

static void a_container_stands_for_its_unknown_subcommands(void **state)
{
    (void)state;
    assert_string_equal(find("OBJECT", NULL)->name, "object");
    assert_string_equal(find("object", "nope")->name, "object");
    assert_string_equal(find("object", "")->name, "object");
    assert_string_equal(find("object", "ENCODING")->name, "object|encoding");
    assert_string_equal(find("get", "encoding")->name, "get");
}

static void arity_is_exact_or_a_minimum(void **state)
{
    (void)state;
    assert_true(command_arity_fits(find("get", NULL), 2));
    assert_false(command_arity_fits(find("get", NULL), 1));
    assert_false(command_arity_fits(find("get", NULL), 3));
    assert_false(command_arity_fits(find("set", NULL), 2));
    assert_true(command_arity_fits(find("set", NULL), 3));
    assert_true(command_arity_fits(find("set", NULL), 300));
}

static void every_command_is_routed_handled_or_refused_with_a_reason(void **state)
{
    const struct command_table *table = command_table_builtin();
    (void)state;
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        assert_int_equal(info->handler == HANDLER_REFUSE, info->reason != NULL);
        if (info->reason != NULL) {
            assert_true(strlen(info->reason) > 10 && strlen(info->reason) < 300);
        }
        if (info->handler == HANDLER_ROUTE) {
            assert_true(info->nspecs > 0);
        }
    }
}

static void our_decisions_hold(void **state)
{
    static const struct {
        const char *first, *second;
        enum command_handler handler;
    } cases[] = {
        {"get", NULL, HANDLER_ROUTE},
        {"mget", NULL, HANDLER_SPLIT},
        {"unlink", NULL, HANDLER_SPLIT},
        {"client", "id", HANDLER_CLIENT},
        {"client", "setinfo", HANDLER_CLIENT},
        {"command", "docs", HANDLER_ANY_SHARD},
        {"command", NULL, HANDLER_ANY_SHARD},
        {"memory", "usage", HANDLER_ROUTE},
        {"memory", "stats", HANDLER_REFUSE},
        {"object", "help", HANDLER_ANY_SHARD},
        {"blpop", NULL, HANDLER_BLOCK},
        {"xread", NULL, HANDLER_BLOCK},
        {"xreadgroup", NULL, HANDLER_BLOCK},
        {"watch", NULL, HANDLER_WATCH},
        {"migrate", NULL, HANDLER_REFUSE},
        {"sort", NULL, HANDLER_ROUTE},
        {"flushall", NULL, HANDLER_FLUSH},
        {"msetnx", NULL, HANDLER_ROUTE},
        {"mset", NULL, HANDLER_SPLIT},
        {"script", "kill", HANDLER_SCRIPT_KILL},
        {"slowlog", "get", HANDLER_ALL_SHARDS},
        {"script", "debug", HANDLER_REFUSE},
        {"function", "load", HANDLER_ALL_SHARDS},
        {"swapdb", NULL, HANDLER_REFUSE},
        {"spublish", NULL, HANDLER_PUBLISH},
        {"ssubscribe", NULL, HANDLER_SUBSCRIBE},
        {"pubsub", "numsub", HANDLER_ANY_SHARD},
        {"punsubscribe", NULL, HANDLER_UNSUBSCRIBE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(find(cases[i].first, cases[i].second)->handler, cases[i].handler);
    }
    assert_true((find("set", NULL)->flags & COMMAND_SMALL_RESULT) != 0);
    assert_true((find("append", NULL)->flags & COMMAND_SMALL_RESULT) == 0);
    assert_true((find("expire", NULL)->flags & COMMAND_SMALL_RESULT) == 0);
}

static enum command_check check(const char *first, const char *second, unsigned argc)
{
    struct slice argv[4] = {slice_of(first), slice_of(second), SLICE("0"), SLICE("x")};
    return command_check(command_find(command_table_builtin(), argv, argc), argv, argc);
}

static void requests_are_checked_in_the_order_of_redis(void **state)
{
    (void)state;
    assert_int_equal(check("get", "k", 2), COMMAND_ADMITTED);
    assert_int_equal(check("nope", "k", 2), COMMAND_UNKNOWN);
    assert_int_equal(check("get", "k", 3), COMMAND_WRONG_ARITY);
    assert_int_equal(check("object", "nope", 2), COMMAND_UNKNOWN_SUBCOMMAND);
    assert_int_equal(check("object", "", 1), COMMAND_WRONG_ARITY);
    assert_int_equal(check("object", "freq", 2), COMMAND_WRONG_ARITY);
    assert_int_equal(check("multi", "", 1), COMMAND_ADMITTED);
    assert_int_equal(check("multi", "", 2), COMMAND_WRONG_ARITY);
    assert_int_equal(check("cluster", "info", 2), COMMAND_REFUSED);
    assert_int_equal(check("cluster", "nope", 3), COMMAND_UNKNOWN_SUBCOMMAND);
    assert_int_equal(check("client", "setinfo", 4), COMMAND_ADMITTED);
    assert_int_equal(check("command", "nope", 4), COMMAND_ADMITTED);
    struct slice form[] = {SLICE("copy"), SLICE("a"), SLICE("b"), SLICE("DB"), SLICE("1")};
    assert_int_equal(command_check(command_find(command_table_builtin(), form, 5), form, 5),
                     COMMAND_REFUSED_FORM);
}

static void the_protocol_page_is_current(void **state)
{
    struct buffer page, expected;
    struct error err = {.text = ""};
    (void)state;
    buffer_init(&page, SIZE_MAX);
    buffer_init(&expected, SIZE_MAX);
    bool is_read = file_read("docs/protocol.md", &page, NULL, &err);
    protocol_doc_write(&expected);
    if (!is_read || page.data == NULL || expected.data == NULL ||
        !slice_equal(buffer_slice(&page), buffer_slice(&expected))) {
        fail_msg("docs/protocol.md is not what scripts/gen-protocol-doc writes %s", err.text);
    }
    buffer_fini(&page);
    buffer_fini(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_found_by_its_name_in_any_case),
        cmocka_unit_test(what_is_nearly_a_name_is_unknown),
        cmocka_unit_test(a_container_stands_for_its_unknown_subcommands),
        cmocka_unit_test(arity_is_exact_or_a_minimum),
        cmocka_unit_test(every_command_is_routed_handled_or_refused_with_a_reason),
        cmocka_unit_test(our_decisions_hold),
        cmocka_unit_test(requests_are_checked_in_the_order_of_redis),
        cmocka_unit_test(the_protocol_page_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
