/* The matrix: cells (cell.h) for every step of the migrator and every fault, or a sample of them. A
 * cell that is not well gets the next ones a new cluster. Main thread only. */
#ifndef TESTS_SUPPORT_CHAOS_MATRIX_RUN_H
#define TESTS_SUPPORT_CHAOS_MATRIX_RUN_H

#include <stdio.h>

#include "tests/support/chaos/cell.h"

struct matrix_options {
    const char *steps; /* only those whose name has this word; null: all */
    bool has_fault[CELL_FAULT_COUNT];
    uint64_t hang_ms;
    uint64_t seed;
    unsigned sample; /* so many cells, chosen by the seed; 0: all */
};

/* Every step, every fault. */
void matrix_options_default(struct matrix_options *options);

struct matrix;

/* Prints a line for each cell on standard error. */
struct matrix *matrix_run(const struct matrix_options *options) __attribute__((warn_unused_result));
/* Cells whose step was passed, and those that were not well. */
unsigned matrix_passed(const struct matrix *matrix);
unsigned matrix_bad(const struct matrix *matrix);
/* None is bad, and, unless it is a sample, every step was passed under some fault. */
bool matrix_is_well(const struct matrix *matrix);
void matrix_print_table(const struct matrix *matrix, FILE *out);
void matrix_free(struct matrix *matrix);

#endif
