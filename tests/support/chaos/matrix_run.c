#include "tests/support/chaos/matrix_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"

#define STEPS_MAX 128
#define HANG_MS   2500
#define LIST_MS   60000

struct matrix {
    struct matrix_options options;
    unsigned nsteps;
    char *steps[STEPS_MAX];
    bool is_wanted[STEPS_MAX][CELL_FAULT_COUNT];
    struct cell_result results[STEPS_MAX][CELL_FAULT_COUNT];
};

void matrix_options_default(struct matrix_options *options)
{
    *options = (struct matrix_options){.hang_ms = HANG_MS};
    for (int i = 0; i < CELL_FAULT_COUNT; i++) {
        options->has_fault[i] = true;
    }
}

static void list_steps(struct matrix *matrix)
{
    char *program = program_path("sluice-migrator");
    const char *argv[] = {program, "--list-fail-points", NULL};
    struct output output = process_run(argv, NULL, LIST_MS);
    const char *word = matrix->options.steps;
    char *rest = NULL;
    assert_int_equal(output.code, 0);
    for (char *step = strtok_r(output.out, " \n", &rest); step != NULL;
         step = strtok_r(NULL, " \n", &rest)) {
        if (word == NULL || strstr(step, word) != NULL) {
            assert_true(matrix->nsteps < STEPS_MAX);
            matrix->steps[matrix->nsteps++] = mem_strdup(step);
        }
    }
    output_free(&output);
    mem_free(program);
}

/* All that are asked for, or as many of them as the sample has. */
static void choose_cells(struct matrix *matrix)
{
    const struct matrix_options *options = &matrix->options;
    struct random random;
    unsigned left = 0;
    random_seed(&random, options->seed);
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            matrix->is_wanted[s][f] = options->has_fault[f] && options->sample == 0;
            left += options->has_fault[f];
        }
    }
    left = options->sample < left ? options->sample : left;
    while (left > 0) {
        unsigned s = (unsigned)random_below(&random, matrix->nsteps);
        unsigned f = (unsigned)random_below(&random, CELL_FAULT_COUNT);
        if (options->has_fault[f] && !matrix->is_wanted[s][f]) {
            matrix->is_wanted[s][f] = true;
            left--;
        }
    }
}

static void run_cell(struct matrix *matrix, struct cluster **cluster, unsigned s, unsigned f)
{
    struct cell_result *result = &matrix->results[s][f];
    if (*cluster == NULL) {
        *cluster = cell_cluster_start();
    }
    cell_run(*cluster, matrix->steps[s], (enum cell_fault)f, matrix->options.hang_ms,
             matrix->options.seed + s * CELL_FAULT_COUNT + f, result);
    (void)fprintf(stderr,
                  "%-4s %-32s %-12s %-11s %5llu ms, service after %4llu ms, unknown %llu, "
                  "refused %llu\n",
                  result->is_well ? "ok" : "BAD", matrix->steps[s],
                  cell_fault_name((enum cell_fault)f),
                  result->was_passed ? result->end : "not passed",
                  (unsigned long long)result->took_ms, (unsigned long long)result->service_ms,
                  (unsigned long long)result->unknown, (unsigned long long)result->refused);
    if (!result->is_well) {
        process_stop_all(); /* the next cell gets a new one; this one's memory is left behind */
        *cluster = NULL;
    }
}

struct matrix *matrix_run(const struct matrix_options *options)
{
    struct matrix *matrix = mem_zalloc(sizeof(*matrix));
    struct cluster *cluster = NULL;
    matrix->options = *options;
    list_steps(matrix);
    choose_cells(matrix);
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            if (matrix->is_wanted[s][f]) {
                run_cell(matrix, &cluster, s, f);
            }
        }
    }
    cluster_stop(cluster);
    return matrix;
}

unsigned matrix_passed(const struct matrix *matrix)
{
    unsigned passed = 0;
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            passed += matrix->results[s][f].was_passed;
        }
    }
    return passed;
}

unsigned matrix_bad(const struct matrix *matrix)
{
    unsigned bad = 0;
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            bad += matrix->is_wanted[s][f] && !matrix->results[s][f].is_well;
        }
    }
    return bad;
}

bool matrix_is_well(const struct matrix *matrix)
{
    for (unsigned s = 0; s < matrix->nsteps && matrix->options.sample == 0; s++) {
        bool was_passed = false;
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            was_passed = was_passed || matrix->results[s][f].was_passed;
        }
        if (!was_passed) {
            (void)fprintf(stderr, "matrix: %s was never passed\n", matrix->steps[s]);
            return false;
        }
    }
    return matrix_bad(matrix) == 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static void print_head(const struct matrix *matrix, FILE *out)
{
    (void)fprintf(out, "| step |");
    for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
        if (matrix->options.has_fault[f]) {
            (void)fprintf(out, " %s |", cell_fault_name((enum cell_fault)f));
        }
    }
    (void)fprintf(out, "\n| --- |");
    for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
        if (matrix->options.has_fault[f]) {
            (void)fprintf(out, " ---: |");
        }
    }
    (void)fprintf(out, "\n");
}

static void print_cell(const struct matrix *matrix, unsigned s, unsigned f, FILE *out)
{
    const struct cell_result *result = &matrix->results[s][f];
    if (!matrix->is_wanted[s][f] || !result->was_passed) {
        (void)fprintf(out, " - |");
    } else if (!result->is_well) {
        (void)fprintf(out, " **BAD** |");
    } else {
        (void)fprintf(out, " %llu |", (unsigned long long)result->service_ms);
    }
}

static void print_worst(const struct matrix *matrix, FILE *out)
{
    (void)fprintf(out, "| longest |");
    for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
        uint64_t worst = 0;
        for (unsigned s = 0; s < matrix->nsteps; s++) {
            uint64_t ms = matrix->results[s][f].service_ms;
            worst = ms > worst ? ms : worst;
        }
        if (matrix->options.has_fault[f]) {
            (void)fprintf(out, " %llu |", (unsigned long long)worst);
        }
    }
    (void)fprintf(out, "\n");
}

void matrix_print_table(const struct matrix *matrix, FILE *out)
{
    print_head(matrix, out);
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        (void)fprintf(out, "| %s |", matrix->steps[s]);
        for (unsigned f = 0; f < CELL_FAULT_COUNT; f++) {
            if (matrix->options.has_fault[f]) {
                print_cell(matrix, s, f, out);
            }
        }
        (void)fprintf(out, "\n");
    }
    print_worst(matrix, out);
    (void)fprintf(out, "\n%u cells passed their step; %u were not well.\n", matrix_passed(matrix),
                  matrix_bad(matrix));
}

void matrix_free(struct matrix *matrix)
{
    for (unsigned s = 0; s < matrix->nsteps; s++) {
        mem_free(matrix->steps[s]);
    }
    mem_free(matrix);
}
