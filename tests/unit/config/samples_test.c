/* The files under config/ are what the programs read and what they would write. Run from the root
 * of the tree. After a change of an option: UPDATE_SAMPLES=1 make test ONLY=samples */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/topology/document.h"
#include "migrator/options.h"
#include "proxy/config/config.h"

static void the_sample_topology_is_what_the_programs_write(void **state)
{
    (void)state;
    struct buffer sample, written;
    struct error err = {""};
    buffer_init(&sample, SIZE_MAX);
    buffer_init(&written, SIZE_MAX);
    bool is_read = file_read("config/topology.json", &sample, NULL, &err);
    assert_string_equal(err.text, "");
    assert_true(is_read);
    struct topology *topology = document_parse(buffer_slice(&sample), &err);
    assert_string_equal(err.text, "");
    assert_non_null(topology);
    document_format_readable(topology, &written);
    assert_true(slice_equal(buffer_slice(&sample), buffer_slice(&written)));
    topology_free(topology);
    buffer_fini(&sample);
    buffer_fini(&written);
}

static void assert_sample(const char *path, const struct option_table *table)
{
    char *text = NULL;
    size_t length = 0;
    struct buffer sample;
    struct error err = {""};
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    options_print_sample(table, out);
    assert_int_equal(fclose(out), 0);
    if (getenv("UPDATE_SAMPLES") != NULL) {
        assert_true(file_write(path, (struct slice){text, length}, &err));
    }
    buffer_init(&sample, SIZE_MAX);
    assert_true(file_read(path, &sample, NULL, &err));
    buffer_add(&sample, "", 1);
    assert_string_equal(buffer_slice(&sample).data, text);
    buffer_fini(&sample);
    free(text);
}

static void the_samples_have_every_option_at_its_default(void **state)
{
    (void)state;
    assert_sample("config/proxy.conf", &proxy_options);
    assert_sample("config/migrator.conf", &migrator_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_have_every_option_at_its_default),
        cmocka_unit_test(the_sample_topology_is_what_the_programs_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
