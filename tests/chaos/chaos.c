/* chaos: a whole cluster under clients, migrations back and forth, and faults; then the checkers.
 *
 *   chaos [--seed N] [--seconds 60] [--faults NAME,NAME...] [--proxies 3] [--shards 3]
 *         [--rate 250] [--no-bank] [--table FILE] [--switch-off RULE] [--list]
 *
 * Prints the seed, every fault as it begins, and what was measured. --table writes the table of
 * docs/reliability.md. --switch-off runs against a Sluice without that rule (rule.no-marks,
 * rule.no-barrier, rule.no-hold), to see that the checkers notice. Exit code 0: every history is
 * linearizable, the bank balances, both sides compare, no program crashed, and every migration came
 * to an end. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/chaos/faults.h"
#include "tests/support/chaos/storm.h"

#define USAGE 2

static int usage(void)
{
    (void)fprintf(stderr, "usage: chaos [--seed N] [--seconds N] [--faults NAME,...] [--proxies N] "
                          "[--shards N] [--rate N] [--no-bank] [--table FILE] "
                          "[--switch-off RULE] [--list]\n");
    return USAGE;
}

static int list_faults(void)
{
    for (const struct fault *fault = faults; fault->name != NULL; fault++) {
        (void)printf("%s\n", fault->name);
    }
    return EXIT_SUCCESS;
}

static bool set_number(struct storm_options *options, int option, uint64_t value)
{
    switch (option) {
    case 's':
        options->seed = value;
        return true;
    case 'd':
        options->duration_ms = value * 1000;
        return value > 0 && value < 1000000;
    case 'p':
        options->proxies = (unsigned)value;
        return value >= 1 && value <= CLUSTER_PROXIES_MAX;
    case 'n':
        options->shards = (unsigned)value;
        return value >= 2 && value <= CLUSTER_SHARDS_MAX;
    case 'r':
        options->rate = (unsigned)value;
        return value >= 1 && value <= 100000;
    default:
        return false;
    }
}

static bool write_table(const struct storm_result *result, const char *path)
{
    FILE *file = path != NULL ? fopen(path, "we") : NULL;
    if (path == NULL) {
        return true;
    }
    if (file == NULL) {
        (void)fprintf(stderr, "chaos: cannot write \"%s\"\n", path);
        return false;
    }
    storm_print_table(result, file);
    (void)fputs("\n```\n", file);
    storm_print(result, file);
    (void)fputs("```\n", file);
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    static const struct option words[] = {
        {"seed", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 'd'},
        {"faults", required_argument, NULL, 'f'},
        {"proxies", required_argument, NULL, 'p'},
        {"shards", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'},
        {"no-bank", no_argument, NULL, 'b'},
        {"table", required_argument, NULL, 't'},
        {"list", no_argument, NULL, 'l'},
        {"switch-off", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    static struct storm_result result;
    struct storm_options options = storm_defaults;
    static char setting[128];
    static const char *const environment[] = {setting, NULL};
    const char *table = NULL;
    int option;
    options.seed = random_system() >> 40;
    options.duration_ms = 60000;
    while ((option = getopt_long(argc, argv, "", words, NULL)) != -1) {
        uint64_t value = 0;
        if (option == 'l') {
            return list_faults();
        }
        if (option == 'f') {
            options.faults = optarg;
        } else if (option == 't') {
            table = optarg;
        } else if (option == 'o') {
            (void)snprintf(setting, sizeof(setting), "SLUICE_FAIL=%s=error", optarg);
            options.proxy_environment = options.migrator_environment = environment;
        } else if (option == 'b') {
            options.has_bank = false;
        } else if (option == '?' || !number_parse_u64(slice_of(optarg), &value) ||
                   !set_number(&options, option, value)) {
            return usage();
        }
    }
    if (optind != argc) {
        return usage();
    }
    (void)fprintf(stderr, "chaos: --seed %" PRIu64 " --seconds %" PRIu64 "\n", options.seed,
                  options.duration_ms / 1000);
    storm_run(&options, &result);
    storm_print(&result, stdout);
    storm_print_table(&result, stdout);
    bool is_written = write_table(&result, table);
    return storm_is_well(&result) && is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}
