/* Replies to COMMAND that no Redis 7.0 sends: from modules, newer servers, or nobody good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/command/command.h"

#define RANGE_SPEC                                                                              \
    "*6\r\n$5\r\nflags\r\n*1\r\n+RW\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\n"       \
    "index\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n" \
    "$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\n"   \
    "limit\r\n:0\r\n"

/* One command, its name a status. */
static char *command_text(const char *name, const char *arity, const char *specs,
                          const char *subcommands)
{
    return mem_printf("*10\r\n+%s\r\n%s\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n%s%s",
                      name, arity, specs, subcommands);
}

/* A reply with that command alone; consumes it. */
static struct command_table *learn(char *command, struct error *err)
{
    char *reply = mem_printf("*1\r\n%s", command);
    size_t length = strlen(reply);
    char *exact = mem_dup(reply, length);
    struct command_table *table = command_table_learn((struct slice){exact, length}, err);
    mem_free(exact);
    mem_free(reply);
    mem_free(command);
    return table;
}

static void expect_refused(char *command, const char *why)
{
    struct error err = {.text = ""};
    struct command_table *table = learn(command, &err);
    assert_null(table);
    if (strstr(err.text, why) == NULL) {
        fail_msg("expected \"%s\": %s", why, err.text);
    }
}

static const struct command_info *find(const struct command_table *table, const char *name)
{
    struct slice argv[1] = {slice_of(name)};
    return command_find(table, argv, 1);
}

static struct command_table *expect_learnt(char *command)
{
    struct error err = {.text = ""};
    struct command_table *table = learn(command, &err);
    if (table == NULL) {
        fail_msg("%s", err.text);
    }
    return table;
}

static void a_new_command_with_keys_is_routed_behind_the_known_ids(void **state)
{
    unsigned known = command_table_count(command_table_builtin());
    (void)state;
    struct command_table *table =
        expect_learnt(command_text("JSON.SET", ":-4", "*1\r\n" RANGE_SPEC, "*0\r\n"));
    const struct command_info *info = find(table, "json.SET");
    struct slice argv[4] = {SLICE("json.set"), SLICE("k"), SLICE("$"), SLICE("1")};
    struct command_key key;
    assert_int_equal(info->handler, HANDLER_ROUTE);
    assert_int_equal(info->id, known);
    assert_int_equal(command_table_count(table), known + 1);
    assert_int_equal(command_keys(info, argv, 4, &key, 1), 1);
    assert_true(key.position == 1 && key.is_written);
    assert_int_equal(find(table, "get")->id, find(command_table_builtin(), "get")->id);
    command_table_free(table);
}

static void a_new_command_without_keys_is_refused(void **state)
{
    (void)state;
    struct command_table *table = expect_learnt(command_text("ft.list", ":1", "*0\r\n", "*0\r\n"));
    assert_int_equal(find(table, "ft.list")->handler, HANDLER_REFUSE);
    assert_non_null(strstr(find(table, "ft.list")->reason, "FT.LIST"));
    command_table_free(table);
}

/* The range spec with one piece of its text replaced, as the only one of a command. */
static char *with_spec_text(const char *old, const char *new)
{
    const char *at = strstr(RANGE_SPEC, old);
    assert_non_null(at);
    return mem_printf("*1\r\n%.*s%s%s", (int)(at - RANGE_SPEC), RANGE_SPEC, new, at + strlen(old));
}

static char *with_spec(const char *old, const char *new)
{
    char *specs = with_spec_text(old, new);
    char *command = command_text("bad", ":-2", specs, "*0\r\n");
    mem_free(specs);
    return command;
}

/* As a module reports one: `flag` and `tips` are its own. */
static char *module_text(const char *name, const char *flag, const char *tips, const char *specs)
{
    return mem_printf("*10\r\n+%s\r\n:-2\r\n*1\r\n+%s\r\n:1\r\n:1\r\n:1\r\n*0\r\n%s%s*0\r\n", name,
                      flag, tips, specs);
}

static void expect_handler(char *command, const char *name, enum command_handler handler,
                           enum response_policy policy)
{
    struct command_table *table = expect_learnt(command);
    assert_int_equal(find(table, name)->handler, handler);
    assert_int_equal(find(table, name)->response_policy, policy);
    command_table_free(table);
}

