#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/topology/document.h"
#include "tests/support/sample_topology.h"

/* Slots 0-3 on a and b, m3 moving slot 1 from a to b; slot 3 left behind on a by m2. */
static const char document[] =
    "{\"format\":1,\"cluster\":\"0123456789abcdef0123456789abcdef\",\"epoch\":9,"
    "\"owner_epoch\":1,\"nslots\":4,\"shards\":[{\"name\":\"a\",\"address\":\"10.0.0.1:7000\","
    "\"sentinels\":\"m1@[::1]:26379,h:1\",\"weight\":100,\"run_id\":\"\",\"replid\":\"\",\"empty\":\"refuse\"},{\"name\":\"b\","
    "\"address\":\"[::1]:7001\",\"weight\":50,"
    "\"run_id\":\"00000000000000000000000000000000000000aa\","
    "\"replid\":\"00000000000000000000000000000000000000bb\",\"empty\":\"serve\"}],"
    "\"slots\":{\"a\":\"0-1\",\"b\":\"2-3\"},"
    "\"migrations\":[{\"id\":\"m3\",\"source\":\"a\",\"target\":\"b\",\"slots\":\"1\","
    "\"phase\":\"dual-write\",\"entry_epoch\":4,\"generation\":4,\"base\":4,\"made\":4,"
    "\"verified\":0,\"paused\":true,\"request\":\"switch\",\"options\":{\"manual_switch\":true,"
    "\"finalize_after_ms\":\"never\",\"keys_per_second\":5,\"bytes_per_second\":6,"
    "\"cutover_keys\":7,\"hold_max_ms\":80,\"barrier_timeout_ms\":9,\"max_skew_ms\":10,"
    "\"large_key_bytes\":11}}],"
    "\"debts\":[{\"migration\":\"m2\",\"shard\":\"a\",\"generation\":3,\"slots\":\"3\"}],"
    "\"formers\":[{\"shard\":\"b\",\"address\":\"tls:h9:7009\","
    "\"run_id\":\"00000000000000000000000000000000000000cc\","
    "\"replid\":\"00000000000000000000000000000000000000dd\"}]}";

