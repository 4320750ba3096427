/* The files under config/ are what the programs read. Run from the root of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/topology/document.h"

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
    document_format(topology, &written);
    assert_true(slice_equal(buffer_slice(&sample), buffer_slice(&written)));
    topology_free(topology);
    buffer_fini(&sample);
    buffer_fini(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_topology_is_what_the_programs_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