static void a_module_tells_by_its_tips_what_belongs_on_all_shards(void **state)
{
    static const char sum[] = "*2\r\n$25\r\nrequest_policy:all_shards\r\n$23\r\n"
                              "response_policy:agg_sum\r\n";
    static const char special[] = "*2\r\n$25\r\nrequest_policy:all_shards\r\n$23\r\n"
                                  "response_policy:special\r\n";
    static const char strange[] = "*2\r\n$24\r\nrequest_policy:all_moons\r\n$23\r\n"
                                  "response_policy:agg_pun\r\n";
    static const char nodes[] = "*2\r\n$23\r\nnondeterministic_output\r\n$24\r\n"
                                "request_policy:all_nodes\r\n";
    (void)state;
    expect_handler(module_text("ts.count", "readonly", sum, "*0\r\n"), "ts.count",
                   HANDLER_ALL_SHARDS, RESPONSE_AGG_SUM);
    expect_handler(module_text("ft._list", "readonly", nodes, "*0\r\n"), "ft._list",
                   HANDLER_ALL_SHARDS, RESPONSE_DEFAULT);
    expect_handler(module_text("ft.info", "readonly", special, "*0\r\n"), "ft.info", HANDLER_REFUSE,
                   RESPONSE_SPECIAL);
    expect_handler(module_text("ft.odd", "readonly", strange, "*0\r\n"), "ft.odd", HANDLER_REFUSE,
                   RESPONSE_DEFAULT);
    /* It would write keys that it does not name. */
    expect_handler(module_text("ft.drop", "write", sum, "*0\r\n"), "ft.drop", HANDLER_REFUSE,
                   RESPONSE_AGG_SUM);
}

static void a_module_command_with_keys_anywhere_is_split(void **state)
{
    static const char multi[] = "*1\r\n$26\r\nrequest_policy:multi_shard\r\n";
    char *specs = with_spec_text("lastkey\r\n:0", "lastkey\r\n:-2");
    (void)state;
    expect_handler(module_text("json.mget", "readonly", multi, specs), "json.mget", HANDLER_SPLIT,
                   RESPONSE_DEFAULT);
    /* One key: there is nothing to split. */
    expect_handler(module_text("json.get", "readonly", multi, "*1\r\n" RANGE_SPEC), "json.get",
                   HANDLER_ROUTE, RESPONSE_DEFAULT);
    mem_free(specs);
}

static void a_server_without_tips_takes_none_away(void **state)
{
    (void)state;
    expect_handler(command_text("dbsize", ":1", "*0\r\n", "*0\r\n"), "dbsize", HANDLER_DBSIZE,
                   RESPONSE_AGG_SUM);
}

static void a_new_subcommand_follows_its_container(void **state)
{
    (void)state;
    char *sub = command_text("client|setinfo", ":4", "*0\r\n", "*0\r\n");
    char *subs = mem_printf("*1\r\n%s", sub);
    struct command_table *table = expect_learnt(command_text("client", ":-2", "*0\r\n", subs));
    struct slice argv[4] = {SLICE("CLIENT"), SLICE("SetInfo"), SLICE("a"), SLICE("b")};
    const struct command_info *info = command_find(table, argv, 4);
    assert_string_equal(info->name, "client|setinfo");
    assert_int_equal(info->handler, HANDLER_CLIENT);
    argv[1] = SLICE("id");
    assert_string_equal(command_find(table, argv, 2)->name, "client|id");
    assert_int_equal(command_find(table, argv, 2)->id,
                     command_find(command_table_builtin(), argv, 2)->id);
    mem_free(sub);
    mem_free(subs);
    command_table_free(table);
}

static void the_server_wins_for_arity_and_keys_but_we_for_handlers(void **state)
{
    (void)state;
    struct command_table *table =
        expect_learnt(command_text("dbsize", ":7", "*1\r\n" RANGE_SPEC, "*0\r\n"));
    assert_int_equal(find(table, "dbsize")->arity, 7);
    assert_int_equal(find(table, "dbsize")->nspecs, 1);
    assert_int_equal(find(table, "dbsize")->handler, HANDLER_DBSIZE);
    assert_int_equal(find(command_table_builtin(), "dbsize")->arity, 1);
    command_table_free(table);
}

static void a_lie_about_the_arity_finds_no_keys_beyond_the_arguments(void **state)
{
    static const char *const names[] = {"sort", "georadius", "xread", "get", "eval"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct command_table *table =
            expect_learnt(command_text(names[i], ":-1", "*1\r\n" RANGE_SPEC, "*0\r\n"));
        struct slice argv[1] = {slice_of(names[i])};
        assert_true(command_keys(find(table, names[i]), argv, 1, NULL, 0) <= 0);
        command_table_free(table);
    }
}

