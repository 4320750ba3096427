/* What we know of commands, held against a real server: its own table, its own key positions, its
 * own errors to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/command/command.h"
#include "lib/command/errors.h"
#include "lib/resp/value.h"
#include "tests/support/raw.h"
#include "tests/support/redis.h"
#include "tests/support/scratch.h"

#define ARGS_MAX 24

static struct redis_server *server;
static int connection = -1;
static struct buffer pending;

static int start(void **state)
{
    (void)state;
    server = redis_server_start(NULL);
    connection = raw_connect(redis_server_port(server));
    buffer_init(&pending, SIZE_MAX);
    return connection >= 0 ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    (void)close(connection);
    buffer_fini(&pending);
    redis_server_stop(server);
    return 0;
}

static void ask(struct buffer *reply, const struct slice *argv, unsigned argc)
{
    struct buffer request;
    buffer_init(&request, SIZE_MAX);
    buffer_init(reply, SIZE_MAX);
    raw_add_command(&request, (int)argc, argv);
    assert_true(raw_send(connection, buffer_slice(&request)));
    assert_true(raw_read_reply(connection, &pending, reply));
    buffer_fini(&request);
}

/* --- the table -------------------------------------------------------------------------------- */

static void expect_same_spec(const struct key_spec *a, const struct key_spec *b)
{
    assert_int_equal(a->begin, b->begin);
    assert_int_equal(a->find, b->find);
    assert_int_equal(a->is_written, b->is_written);
    assert_int_equal(a->is_incomplete, b->is_incomplete);
    assert_string_equal(a->keyword == NULL ? "" : a->keyword, b->keyword == NULL ? "" : b->keyword);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->keynum, b->keynum);
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->keynum_step, b->keynum_step);
}

static void expect_same_command(const struct command_info *a, const struct command_info *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->arity, b->arity);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->handler, b->handler);
    assert_int_equal(a->finder, b->finder);
    assert_int_equal(a->form, b->form);
    assert_string_equal(a->reason == NULL ? "" : a->reason, b->reason == NULL ? "" : b->reason);
    assert_int_equal(a->nspecs, b->nspecs);
    assert_int_equal(a->nsubcommands, b->nsubcommands);
    for (unsigned i = 0; i < a->nspecs; i++) {
        expect_same_spec(&a->specs[i], &b->specs[i]);
    }
}

static void expect_builtin(const struct command_table *learnt)
{
    const struct command_table *builtin = command_table_builtin();
    assert_int_equal(command_table_count(learnt), command_table_count(builtin));
    for (unsigned id = 0; id < command_table_count(builtin); id++) {
        expect_same_command(command_table_at(learnt, id), command_table_at(builtin, id));
    }
}

/* Fails as well when table.def was made from another version than the server here. */
static void expect_to_learn_builtin(void)
{
    const struct slice argv[] = {SLICE("COMMAND")};
    struct buffer reply;
    struct error err = {.text = ""};
    ask(&reply, argv, 1);
    struct command_table *learnt = command_table_learn(buffer_slice(&reply), &err);
    assert_string_equal(err.text, "");
    assert_non_null(learnt);
    expect_builtin(learnt);
    command_table_free(learnt);
    buffer_fini(&reply);
}

static void learning_from_the_server_gives_the_built_in_table(void **state)
{
    (void)state;
    expect_to_learn_builtin();
}

static void learning_in_resp3_gives_the_same(void **state)
{
    const struct slice resp3[] = {SLICE("HELLO"), SLICE("3")};
    const struct slice resp2[] = {SLICE("HELLO"), SLICE("2")};
    struct buffer reply;
    (void)state;
    ask(&reply, resp3, 2);
    assert_int_equal(reply.data[reply.start], '%');
    buffer_fini(&reply);
    expect_to_learn_builtin();
    ask(&reply, resp2, 2);
    buffer_fini(&reply);
}

/* Bytes go wrong in transit: never a crash, and always a table or a message. */
static void damaged_bytes_are_survived(void **state)
{
    const struct slice argv[] = {SLICE("COMMAND"), SLICE("INFO"),  SLICE("get"), SLICE("sort"),
                                 SLICE("object"),  SLICE("xread"), SLICE("eval")};
    struct buffer reply;
    (void)state;
    ask(&reply, argv, 7);
    size_t length = buffer_length(&reply);
    for (size_t i = 0; i < length; i++) {
        struct error err = {.text = ""};
        char *bytes = mem_dup(reply.data + reply.start, length);
        bytes[i] = (char)(bytes[i] ^ (1 << (i % 7)));
        struct command_table *table = command_table_learn((struct slice){bytes, length}, &err);
        assert_true((table == NULL) == (err.text[0] != '\0'));
        command_table_free(table);
        table = command_table_learn((struct slice){bytes, i}, &err);
        assert_null(table);
        mem_free(bytes);
    }
    buffer_fini(&reply);
}

