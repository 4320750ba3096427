/* soak: migrations back and forth under load, without faults; memory and descriptors must be flat.
 *
 *   soak [--seconds 60] [--seed N] [--rate 250]
 *
 * Prints a line for each migration, then the table of all series. Exit code 0: all judges are
 * content, nothing grows, and no migration has left anything but the fence. */
#include "tests/support/chaos/soak.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/number.h"
#include "lib/base/random.h"

#define USAGE       2
#define SECONDS_MAX 1000000
#define RATE_MAX    100000

static int usage(void)
{
    (void)fprintf(stderr, "usage: soak [--seconds N] [--seed N] [--rate N]\n");
    return USAGE;
}

static bool set_number(struct soak_options *options, int option, uint64_t value)
{
    switch (option) {
    case 's':
        options->seed = value;
        return true;
    case 'd':
        options->duration_ms = value * 1000;
        return value > 0 && value < SECONDS_MAX;
    case 'r':
        options->rate = (unsigned)value;
        return value > 0 && value <= RATE_MAX;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option words[] = {
        {"seed", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 'd'},
        {"rate", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    struct soak_options options = soak_defaults;
    struct soak_result result;
    int option;
    options.seed = random_system() >> 40;
    while ((option = getopt_long(argc, argv, "", words, NULL)) != -1) {
        uint64_t value = 0;
        if (option == '?' || !number_parse_u64(slice_of(optarg), &value) ||
            !set_number(&options, option, value)) {
            return usage();
        }
    }
    if (optind != argc) {
        return usage();
    }
    (void)printf("soak: --seed %" PRIu64 " --seconds %" PRIu64 "\n", options.seed,
                 options.duration_ms / 1000);
    soak_run(&options, &result, stdout);
    return soak_is_well(&result) ? EXIT_SUCCESS : EXIT_FAILURE;
}
