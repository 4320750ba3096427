#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/command/history.h"
#include "ctl/command/proof.h"

static const char *const journal[] = {
    "{\"time\":1000,\"migration\":\"m7\",\"kind\":\"created\",\"source\":\"a\",\"target\":\"b\","
    "\"slots\":\"3-4\",\"slot_count\":2,\"author\":\"me@here\",\"command\":\"split a --to b\"}",
    "{\"time\":1500,\"migration\":\"m8\",\"kind\":\"created\"}",
    "{\"time\":1600,\"migration\":\"m7\",\"kind\":\"phase\",\"to\":\"planned\"}",
    "{\"time\":2000,\"migration\":\"m7\",\"kind\":\"phase\",\"from\":\"planned\",\"to\":\"dual-write\"}",
    "{\"time\":2500,\"migration\":\"m7\",\"kind\":\"barrier\",\"ms\":1.5,\"killed\":2}",
    "{\"time\":3000,\"migration\":\"m7\",\"kind\":\"verify\",\"keys\":10,\"findings\":1,\"repairs\":1}",
    "{\"time\":3100,\"migration\":\"m7\",\"kind\":\"slots\",\"phase\":\"dual-write\",\"slots\":["
    "{\"slot\":4,\"authority\":{\"keys\":1,\"bytes\":9,\"digest\":\"dd\"},"
    "\"copy\":{\"keys\":2,\"bytes\":9,\"digest\":\"ee\"}},"
    "{\"slot\":3,\"authority\":{\"keys\":5,\"bytes\":50,\"digest\":\"aa\"},"
    "\"copy\":{\"keys\":5,\"bytes\":51,\"digest\":\"aa\"}}]}",
    "{\"time\":3200,\"migration\":\"m7\",\"kind\":\"hold\",\"ms\":7}",
    "{\"time\":3300,\"migration\":\"m7\",\"kind\":\"phase\",\"from\":\"hold\",\"to\":\"switched\"}",
    "{\"time\":3400,\"migration\":\"m7\",\"kind\":\"verify\",\"keys\":12,\"findings\":0,\"repairs\":0}",
    "{\"time\":3500,\"migration\":\"m7\",\"kind\":\"progress\",\"keys_copied\":11,\"bytes_copied\":99}",
    "{\"time\":4000,\"migration\":\"m7\",\"kind\":\"purge\",\"keys\":11}",
    "{\"time\":5000,\"migration\":\"m7\",\"kind\":\"closed\",\"outcome\":\"finalized\"}",
};

/* In the rollback window authority and copy have changed places. */
static const char *const reverse_slots =
    "{\"time\":3450,\"migration\":\"m7\",\"kind\":\"slots\",\"phase\":\"switched\",\"slots\":["
    "{\"slot\":4,\"authority\":{\"keys\":3,\"bytes\":9,\"digest\":\"ff\"},"
    "\"copy\":{\"keys\":3,\"bytes\":8,\"digest\":\"ff\"}}]}";

static void add_text(json_t *history, const char *text)
{
    json_t *record = json_loads(text, 0, NULL);
    assert_non_null(record);
    history_add(history, record);
    json_decref(record);
}

static json_t *proof_of_m7(bool with_reverse)
{
    json_t *history = json_object();
    for (unsigned i = 0; i < sizeof(journal) / sizeof(journal[0]); i++) {
        add_text(history, journal[i]);
    }
    if (with_reverse) {
        add_text(history, reverse_slots);
    }
    struct topology *topology = topology_new("0123456789abcdef0123456789abcdef", 16);
    json_t *proof = proof_view(7, topology, NULL, history_of(history, 7), 9000);
    topology_free(topology);
    json_decref(history);
    return proof;
}

static void a_closed_migration_is_told_from_the_journal_alone(void **state)
{
    (void)state;
    json_t *proof = proof_of_m7(false);
    assert_string_equal(view_text(proof, "id"), "m7");
    assert_string_equal(view_text(proof, "state"), "closed");
    assert_string_equal(view_text(proof, "outcome"), "finalized");
    assert_string_equal(view_text(proof, "source"), "a");
    assert_string_equal(view_text(proof, "opened_by"), "me@here");
    assert_int_equal(view_number(proof, "keys_copied"), 11);
    assert_int_equal(view_number(proof, "purged_keys"), 11);
    json_decref(proof);
}

static void phases_last_until_the_next_one(void **state)
{
    (void)state;
    json_t *proof = proof_of_m7(false);
    const json_t *phases = view_member(proof, "phases");
    assert_int_equal(json_array_size(phases), 3);
    assert_string_equal(view_text(json_array_get(phases, 0), "phase"), "planned");
    assert_int_equal(view_number(json_array_get(phases, 0), "ms"), 1000);
    assert_int_equal(view_number(json_array_get(phases, 1), "ms"), 1300);
    assert_int_equal(view_number(json_array_get(phases, 2), "ms"), 1700); /* until it was closed */
    json_decref(proof);
}

static void passes_holds_and_barriers_are_summed(void **state)
{
    (void)state;
    json_t *proof = proof_of_m7(false);
    const json_t *verify = view_member(proof, "verify");
    assert_int_equal(view_number(verify, "pass_count"), 2);
    assert_int_equal(view_number(verify, "keys"), 12);
    assert_int_equal(view_number(verify, "findings"), 1);
    const json_t *holds = view_member(proof, "holds");
    assert_int_equal(view_number(holds, "longest_ms"), 7);
    const json_t *barriers = view_member(proof, "barriers");
    assert_int_equal(view_number(barriers, "killed_peers"), 2);
    assert_true(json_real_value(json_object_get(barriers, "longest_ms")) > 1.4);
    json_decref(proof);
}

static void slots_that_differ_are_counted_and_change_the_digest(void **state)
{
    (void)state;
    json_t *proof = proof_of_m7(false);
    const json_t *totals = view_member(proof, "totals");
    assert_int_equal(view_number(totals, "slots_compared"), 2);
    assert_int_equal(view_number(totals, "slots_equal"), 1);
    assert_int_equal(view_number(view_member(totals, "source"), "keys"), 6);
    assert_int_equal(view_number(view_member(totals, "target"), "keys"), 7);
    assert_string_not_equal(view_text(view_member(totals, "source"), "digest"),
                            view_text(view_member(totals, "target"), "digest"));
    json_decref(proof);
}

static void a_later_report_of_a_slot_counts_and_knows_its_direction(void **state)
{
    (void)state;
    json_t *proof = proof_of_m7(true);
    const json_t *totals = view_member(proof, "totals");
    assert_int_equal(view_number(totals, "slots_equal"), 2);
    assert_int_equal(view_number(view_member(totals, "source"), "bytes"), 58);
    assert_int_equal(view_number(view_member(totals, "target"), "bytes"), 60);
    assert_string_equal(view_text(view_member(totals, "source"), "digest"),
                        view_text(view_member(totals, "target"), "digest"));
    const json_t *first = json_array_get(view_member(proof, "slot_table"), 0);
    assert_int_equal(view_number(first, "slot"), 3);
    json_decref(proof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_migration_is_told_from_the_journal_alone),
        cmocka_unit_test(phases_last_until_the_next_one),
        cmocka_unit_test(passes_holds_and_barriers_are_summed),
        cmocka_unit_test(slots_that_differ_are_counted_and_change_the_digest),
        cmocka_unit_test(a_later_report_of_a_slot_counts_and_knows_its_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