/* The document with the first `from` replaced by `to`; freed by the caller. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(document, from);
    assert_non_null(at);
    return mem_printf("%.*s%s%s", (int)(at - document), document, to, at + strlen(from));
}

static void every_member_is_read(void **state)
{
    (void)state;
    struct topology *topology = document_parse(slice_of(document), NULL);
    assert_non_null(topology);
    assert_int_equal(topology->epoch, 9);
    assert_int_equal(topology->owner_epoch, 1);
    assert_int_equal(topology->nslots, 4);
    assert_string_equal(topology->cluster, SAMPLE_CLUSTER);
    assert_int_equal(topology->nshards, 2);
    const struct topology_shard *b = &topology->shards[1];
    assert_string_equal(b->name, "b");
    assert_string_equal(b->host, "::1");
    assert_int_equal(b->port, 7001);
    assert_int_equal(b->weight, 50);
    assert_int_equal(b->identity.run_id[39], 'a');
    assert_int_equal(b->identity.replid[39], 'b');
    assert_true(b->serve_empty);
    assert_string_equal(b->sentinels, "");
    assert_false(topology->shards[0].serve_empty);
    assert_string_equal(topology->shards[0].sentinels, "m1@[::1]:26379,h:1");
    assert_int_equal(topology->owner[1], 0);
    assert_int_equal(topology->owner[2], 1);
    assert_int_equal(topology->debts[0].migration, 2);
    assert_int_equal(topology->debts[0].shard, 0);
    assert_int_equal(topology->debts[0].generation, 3);
    assert_true(slot_set_has(&topology->debts[0].slots, 3));
    assert_int_equal(topology->nformers, 1);
    const struct topology_shard *former = &topology->formers[0];
    assert_string_equal(former->name, "b");
    assert_string_equal(former->host, "h9");
    assert_int_equal(former->port, 7009);
    assert_true(former->is_tls);
    assert_int_equal(former->identity.run_id[39], 'c');
    assert_int_equal(former->identity.replid[39], 'd');
    topology_free(topology);
}

static void every_member_of_a_migration_is_read(void **state)
{
    (void)state;
    struct topology *topology = document_parse(slice_of(document), NULL);
    assert_non_null(topology);
    const struct migration *m = topology_find_migration(topology, 3);
    assert_non_null(m);
    assert_int_equal(m->source, 0);
    assert_int_equal(m->target, 1);
    assert_int_equal(slot_set_count(&m->slots), 1);
    assert_int_equal(m->phase, PHASE_DUAL_WRITE);
    assert_int_equal(m->entry_epoch, 4);
    assert_int_equal(m->generation, 4);
    assert_int_equal(m->base, 4);
    assert_int_equal(m->made, 4);
    assert_int_equal(m->verified, 0);
    assert_true(m->is_paused);
    assert_int_equal(m->request, REQUEST_SWITCH);
    assert_true(m->options.manual_switch);
    assert_true(m->options.finalize_after_ms == FINALIZE_NEVER);
    assert_int_equal(m->options.keys_per_second, 5);
    assert_int_equal(m->options.bytes_per_second, 6);
    assert_int_equal(m->options.cutover_keys, 7);
    assert_int_equal(m->options.hold_max_ms, 80);
    assert_int_equal(m->options.barrier_timeout_ms, 9);
    assert_int_equal(m->options.max_skew_ms, 10);
    assert_int_equal(m->options.large_key_bytes, 11);
    topology_free(topology);
}

static void what_is_not_right_is_refused_with_its_reason(void **state)
{
    (void)state;

    static const struct {
        const char *from, *to, *word;
    } cases[] = {
        {"\"formers\":[{", "\"formers\":[{\"more\":1,", "formers[0]: \"more\" is not known"},
        {"\"formers\":[{\"shard\":\"b", "\"formers\":[{\"shard\":\"c", "there is no such shard"},
        {"tls:h9:7009", "h9", "formers[0]: \"address\" must be"},
        {"tls:h9:7009", "tls:h9:0", "former primary of shard \"b\": the address"},
        {"00cc\"", "00\"", "former primary of shard \"b\": \"run_id\""},
        {"\"format\":1", "\"format\":7", "format 7, this program knows 1: upgrade it first"},
        {"\"format\":1", "\"future\":[],\"format\":7", "upgrade it first"},
        {"\"format\":1", "\"format\":\"1\"", "\"format\" must be an integer"},
        {"\"format\":1,", "", "\"format\" is missing"},
        {"\"epoch\":9,", "\"epoch\":9,\"more\":1,", "\"more\" is not known"},
        {"\"epoch\":9,", "\"epoch\":9,\"epoch\":9,", "duplicate"},
        {"\"epoch\":9", "\"epoch\":-9", "negative"},
        {"\"epoch\":9", "\"epoch\":9.0", "\"epoch\" must be an integer"},
        {"\"epoch\":9", "\"epoch\":99999999999999999999", "too big integer"},
        {"\"epoch\":9", "\"epoch\":1e999", "not JSON"},
        {"\"nslots\":4", "\"nslots\":3", "power of two"},
        {"\"nslots\":4", "\"nslots\":0", "power of two"},
        {"\"nslots\":4", "\"nslots\":131072", "\"nslots\""},
        {"0123456789abcdef\",", "0123456789abcdefff\",", "\"cluster\" is longer"},
        {"0123456789abcdef\",", "0123456789abcde\",", "\"cluster\" must be"},
        {"10.0.0.1:7000", "10.0.0.1", "HOST:PORT"},
        {"10.0.0.1:7000", ":7000", "HOST:PORT"},
        {"10.0.0.1:7000", "10.0.0.1:70000", "HOST:PORT"},
        {"10.0.0.1:7000", "10.0.0.1:0", "HOST:PORT"},
        {"10.0.0.1:7000", "[::1]:7001", "same address"},
        {"m1@[::1]", "m1@[::1] ", "NAME@HOST:PORT"},
        {"\"weight\":100", "\"weight\":4294967396", "\"weight\""},
        {"\"weight\":100", "\"weight\":100,\"x\":0", "shards[0]: \"x\" is not known"},
        {"\"empty\":\"refuse\"", "\"empty\":\"maybe\"", "serve"},
        {"\"a\":\"0-1\"", "\"a\":\"0-2\"", "slot 2 is owned by \"a\" and by \"b\""},
        {"\"a\":\"0-1\"", "\"a\":\"0\"", "slot 1 is owned by no shard"},
        {"\"a\":\"0-1\"", "\"a\":\"0-4\"", "slots: \"a\""},
        {"\"a\":\"0-1\"", "\"c\":\"0-1\"", "no shard \"c\""},
        {"\"a\":\"0-1\"", "\"a\":7", "must be a text"},
        {"\"id\":\"m3\"", "\"id\":3", "migrations[0]: \"id\" must be a text"},
        {"\"id\":\"m3\"", "\"id\":\"x3\"", "like \"m42\""},
        {"\"source\":\"a\"", "\"source\":\"z\"", "there is no shard \"z\""},
        {"\"source\":\"a\"", "\"source\":\"b\"", "must be two shards"},
        {"dual-write", "dual", "no phase"},
        {"dual-write", "switched", "slot 1 must be owned by \"b\""},
        {"dual-write", "hold", "needs \"verified\""},
        {"\"paused\":true", "\"paused\":1", "true or false"},
        {"\"request\":\"switch\"", "\"request\":\"stop\"", "no request"},
        {"\"never\"", "\"always\"", "finalize_after_ms"},
        {"\"keys_per_second\":5,", "", "\"keys_per_second\" is missing"},
        {"\"slots\":\"1\"", "\"slots\":\"\"", "at least one slot"},
        {"\"shard\":\"a\"", "\"shard\":\"b\"", "debt of m2"},
        {"\"debts\":[", "\"debts\":[7,", "debts[0]: an object"},
        {"\"debts\":[", "\"debts\":[", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {""};
        char *text = changed(cases[i].from, cases[i].to);
        struct topology *topology = document_parse(slice_of(text), &err);
        if (cases[i].word == NULL) {
            assert_non_null(topology);
        } else if (topology != NULL || strstr(err.text, cases[i].word) == NULL) {
            fail_msg("case %zu, %s: \"%s\"", i, cases[i].to, err.text);
        }
        topology_free(topology);
        mem_free(text);
    }
}

static void hostile_bytes_are_refused(void **state)
{
    (void)state;
    static const struct slice texts[] = {
        {NULL, 0},          {"", 0},           {"\0", 1},
        {"[]", 2},          {"{}", 2},         {"null", 4},
        {"{\"format\"", 9}, {"\xff\xfe{}", 4}, {"{\"format\":1}\0", 13},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct error err = {""};
        assert_null(document_parse(texts[i], &err));
        assert_true(err.text[0] != '\0');
    }
    size_t depth = 1000000;
    char *deep = mem_alloc(depth);
    memset(deep, '[', depth);
    assert_null(document_parse((struct slice){deep, depth}, NULL));
    mem_free(deep);
    char *with_nul = changed("\"a\",\"address\"", "\"a\\u0000\",\"address\"");
    assert_null(document_parse(slice_of(with_nul), NULL));
    mem_free(with_nul);
}

static void a_document_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof(document) - 1; length++) {
        assert_null(document_parse((struct slice){document, length}, NULL));
    }
}

static void check_round_trip(const struct topology *topology)
{
    struct buffer first, second;
    struct error err = {""};
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    document_format(topology, &first);
    struct topology *parsed = document_parse(buffer_slice(&first), &err);
    if (parsed == NULL) {
        fail_msg("%s", err.text);
        return;
    }
    assert_int_equal(parsed->nmigrations, topology->nmigrations);
    assert_int_equal(parsed->ndebts, topology->ndebts);
    assert_memory_equal(parsed->owner, topology->owner, topology->nslots * sizeof(uint16_t));
    document_format(parsed, &second);
    assert_int_equal(buffer_length(&first), buffer_length(&second));
    assert_memory_equal(first.data, second.data, buffer_length(&first));
    assert_int_equal(first.data[first.end - 1], '\n');
    topology_free(parsed);
    buffer_fini(&first);
    buffer_fini(&second);
}

static void what_is_written_is_read_back_the_same(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 16, 64, 1024, SLOTS_MAX};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct random random;
        random_seed(&random, seed);
        unsigned nslots = sizes[random_below(&random, 5)];
        struct topology *topology = sample_topology(3, nslots);
        topology = sample_change_randomly(topology, &random, (unsigned)random_below(&random, 99));
        check_round_trip(topology);
        topology_free(topology);
    }
}

static void format_invalid(void *topology)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    document_format(topology, &text);
}

static void writing_what_does_not_hold_is_a_bug(void **state)
{
    (void)state;
    struct topology *topology = sample_topology(2, 16);
    assert_false(sample_aborts(format_invalid, topology));
    topology->owner[3] = 2;
    assert_true(sample_aborts(format_invalid, topology));
    topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(every_member_of_a_migration_is_read),
        cmocka_unit_test(what_is_not_right_is_refused_with_its_reason),
        cmocka_unit_test(hostile_bytes_are_refused),
        cmocka_unit_test(a_document_cut_anywhere_is_refused),
        cmocka_unit_test(what_is_written_is_read_back_the_same),
        cmocka_unit_test(writing_what_does_not_hold_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