/* --- keys ------------------------------------------------------------------------------------- */

struct sample {
    struct slice argv[ARGS_MAX];
    unsigned argc;
};

static bool is_readonly(const struct resp_value *flags)
{
    for (size_t i = 0; i < flags->count; i++) {
        if (slice_equal(flags->elements[i].text, SLICE("RO"))) {
            return true;
        }
    }
    return false;
}

/* Where we say "written" and the server "read": XREADGROUP moves the group; PFCOUNT's spec and
 * BITFIELD's tell what they may do, the server looks at the arguments. */
static bool may_differ(const struct command_info *info)
{
    return strcmp(info->name, "xreadgroup") == 0 || strcmp(info->name, "bitfield") == 0;
}

/* The server runs `PFMERGE d`, and yet finds no key in it when asked. */
static bool is_refused_wrongly(const struct sample *sample)
{
    return sample->argc == 2 && slice_equal_nocase(sample->argv[0], SLICE("pfmerge"));
}

static struct resp_value *ask_keys(struct buffer *reply, const struct sample *sample)
{
    struct error err;
    struct slice argv[ARGS_MAX + 2] = {SLICE("COMMAND"), SLICE("GETKEYSANDFLAGS")};
    memcpy(argv + 2, sample->argv, sample->argc * sizeof(argv[0]));
    ask(reply, argv, sample->argc + 2);
    struct resp_value *root = resp_value_parse(buffer_slice(reply), &err);
    assert_non_null(root);
    return root;
}

static void expect_keys_of_server(const struct sample *sample)
{
    struct command_key keys[ARGS_MAX];
    struct buffer reply;
    const struct command_info *info =
        command_find(command_table_builtin(), sample->argv, sample->argc);
    int count = command_keys(info, sample->argv, sample->argc, keys, ARGS_MAX);
    struct resp_value *root = ask_keys(&reply, sample);
    size_t expected = root->type == RESP_ERROR ? 0 : root->count;
    if ((size_t)(count < 0 ? 0 : count) != expected) {
        fail_msg("%s with %u arguments: %d keys, but the server: %.*s", info->name, sample->argc,
                 count, (int)buffer_length(&reply), reply.data);
    }
    for (size_t i = 0; i < expected; i++) {
        const struct resp_value *key = &root->elements[i];
        assert_true(slice_equal(key->elements[0].text, sample->argv[keys[i].position]));
        bool is_written = !is_readonly(&key->elements[1]);
        if (keys[i].is_written != is_written && !(keys[i].is_written && may_differ(info))) {
            fail_msg("%s: key %zu is %s", info->name, i, is_written ? "written" : "read");
        }
    }
    resp_value_free(root);
    buffer_fini(&reply);
}

/* Every argument another word, "2" where a number of keys is expected. */
static void fill_sample(const struct command_info *info, unsigned argc, struct sample *sample)
{
    static const char *const words[ARGS_MAX] = {
        "a0",  "a1",  "a2",  "a3",  "a4",  "a5",  "a6",  "a7",  "a8",  "a9",  "a10", "a11",
        "a12", "a13", "a14", "a15", "a16", "a17", "a18", "a19", "a20", "a21", "a22", "a23"};
    const char *second = strchr(info->name, '|');
    sample->argc = argc;
    for (unsigned i = 0; i < argc; i++) {
        sample->argv[i] = slice_of(words[i]);
    }
    sample->argv[0] = slice_of(info->name);
    if (second != NULL) {
        sample->argv[0].len = (size_t)(second - info->name);
        sample->argv[1] = slice_of(second + 1);
    }
    for (unsigned i = 0; i < info->nspecs; i++) {
        const struct key_spec *spec = &info->specs[i];
        if (spec->find == KEY_FIND_KEYNUM && (unsigned)(spec->index + spec->keynum) < argc) {
            sample->argv[spec->index + spec->keynum] = SLICE("2");
        }
    }
}

