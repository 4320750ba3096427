/* Rules, one by one, and what they allow. That Redis judges the same is shown by
 * tests/integration/acl_test.c; here are the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/acl/acl.h"
#include "lib/acl/glob.h"
#include "lib/base/memory.h"

#define HASH "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" /* of "secret" */

static struct acl *parse(const char *text)
{
    struct error err = {.text = ""};
    struct acl *acl = acl_parse(slice_of(text), command_table_builtin(), NULL, &err);
    if (acl == NULL) {
        fail_msg("%s: %s", text, err.text);
    }
    return acl;
}

static void expect_wrong(const char *text, const char *why)
{
    struct error err = {.text = ""};
    struct acl *acl = acl_parse(slice_of(text), command_table_builtin(), NULL, &err);
    assert_null(acl);
    if (strstr(err.text, why) == NULL) {
        fail_msg("%s: expected \"%s\": %s", text, why, err.text);
    }
}

/* What `user u RULES` is shown as. */
static void expect_shown(const char *rules, const char *shown)
{
    char *text = mem_printf("user u %s", rules);
    struct acl *acl = parse(text);
    struct buffer line;
    buffer_init(&line, SIZE_MAX);
    acl_describe_user(acl_find(acl, SLICE("u")), &line);
    buffer_add(&line, "", 1);
    assert_string_equal(buffer_slice(&line).data, shown);
    buffer_fini(&line);
    acl_unref(acl);
    mem_free(text);
}

static void rules_are_shown_so_that_they_can_be_read_again(void **state)
{
    (void)state;
    expect_shown("", "user u off resetchannels -@all");
    expect_shown("on nopass allkeys allchannels allcommands", "user u on nopass ~* &* +@all");
    expect_shown("ON NoPass AllKeys", "user u on nopass ~* resetchannels -@all");
    expect_shown(">secret", "user u off #" HASH " resetchannels -@all");
    expect_shown("nopass >secret", "user u off #" HASH " resetchannels -@all");
    expect_shown(">secret nopass", "user u off nopass resetchannels -@all");
    expect_shown(">secret <secret", "user u off resetchannels -@all");
    expect_shown("#" HASH " !" HASH, "user u off resetchannels -@all");
    expect_shown("~a ~b ~a", "user u off ~a ~b resetchannels -@all");
    expect_shown("%R~a %W~a %R~b %rw~c", "user u off ~a %R~b ~c resetchannels -@all");
    expect_shown("%RW~*", "user u off ~* resetchannels -@all");
    expect_shown("~a allkeys", "user u off ~* resetchannels -@all");
    expect_shown("allkeys resetkeys ~b", "user u off ~b resetchannels -@all");
    expect_shown("+GET +@Read -get +config|GET",
                 "user u off resetchannels -@all +@read -get +config|get");
    expect_shown("+get -@all +set", "user u off resetchannels -@all +set");
    expect_shown("on ~x +get reset +set", "user u off resetchannels -@all +set");
    expect_shown("( +get   ~x ) (~y)",
                 "user u off resetchannels -@all (~x resetchannels -@all +get) (~y resetchannels "
                 "-@all)");
    expect_shown("(+get) clearselectors", "user u off resetchannels -@all");
    expect_shown("sanitize-payload skip-sanitize-payload", "user u off resetchannels -@all");
}

/* Found by the fuzzer. Redis 7.0 shows such a selector, and then cannot read it, just so. */
static void a_selector_ends_at_the_first_word_that_ends_in_a_parenthesis(void **state)
{
    (void)state;
    expect_shown("(&))", "user u off resetchannels -@all (resetchannels &) -@all)");
    expect_wrong("user u (resetchannels &) -@all)", "rule \"-@all)\": Unknown command");
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    (void)state;
    expect_wrong("user a on\nuser b nonsense\n", "line 2: user \"b\", rule \"nonsense\": Syntax");
    expect_wrong("\n# a comment\nusers a\n", "line 3: a line must be");
    expect_wrong("user", "line 1: a line must be");
    expect_wrong("user a on\r\nuser a off", "line 2: user \"a\" is named twice");
    expect_wrong("user a +nosuch", "Unknown command or category");
    expect_wrong("user a +@nosuch", "Unknown command or category");
    expect_wrong("user a +config|nosuch", "Unknown command or category");
    expect_wrong("user a +get|x", "Unknown command or category");
    expect_wrong("user a +", "Unknown command or category");
    expect_wrong("user a +@", "Unknown command or category");
    expect_wrong("user a (+get", "Unmatched parenthesis");
    expect_wrong("user a (", "Unmatched parenthesis");
    expect_wrong("user a (on)", "Syntax error");
    expect_wrong("user a %~x", "Syntax error");
    expect_wrong("user a %R", "Syntax error");
    expect_wrong("user a %X~x", "Syntax error");
    expect_wrong("user a allkeys ~x", "is not valid");
    expect_wrong("user a #12", "exactly 64");
    expect_wrong("user a #" HASH "0", "exactly 64");
    expect_wrong("user a <gone", "does not exist");
}

