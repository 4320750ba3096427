/* A sample of the matrix: some cells by the seed. `make chaos` runs them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/chaos/matrix_run.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/stage.h"

#define CELLS 12

// field lesson: late cleanup deleted the next migration's keys
static void a_fault_at_any_step_harms_nobody(void **state)
{
    (void)state;
    struct matrix_options options;
    matrix_options_default(&options);
    options.seed = scratch_seed();
    options.sample = CELLS;
    struct matrix *matrix = matrix_run(&options);
    assert_true(matrix_is_well(matrix));
    assert_true(matrix_passed(matrix) > CELLS / 2);
    matrix_free(matrix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_fault_at_any_step_harms_nobody, stage_clear),
    };
    return cmocka_run_group_tests_name("matrix", tests, NULL, NULL);
}