static void keys_of_every_command_are_those_the_server_finds(void **state)
{
    const struct command_table *table = command_table_builtin();
    unsigned checked = 0;
    (void)state;
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        unsigned least = (unsigned)abs(info->arity);
        unsigned most = info->arity < 0 ? least + 5 : least;
        for (unsigned argc = least; argc <= most && info->nspecs > 0; argc++) {
            struct sample sample;
            fill_sample(info, argc, &sample);
            if (!is_refused_wrongly(&sample)) {
                expect_keys_of_server(&sample);
                checked++;
            }
        }
    }
    assert_true(checked > 500);
}

static void keys_behind_options_are_those_the_server_finds(void **state)
{
    static const char *const lines[] = {
        "SET k v GET",
        "SET k v EX 1",
        "BITFIELD k GET u8 0",
        "BITFIELD k SET u8 0 1",
        "SORT k BY nosort GET # LIMIT 0 1 STORE d",
        "SORT k STORE a STORE b",
        "SORT k LIMIT STORE STORE STORE d",
        "SORT_RO k BY nosort LIMIT 0 1",
        "GEORADIUS k 0 0 1 m COUNT 1 STORE d",
        "GEORADIUS k 0 0 1 m StoreDist d",
        "GEORADIUSBYMEMBER k m 1 m STORE d",
        "GEOSEARCHSTORE d k FROMMEMBER m BYRADIUS 1 m",
        "XREAD STREAMS a b 0 0",
        "XREAD COUNT 1 BLOCK 0 streams a 0",
        "XREADGROUP GROUP g c STREAMS a b > >",
        "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a >",
        "EVAL s 2 a b c",
        "EVALSHA_RO s 1 a",
        "FCALL f 1 a b",
        "ZUNIONSTORE d 3 a b c WEIGHTS 1 2 3",
        "ZMPOP 2 a b MIN",
        "BZMPOP 0 2 a b MIN",
        "MSETNX a 1 b 2",
        "COPY a b DB 1",
        "LCS a b LEN",
        "PFMERGE d a b",
        "BLMOVE a b LEFT RIGHT 0",
        "MIGRATE h 1 k 0 5",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct sample sample = {.argc = 0};
        for (const char *word = lines[i]; *word != '\0'; word += strspn(word, " ")) {
            size_t length = strcspn(word, " ");
            sample.argv[sample.argc++] = (struct slice){word, length};
            word += length;
        }
        expect_keys_of_server(&sample);
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

static void expect_error_of_server(const struct slice *argv, unsigned argc)
{
    struct buffer theirs, ours;
    const struct command_info *info = command_find(command_table_builtin(), argv, argc);
    enum command_check check = command_check(info, argv, argc);
    buffer_init(&ours, COMMAND_ERROR_MAX);
    ask(&theirs, argv, argc);
    assert_int_not_equal(check, COMMAND_ADMITTED);
    assert_true(command_error(&ours, check, info, argv, argc));
    if (ours.data == NULL || theirs.data == NULL ||
        !slice_equal(buffer_slice(&ours), buffer_slice(&theirs))) {
        fail_msg("ours: %.*stheirs: %.*s", (int)buffer_length(&ours), ours.data,
                 (int)buffer_length(&theirs), theirs.data);
    }
    buffer_fini(&ours);
    buffer_fini(&theirs);
}

static void unknown_commands_get_the_servers_error(void **state)
{
    char letters[300];
    (void)state;
    memset(letters, 'x', sizeof(letters));
    const struct slice cases[][4] = {
        {SLICE("foo"), SLICE("a"), SLICE("b"), SLICE("")},
        {SLICE("fo\r\no"), SLICE("a\r\nb"), SLICE("\n"), SLICE("\r")},
        {SLICE("f\0o"), SLICE("a\0b"), SLICE("\0"), SLICE("c")},
        {SLICE("f%so"), SLICE("%d%n"), SLICE("'quoted'"), SLICE("\x01\x7f\xff")},
        {SLICE(""), SLICE(""), SLICE(""), SLICE("")},
        {SLICE("OBJECT"), SLICE("nope"), SLICE("b"), SLICE("")},
        {SLICE("obJect"), SLICE("NO\r\npe"), SLICE("b"), SLICE("")},
        {SLICE("xgroup"), SLICE("no\0pe"), SLICE("b"), SLICE("")},
        {SLICE("memory"), SLICE(""), SLICE("b"), SLICE("")},
        {SLICE("cluster"), {letters, 128}, SLICE("b"), SLICE("")},
        {SLICE("cluster"), {letters, 129}, SLICE("b"), SLICE("")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_error_of_server(cases[i], 4);
    }
    for (size_t length = 115; length < 140; length++) {
        const struct slice argv[] = {{letters, length}, {letters, length}, {letters, 300}};
        expect_error_of_server(argv, 1);
        expect_error_of_server(argv, 2);
        expect_error_of_server(argv, 3);
    }
}

static void unknown_commands_with_many_arguments_get_the_servers_error(void **state)
{
    struct slice argv[200];
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        argv[i] = SLICE("abc");
    }
    for (unsigned argc = 1; argc < 200; argc += 7) {
        expect_error_of_server(argv, argc);
    }
}

static void wrong_arity_gets_the_servers_error_for_every_command(void **state)
{
    const struct command_table *table = command_table_builtin();
    unsigned checked = 0;
    (void)state;
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        struct sample sample;
        unsigned words = strchr(info->name, '|') == NULL ? 1 : 2;
        fill_sample(info, words, &sample);
        if (!command_arity_fits(info, words)) {
            expect_error_of_server(sample.argv, words);
            checked++;
        }
        if (info->arity > 0 && info->nsubcommands == 0) {
            fill_sample(info, (unsigned)info->arity + 1, &sample);
            expect_error_of_server(sample.argv, sample.argc);
            checked++;
        }
    }
    assert_true(checked > 400);
}

static void cluster_words_are_the_servers(void **state)
{
    const struct slice info[] = {SLICE("CLUSTER"), SLICE("INFO")};
    const struct slice readonly[] = {SLICE("READONLY")};
    const struct slice asking[] = {SLICE("asking")};
    (void)state;
    expect_error_of_server(info, 2);
    expect_error_of_server(readonly, 1);
    expect_error_of_server(asking, 1);
}

static void crossslot_words_are_those_of_a_cluster_node(void **state)
{
    char bus_port[8]; /* the default, 10000 above its own, may not exist */
    (void)snprintf(bus_port, sizeof(bus_port), "%u", scratch_port());
    const char *const options[] = {"--cluster-enabled", "yes", "--cluster-port", bus_port, NULL};
    const struct slice slots[] = {SLICE("CLUSTER"), SLICE("ADDSLOTSRANGE"), SLICE("0"),
                                  SLICE("16383")};
    const struct slice mget[] = {SLICE("MGET"), SLICE("a"), SLICE("b")};
    struct redis_server *node = redis_server_start(options);
    struct buffer request, node_pending, theirs, ours;
    (void)state;
    int fd = raw_connect(redis_server_port(node));
    buffer_init(&request, SIZE_MAX);
    buffer_init(&node_pending, SIZE_MAX);
    buffer_init(&theirs, SIZE_MAX);
    buffer_init(&ours, SIZE_MAX);
    raw_add_command(&request, 4, slots);
    raw_add_command(&request, 3, mget);
    assert_true(raw_send(fd, buffer_slice(&request)));
    assert_true(raw_read_reply(fd, &node_pending, &theirs));
    buffer_clear(&theirs);
    assert_true(raw_read_reply(fd, &node_pending, &theirs));
    assert_true(command_error_crossslot(&ours));
    assert_int_equal(buffer_length(&ours), buffer_length(&theirs));
    assert_memory_equal(ours.data, theirs.data, buffer_length(&ours));
    buffer_fini(&request);
    buffer_fini(&node_pending);
    buffer_fini(&theirs);
    buffer_fini(&ours);
    (void)close(fd);
    redis_server_stop(node);
}

static void an_error_that_does_not_fit_is_not_begun(void **state)
{
    struct buffer reply;
    (void)state;
    buffer_init(&reply, 10);
    assert_false(command_error_text(&reply, "much more than ten bytes"));
    assert_int_equal(buffer_length(&reply), 0);
    buffer_fini(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_from_the_server_gives_the_built_in_table),
        cmocka_unit_test(learning_in_resp3_gives_the_same),
        cmocka_unit_test(damaged_bytes_are_survived),
        cmocka_unit_test(keys_of_every_command_are_those_the_server_finds),
        cmocka_unit_test(keys_behind_options_are_those_the_server_finds),
        cmocka_unit_test(unknown_commands_get_the_servers_error),
        cmocka_unit_test(unknown_commands_with_many_arguments_get_the_servers_error),
        cmocka_unit_test(wrong_arity_gets_the_servers_error_for_every_command),
        cmocka_unit_test(cluster_words_are_the_servers),
        cmocka_unit_test(crossslot_words_are_those_of_a_cluster_node),
        cmocka_unit_test(an_error_that_does_not_fit_is_not_begun),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