static void a_wrong_password_rule_does_not_show_the_password(void **state)
{
    struct error err = {.text = ""};
    (void)state;
    assert_null(acl_parse(SLICE("user a <hidden"), command_table_builtin(), NULL, &err));
    assert_null(strstr(err.text, "hidden"));
}

static void unknown_commands_wait_until_they_are_learnt(void **state)
{
    struct error err;
    struct buffer unknown;
    (void)state;
    buffer_init(&unknown, SIZE_MAX);
    struct acl *acl = acl_parse(SLICE("user a +json.get +get -ft.search"), command_table_builtin(),
                                &unknown, &err);
    assert_non_null(acl);
    assert_true(slice_equal(buffer_slice(&unknown), SLICE(" +json.get -ft.search")));
    buffer_clear(&unknown);
    acl_describe_user(acl_find(acl, SLICE("a")), &unknown);
    assert_true(slice_equal(buffer_slice(&unknown), SLICE("user a off resetchannels -@all "
                                                          "+json.get +get -ft.search")));
    acl_unref(acl);
    buffer_fini(&unknown);
}

/* Categories are the same everywhere, and no command with arguments only gets subcommands. */
static void what_cannot_be_learnt_is_wrong_at_once(void **state)
{
    static const char *const rules[] = {"+@jsn", "-@dangerus", "+select|0", "-get|x", "+", "-"};
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct error err;
        struct buffer unknown;
        char *text = mem_printf("user a %s", rules[i]);
        buffer_init(&unknown, SIZE_MAX);
        assert_null(acl_parse(slice_of(text), command_table_builtin(), &unknown, &err));
        assert_non_null(strstr(err.text, "Unknown command or category"));
        buffer_fini(&unknown);
        mem_free(text);
    }
}

/* As a server with one more command reports it. */
static struct command_table *learn(const char *name)
{
    struct error err = {.text = ""};
    char *reply = mem_printf("*1\r\n*10\r\n+%s\r\n:-1\r\n*1\r\n+write\r\n:0\r\n:0\r\n:0\r\n"
                             "*0\r\n*0\r\n*0\r\n*0\r\n",
                             name);
    struct command_table *table = command_table_learn(slice_of(reply), &err);
    assert_string_equal(err.text, "");
    mem_free(reply);
    return table;
}

static enum acl_verdict judge(const struct acl_user *user, const struct command_table *table,
                              const char *name)
{
    const struct slice argv[] = {slice_of(name)};
    unsigned denied;
    return acl_check(user, command_find(table, argv, 1), argv, 1, &denied);
}

/* The new commands of two servers have one id: what counts for one must not for the other. */
static void a_denial_counts_for_its_own_command_alone(void **state)
{
    const char text[] = "user u on nopass ~* &* +@all -json.del";
    struct command_table *tables[] = {learn("json.del"), learn("ft.list")};
    const struct acl_user *users[2];
    struct acl *acls[2];
    struct buffer unknown;
    (void)state;
    buffer_init(&unknown, SIZE_MAX);
    for (unsigned i = 0; i < 2; i++) {
        acls[i] = acl_parse(slice_of(text), tables[i], &unknown, NULL);
        assert_non_null(acls[i]);
        users[i] = acl_find(acls[i], SLICE("u"));
        assert_int_equal(judge(users[i], tables[i], "time"), ACL_ALLOWED);
    }
    assert_int_equal(judge(users[0], tables[0], "json.del"), ACL_DENIED_COMMAND);
    assert_int_equal(judge(users[1], tables[1], "ft.list"), ACL_ALLOWED);
    assert_true(acl_user_equal(users[0], users[1])); /* nobody is closed for it */
    assert_true(slice_equal(buffer_slice(&unknown), SLICE(" -json.del")));
    for (unsigned i = 0; i < 2; i++) {
        acl_unref(acls[i]);
        command_table_free(tables[i]);
    }
    buffer_fini(&unknown);
}

/* Who is denied what nobody knows yet may not do everything meanwhile. */
static void a_denied_command_need_not_be_known(void **state)
{
    struct error err;
    struct buffer unknown;
    (void)state;
    buffer_init(&unknown, SIZE_MAX);
    struct acl *acl = acl_parse(SLICE("user bob on nopass ~* &* +@all -json.del\n"
                                      "user eve on nopass ~* &* +@all +json.del"),
                                command_table_builtin(), &unknown, &err);
    assert_non_null(acl);
    assert_false(acl_user_is_unlimited(acl_find(acl, SLICE("bob"))));
    assert_true(acl_user_is_unlimited(acl_find(acl, SLICE("eve"))));
    acl_unref(acl);
    buffer_fini(&unknown);
}

