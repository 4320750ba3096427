#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/command/command.h"

#define ARGS_MAX 16

struct request {
    struct slice argv[ARGS_MAX];
    unsigned argc;
    const struct command_info *info;
};

/* Words between single spaces. */
static struct request request_of(const char *line)
{
    struct request request = {.argc = 0};
    while (*line != '\0') {
        size_t length = strcspn(line, " ");
        assert_true(request.argc < ARGS_MAX);
        request.argv[request.argc++] = (struct slice){line, length};
        line += length + (line[length] == ' ' ? 1 : 0);
    }
    request.info = command_find(command_table_builtin(), request.argv, request.argc);
    assert_non_null(request.info);
    return request;
}

typedef int find_fn(const struct command_info *info, const struct slice *argv, unsigned argc,
                    struct command_key *keys, unsigned capacity);

/* "1r 3w": positions with read or written; "-1": the arguments do not fit. */
static char *keys_of(const char *line, find_fn *find)
{
    struct command_key keys[ARGS_MAX];
    struct request request = request_of(line);
    int count = find(request.info, request.argv, request.argc, keys, ARGS_MAX);
    char *text = mem_strdup(count < 0 ? "-1" : "");
    for (int i = 0; i < count; i++) {
        char *longer = mem_printf("%s%s%u%c", text, i > 0 ? " " : "", keys[i].position,
                                  keys[i].is_written ? 'w' : 'r');
        mem_free(text);
        text = longer;
    }
    return text;
}

struct expected {
    const char *line, *keys;
};

static void expect_keys(const struct expected *cases, size_t count, find_fn *find)
{
    for (size_t i = 0; i < count; i++) {
        char *keys = keys_of(cases[i].line, find);
        if (strcmp(keys, cases[i].keys) != 0) {
            fail_msg("%s: keys %s, expected %s", cases[i].line, keys, cases[i].keys);
        }
        mem_free(keys);
    }
}

static void keys_are_where_the_command_reads_them(void **state)
{
    static const struct expected cases[] = {
        {"get k", "1r"},
        {"SET k v", "1w"},
        {"mset a 1 b 2", "1w 3w"},
        {"mget a b c", "1r 2r 3r"},
        {"rename a b", "1w 2w"},
        {"copy a b", "1r 2w"},
        {"bitop and d a b", "2w 3r 4r"},
        {"object encoding k", "2r"},
        {"xgroup create k g $", "2w"},
        {"eval s 2 a b c", "3w 4w"},
        {"eval s 0 a", ""},
        {"eval s 3 a b", "-1"},
        {"eval s -1 a b", "-1"},
        {"eval s 99999999999999999999 a", "-1"},
        {"eval s 2147483647 a", "-1"},
        {"eval_ro s 1 a", "3r"},
        {"fcall f 1 a", "3w"},
        {"fcall_ro f 1 a", "3r"},
        {"zunionstore d 2 a b weights 1 2", "1w 3r 4r"},
        {"zunion 2 a b", "2r 3r"},
        {"lmpop 2 a b left", "2w 3w"},
        {"pfcount a b", "1w 2w"},
        {"pfmerge d a", "1w 2r"},
        {"pfmerge d", "1w"},
        {"sort k", "1r"},
        {"sort k store d", "1r 3w"},
        {"SORT k LIMIT 0 STORE STORE d alpha", "1r 6w"},
        {"sort k by store get store store d", "1r 7w"},
        {"sort k store a store b", "1r 5w"},
        {"sort k store", "1r"},
        {"sort_ro k store d", "1r"},
        {"georadius k 0 0 1 m", "1r"},
        {"georadius k 0 0 1 m STORE a storedist b", "1r 7w 9w"},
        {"georadius k 0 0 1 m store a store b", "1r 7w 9w"},
        {"georadius k 0 0 1 m store store", "1r 7w"},
        {"georadiusbymember k m 1 m store a", "1r 6w"},
        {"georadius_ro k 0 0 1 m", "1r"},
        {"xread streams a b 0 0", "2r 3r"},
        {"xread count streams streams a 0", "4r"},
        {"xread count 1 streams a", ""},
        {"xread count 1", ""},
        {"xreadgroup group g c streams k >", "5w"},
        {"xreadgroup group streams streams streams k >", "5w"},
        {"xreadgroup count 1 group streams c noack streams k l > >", "8w 9w"},
        {"xreadgroup noack group g streams streams k >", "6w"},
    };

    (void)state;
    expect_keys(cases, sizeof(cases) / sizeof(cases[0]), command_keys);
}

