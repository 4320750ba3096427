#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/output/human.h"
#include "ctl/output/json.h"
#include "ctl/output/progress.h"
#include "ctl/output/table.h"

static void durations_are_short(void **state)
{
    (void)state;
    char text[HUMAN_TEXT_MAX];
    assert_string_equal(human_duration(0, text), "0ms");
    assert_string_equal(human_duration(999, text), "999ms");
    assert_string_equal(human_duration(12340, text), "12.3s");
    assert_string_equal(human_duration(250000, text), "4m10s");
    assert_string_equal(human_duration(7500000, text), "2h05m");
    assert_string_equal(human_duration(273600000, text), "3d04h");
}

static void bytes_have_units_of_1024(void **state)
{
    (void)state;
    char text[HUMAN_TEXT_MAX];
    assert_string_equal(human_bytes(0, text), "0 B");
    assert_string_equal(human_bytes(1023, text), "1023 B");
    assert_string_equal(human_bytes(1536, text), "1.5 kB");
    assert_string_equal(human_bytes(20971520, text), "20 MB");
    assert_string_equal(human_bytes(UINT64_MAX, text), "16 EB");
}

static void times_are_in_utc(void **state)
{
    (void)state;
    char text[HUMAN_TEXT_MAX];
    assert_string_equal(human_time(0, text), "1970-01-01 00:00:00.000");
    assert_string_equal(human_time(1700000000123, text), "2023-11-14 22:13:20.123");
}

static void a_long_list_is_cut_at_a_comma(void **state)
{
    (void)state;
    char text[HUMAN_LIST_MAX + 5];
    char list[200] = "0";
    assert_string_equal(human_list("1,2-3", text), "1,2-3");
    while (strlen(list) < 150) {
        (void)strcat(list, ",1234");
    }
    (void)human_list(list, text);
    assert_true(strlen(text) <= HUMAN_LIST_MAX + 4);
    assert_string_equal(text + strlen(text) - 8, "1234,...");
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct table *table = table_new("NAME|>KEYS|STATE");
    table_cell(table, "a-long-name");
    table_cell(table, "%d", 7);
    table_cell(table, "up");
    table_print(table, out);
    table_free(table);
    (void)fclose(out);
    assert_string_equal(text, "NAME         KEYS  STATE\n"
                              "a-long-name     7  up\n");
    free(text);
}

static struct progress_view halfway(void)
{
    return (struct progress_view){.label = "m42",
                                  .phase = "dual-write",
                                  .keys_total = 1000,
                                  .keys_copied = 1000,
                                  .keys_verified = 100,
                                  .dirty = 3,
                                  .eta_ms = 12340,
                                  .has_counts = true,
                                  .has_eta = true};
}

static void copying_is_one_half_and_verifying_the_other(void **state)
{
    (void)state;
    struct progress_view view = halfway();
    assert_int_equal(progress_percent(&view), 55);
    view.keys_copied = 2000; /* more than was estimated */
    view.keys_verified = 2000;
    assert_int_equal(progress_percent(&view), 100);
    view.keys_total = 0;
    assert_int_equal(progress_percent(&view), 0);
}

static void a_bar_fits_the_terminal(void **state)
{
    (void)state;
    struct progress_view view = halfway();
    char text[256];
    progress_format_bar(&view, 79, text, sizeof(text));
    assert_true(strlen(text) <= 79);
    assert_non_null(strstr(text, "m42 dual-write [#"));
    assert_non_null(strstr(text, " 55% 1000/1000 keys, 12.3s left"));
    for (unsigned columns = 1; columns < 120; columns++) {
        progress_format_bar(&view, columns, text, sizeof(text));
        assert_true(strlen(text) <= columns);
    }
}

static void a_plain_line_has_names(void **state)
{
    (void)state;
    struct progress_view view = halfway();
    char text[256];
    progress_format_line(&view, text, sizeof(text));
    assert_string_equal(text, "m42 phase=dual-write percent=55 keys=1000/1000 verified=100 dirty=3 "
                              "left=12.3s");
    view.has_counts = false;
    view.has_eta = false;
    view.is_paused = true;
    progress_format_line(&view, text, sizeof(text));
    assert_string_equal(text, "m42 phase=dual-write paused");
}

static void keys_that_are_no_text_do_not_break_json(void **state)
{
    (void)state;
    json_t *object = json_object();
    set_slice(object, "key", SLICE("a\xff\0b"));
    json_t *value = json_object_get(object, "key");
    assert_int_equal(json_string_length(value), 4);
    assert_memory_equal(json_string_value(value), "a??b", 4);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_short),
        cmocka_unit_test(bytes_have_units_of_1024),
        cmocka_unit_test(times_are_in_utc),
        cmocka_unit_test(a_long_list_is_cut_at_a_comma),
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(copying_is_one_half_and_verifying_the_other),
        cmocka_unit_test(a_bar_fits_the_terminal),
        cmocka_unit_test(a_plain_line_has_names),
        cmocka_unit_test(keys_that_are_no_text_do_not_break_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