static void a_password_is_known_and_no_other(void **state)
{
    (void)state;
    struct acl *acl = parse("user a on >one >two\nuser b off >one\nuser c on nopass\nuser d on");
    const struct acl_user *a = acl_find(acl, SLICE("a"));
    assert_true(acl_user_knows(a, SLICE("one")));
    assert_true(acl_user_knows(a, SLICE("two")));
    assert_false(acl_user_knows(a, SLICE("")));
    assert_false(acl_user_knows(a, SLICE("on")));
    assert_false(acl_user_knows(a, SLICE("onee")));
    assert_false(acl_user_knows(acl_find(acl, SLICE("b")), SLICE("one")));
    assert_true(acl_user_knows(acl_find(acl, SLICE("c")), SLICE("whatever")));
    assert_false(acl_user_knows(acl_find(acl, SLICE("d")), SLICE("")));
    assert_true(acl_user_is_unlimited(acl_default(acl)));
    assert_false(acl_user_is_unlimited(a));
    assert_null(acl_find(acl, SLICE("e")));
    acl_unref(acl);
    acl = acl_of_password("pw", command_table_builtin());
    assert_true(acl_user_needs_password(acl_default(acl)));
    assert_true(acl_user_knows(acl_default(acl), SLICE("pw")));
    assert_false(acl_user_knows(acl_default(acl), SLICE("")));
    acl_unref(acl);
}

static void each_of_many_users_is_found(void **state)
{
    struct buffer text;
    struct error err;
    (void)state;
    buffer_init(&text, SIZE_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        buffer_printf(&text, "user u%u on nopass ~%u:*\n", i * 7 % 1000, i);
    }
    struct acl *acl = acl_parse(buffer_slice(&text), command_table_builtin(), NULL, &err);
    assert_non_null(acl);
    assert_int_equal(acl_count(acl), 1001);
    for (unsigned i = 0; i < 1001; i++) {
        const struct acl_user *user = acl_at(acl, i);
        assert_ptr_equal(acl_find(acl, slice_of(acl_user_name(user))), user);
    }
    assert_null(acl_find(acl, SLICE("")));
    assert_null(acl_find(acl, SLICE("u1000")));
    assert_null(acl_find(acl, SLICE("u1\0")));
    assert_null(acl_find(acl, SLICE("a")));
    assert_null(acl_find(acl, SLICE("v")));
    acl_unref(acl);
    buffer_printf(&text, "# again\nuser u500 off");
    assert_null(acl_parse(buffer_slice(&text), command_table_builtin(), NULL, &err));
    assert_string_equal(err.text, "line 1002: user \"u500\" is named twice");
    buffer_fini(&text);
}

static void users_are_equal_when_their_rules_are(void **state)
{
    (void)state;
    struct acl *a = parse("user u on >x ~a +get\nuser v on");
    struct acl *b = parse("user v on\nuser u +get ~a on >x");
    assert_true(acl_user_equal(acl_find(a, SLICE("u")), acl_find(b, SLICE("u"))));
    assert_false(acl_user_equal(acl_find(a, SLICE("u")), acl_find(b, SLICE("v"))));
    acl_unref(a);
    acl_unref(b);
}

static void patterns_match_as_those_of_redis(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } cases[] = {{"", "", true},           {"", "a", false},         {"*", "", true},
                 {"a*", "a", true},        {"a*", "b", false},       {"*a", "bba", true},
                 {"a*b*c", "axbxc", true}, {"a*b*c", "axbx", false}, {"?", "", false},
                 {"?", "a", true},         {"[abc]", "b", true},     {"[abc]", "d", false},
                 {"[^abc]", "d", true},    {"[^abc]", "a", false},   {"[a-c]x", "bx", true},
                 {"[c-a]x", "bx", true},   {"\\*", "*", true},       {"\\*", "a", false},
                 {"[\\]]", "]", true},     {"a\\", "a\\", true},     {"[a", "a", true},
                 {"**a", "a", true},       {"A", "a", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (glob_matches(slice_of(cases[i].pattern), slice_of(cases[i].text)) !=
            cases[i].is_match) {
            fail_msg("%s %s", cases[i].pattern, cases[i].text);
        }
    }
}

/* Two stars and a text without the end: what a naive matcher takes exponential time for. */
static void many_stars_take_no_time(void **state)
{
    char pattern[400], text[20000];
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));
    assert_false(
        glob_matches((struct slice){pattern, sizeof(pattern)}, (struct slice){text, sizeof(text)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_shown_so_that_they_can_be_read_again),
        cmocka_unit_test(a_selector_ends_at_the_first_word_that_ends_in_a_parenthesis),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(a_wrong_password_rule_does_not_show_the_password),
        cmocka_unit_test(unknown_commands_wait_until_they_are_learnt),
        cmocka_unit_test(what_cannot_be_learnt_is_wrong_at_once),
        cmocka_unit_test(a_denial_counts_for_its_own_command_alone),
        cmocka_unit_test(a_denied_command_need_not_be_known),
        cmocka_unit_test(a_password_is_known_and_no_other),
        cmocka_unit_test(each_of_many_users_is_found),
        cmocka_unit_test(users_are_equal_when_their_rules_are),
        cmocka_unit_test(patterns_match_as_those_of_redis),
        cmocka_unit_test(many_stars_take_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