/* What a real Redis 7.0 says of them is asked by tests/integration/acl_test.c. */
static void what_cannot_run_is_judged_by_the_keys_that_redis_takes_for_its(void **state)
{
    static const struct expected cases[] = {
        {"get k", "1r"},
        {"xread count streams streams a 0", "3r"}, /* as Redis does, which counts by words */
        {"xread count 1 streams a 0", "4r"},
        {"xread count 1 block 0 streams a b 0 0", "6r 7r"},
        {"xread streams a b 0", "2r"},
        {"xread b streams b streams", "3r"},
        {"xread group g c streams k 0", "5r"},
        {"xread a b", ""},
        {"xread a b streams", ""},
        {"xread noack streams k 0", "3r"},
        {"xread count x streams k 0", "4r"},
        {"xreadgroup group g c streams k >", "5w"},
        {"xreadgroup group streams streams streams k >", "5w"},
        {"xreadgroup streams a b c d e f", ""},
        {"xreadgroup count 1 streams b c d", ""},
        {"zunionstore d 2 a b", "1w 3r 4r"},
        {"zunionstore d 0 a b", ""},
        {"zunion 0 a b", ""},
        {"eval s 0 a", ""},
        {"eval s 1 a", "3w"},
        {"eval s 3 a", "-1"},
        {"pfmerge d", "1w"},
    };

    (void)state;
    expect_keys(cases, sizeof(cases) / sizeof(cases[0]), command_acl_keys);
}

static void more_keys_than_there_is_room_for_are_counted(void **state)
{
    struct command_key keys[3] = {
        {.position = 0}, {.position = 0}, {.position = 77, .is_written = true}};
    struct request request = request_of("mget a b c d e");
    (void)state;
    assert_int_equal(command_keys(request.info, request.argv, request.argc, keys, 2), 5);
    assert_int_equal(keys[1].position, 2);
    assert_int_equal(keys[2].position, 77);
    assert_int_equal(command_keys(request.info, request.argv, request.argc, NULL, 0), 5);
}

static void forms_that_name_other_keys_are_refused(void **state)
{
    static const struct {
        const char *line;
        bool is_refused;
    } cases[] = {
        {"copy a b", false},
        {"copy a b replace", false},
        {"copy a b REPLACE db 1", true},
        {"copy a b db 0", false},
        {"copy a b db x", false},
        {"copy a b db", false},
        {"copy a b db 0 db -1", true},
        {"copy a b replace db 01", true},
        {"copy db db", false},
        {"sort k by nosort", false},
        {"sort k get #", false},
        {"sort k by w_*", true},
        {"sort k limit 0 1 get # GET x*->f", true},
        {"sort k store by", false},
        {"sort k store get* desc", false},
        {"sort_ro k by *", true},
        {"get k", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request = request_of(cases[i].line);
        const char *reason = command_refused_form(request.info, request.argv, request.argc);
        if ((reason != NULL) != cases[i].is_refused) {
            fail_msg("%s: %s", cases[i].line, reason == NULL ? "not refused" : reason);
        }
    }
}

static void only_what_may_wait_blocks(void **state)
{
    static const struct {
        const char *line;
        bool blocks;
    } cases[] = {
        {"blpop k 0", true},          {"lpop k", false},
        {"xread streams k 0", false}, {"xread BLOCK 0 streams k 0", true},
        {"bzmpop 0 1 k min", true},   {"xreadgroup group g block streams k >", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request = request_of(cases[i].line);
        assert_int_equal(command_blocks(request.info, request.argv, request.argc), cases[i].blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_where_the_command_reads_them),
        cmocka_unit_test(what_cannot_run_is_judged_by_the_keys_that_redis_takes_for_its),
        cmocka_unit_test(more_keys_than_there_is_room_for_are_counted),
        cmocka_unit_test(forms_that_name_other_keys_are_refused),
        cmocka_unit_test(only_what_may_wait_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