static void a_spec_of_an_unknown_kind_makes_a_new_command_refused(void **state)
{
    (void)state;
    struct command_table *table = expect_learnt(with_spec("$5\r\nrange", "$5\r\nfancy"));
    assert_int_equal(find(table, "bad")->handler, HANDLER_REFUSE);
    assert_non_null(strstr(find(table, "bad")->reason, "cannot be told"));
    command_table_free(table);
    table = expect_learnt(with_spec("*1\r\n+RW\r\n", "*2\r\n+RW\r\n+incomplete\r\n"));
    assert_int_equal(find(table, "bad")->handler, HANDLER_REFUSE);
    command_table_free(table);
    table = expect_learnt(with_spec("*1\r\n+RW\r\n", "*2\r\n+RW\r\n+not_key\r\n"));
    assert_non_null(strstr(find(table, "bad")->reason, "names no key"));
    command_table_free(table);
}

static void a_name_that_does_not_fit_is_left_out(void **state)
{
    char name[64];
    (void)state;
    memset(name, 'n', sizeof(name));
    name[48] = '\0';
    struct command_table *table = expect_learnt(command_text(name, ":1", "*0\r\n", "*0\r\n"));
    assert_int_equal(command_table_count(table), command_table_count(command_table_builtin()));
    command_table_free(table);
    name[47] = '\0';
    table = expect_learnt(command_text(name, ":1", "*0\r\n", "*0\r\n"));
    assert_non_null(find(table, name));
    command_table_free(table);
}

static void hostile_replies_are_refused_with_a_message(void **state)
{
    struct error err;
    (void)state;
    assert_null(command_table_learn(SLICE(""), &err));
    assert_null(command_table_learn(SLICE("*0\r\n"), &err));
    assert_null(command_table_learn(SLICE("-NOPERM no\r\n"), &err));
    assert_non_null(strstr(err.text, "NOPERM"));
    expect_refused(mem_strdup(":1\r\n"), "Redis 7");
    expect_refused(mem_strdup("*6\r\n+get\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n"), "Redis 7");
    expect_refused(command_text("", ":1", "*0\r\n", "*0\r\n"), "name");
    expect_refused(command_text("a b", ":1", "*0\r\n", "*0\r\n"), "name");
    expect_refused(command_text("bad", ":0", "*0\r\n", "*0\r\n"), "arity");
    expect_refused(command_text("bad", "+x", "*0\r\n", "*0\r\n"), "arity");
    expect_refused(command_text("bad", ":9999999999", "*0\r\n", "*0\r\n"), "arity");
    expect_refused(command_text("bad", ":1", ":3\r\n", "*0\r\n"), "key specifications");
    expect_refused(command_text("bad", ":1", "*1\r\n:3\r\n", "*0\r\n"), "key specifications");
    expect_refused(command_text("bad", ":1", "*0\r\n", "*1\r\n:1\r\n"), "in \"bad\"");
    expect_refused(with_spec("keystep\r\n:1", "keystep\r\n:0"), "key specifications");
    expect_refused(with_spec("keystep\r\n:1", "keystep\r\n:-1"), "key specifications");
    expect_refused(with_spec("limit\r\n:0", "limit\r\n:-1"), "key specifications");
    expect_refused(with_spec("index\r\n:1", "index\r\n:0"), "key specifications");
    expect_refused(with_spec("index\r\n:1", "index\r\n:-5"), "key specifications");
    expect_refused(with_spec("lastkey\r\n:0", "lastkey\r\n:9223372036854775807"),
                   "key specifications");
    expect_refused(with_spec("find_keys", "find_leys"), "key specifications");
    char *sub = command_text("other|x", ":1", "*0\r\n", "*0\r\n");
    char *subs = mem_printf("*1\r\n%s", sub);
    expect_refused(command_text("bad", ":1", "*0\r\n", subs), "named after its command");
    mem_free(subs);
    mem_free(sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_command_with_keys_is_routed_behind_the_known_ids),
        cmocka_unit_test(a_new_command_without_keys_is_refused),
        cmocka_unit_test(a_module_tells_by_its_tips_what_belongs_on_all_shards),
        cmocka_unit_test(a_module_command_with_keys_anywhere_is_split),
        cmocka_unit_test(a_server_without_tips_takes_none_away),
        cmocka_unit_test(a_new_subcommand_follows_its_container),
        cmocka_unit_test(the_server_wins_for_arity_and_keys_but_we_for_handlers),
        cmocka_unit_test(a_lie_about_the_arity_finds_no_keys_beyond_the_arguments),
        cmocka_unit_test(a_spec_of_an_unknown_kind_makes_a_new_command_refused),
        cmocka_unit_test(a_name_that_does_not_fit_is_left_out),
        cmocka_unit_test(hostile_replies_are_refused_with_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
