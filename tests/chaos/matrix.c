/* matrix: every step of the migrator x every fault, one migration each, with clients at work.
 *
 *   matrix [--steps WORD] [--faults NAME,NAME...] [--hang-ms 2500] [--seed N] [--sample N]
 *          [--table FILE]
 *
 * --steps: only those whose name has the word. --sample: only N cells, chosen by the seed. --table
 * writes the table of docs/reliability.md. Exit code 0: every cell is well. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/chaos/matrix_run.h"

#define USAGE 2

static int usage(void)
{
    (void)fprintf(stderr, "usage: matrix [--steps WORD] [--faults NAME,...] [--hang-ms N] "
                          "[--seed N] [--sample N] [--table FILE]\n");
    return USAGE;
}

static bool choose_faults(struct matrix_options *options, char *names)
{
    char *rest = NULL;
    (void)memset(options->has_fault, 0, sizeof(options->has_fault));
    for (char *name = strtok_r(names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        enum cell_fault fault;
        if (!cell_fault_parse(name, &fault)) {
            (void)fprintf(stderr, "matrix: there is no fault \"%s\"\n", name);
            return false;
        }
        options->has_fault[fault] = true;
    }
    return true;
}

static bool set_number(struct matrix_options *options, int option, const char *text)
{
    uint64_t value;
    if (!number_parse_u64(slice_of(text), &value)) {
        return false;
    }
    switch (option) {
    case 'h':
        options->hang_ms = value;
        return true;
    case 'e':
        options->seed = value;
        return true;
    case 'n':
        options->sample = (unsigned)value;
        return true;
    default:
        return false;
    }
}

static bool parse(struct matrix_options *options, const char **table, int argc, char **argv)
{
    static const struct option words[] = {
        {"steps", required_argument, NULL, 's'},
        {"faults", required_argument, NULL, 'f'},
        {"hang-ms", required_argument, NULL, 'h'},
        {"seed", required_argument, NULL, 'e'},
        {"sample", required_argument, NULL, 'n'},
        {"table", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", words, NULL)) != -1) {
        bool is_good = true;
        if (option == 's') {
            options->steps = optarg;
        } else if (option == 't') {
            *table = optarg;
        } else if (option == 'f') {
            is_good = choose_faults(options, optarg);
        } else {
            is_good = set_number(options, option, optarg);
        }
        if (!is_good) {
            return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct matrix_options options;
    const char *table = NULL;
    matrix_options_default(&options);
    options.seed = random_system() >> 40;
    if (!parse(&options, &table, argc, argv)) {
        return usage();
    }
    (void)fprintf(stderr, "matrix: --seed %" PRIu64 "\n", options.seed);
    struct matrix *matrix = matrix_run(&options);
    FILE *file = table != NULL ? fopen(table, "we") : NULL;
    matrix_print_table(matrix, stdout);
    if (file != NULL) {
        matrix_print_table(matrix, file);
        (void)fclose(file);
    }
    bool is_well = matrix_is_well(matrix) && (table == NULL || file != NULL);
    matrix_free(matrix);
    return is_well ? EXIT_SUCCESS : EXIT_FAILURE;
}
