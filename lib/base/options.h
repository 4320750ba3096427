/* Options from one table: defaults, then the file of --config (INI, by inih), then the command
 * line. The same table prints --help and the sample file, and a test checks the man pages against
 * it. */
#ifndef LIB_BASE_OPTIONS_H
#define LIB_BASE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/error.h"

enum option_type {
    OPTION_TEXT,     /* char *, owned by the settings, freed by options_free */
    OPTION_SECRET,   /* the same; not on the command line, where everybody sees it */
    OPTION_NUMBER,   /* uint64_t */
    OPTION_DURATION, /* uint64_t, milliseconds; written "250ms", "10s", "5m" */
    OPTION_SIZE,     /* uint64_t, bytes; written "64kb", "1mb" */
    OPTION_FLAG,     /* bool; "yes" or "no" in a file, bare on the command line */
};

struct option_spec {
    const char *name; /* "listen": --listen on the command line, listen = ... in the file */
    enum option_type type;
    size_t offset;             /* of the field in the settings struct */
    const char *default_value; /* as it would be written; null: unset text, or false */
    uint64_t min, max;         /* for numbers, durations and sizes; both 0: no range */
    bool is_command_line_only;
    const char *text; /* one line of help */
};

struct option_table {
    const char *program;
    const char *usage; /* what stands after the program's name in the first line of --help */
    const char *about; /* one paragraph */
    const struct option_spec *specs;
    size_t count;
};

/* What the command line asked for besides values. */
enum options_action {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_CHECK
};

/* Fills `settings` (zeroed by the caller). --help, --version, --check-config and --config FILE are
 * known to every program and need no spec. False with a message that names the option, the file
 * and the line. `settings` is to be freed with options_free in either case. */
bool options_load(const struct option_table *table, void *settings, int argc, char **argv,
                  enum options_action *action, struct error *err)
    __attribute__((warn_unused_result));
void options_free(const struct option_table *table, void *settings);

void options_print_help(const struct option_table *table, FILE *out);
/* A commented file with every option that may stand in one, at its default. */
void options_print_sample(const struct option_table *table, FILE *out);

#endif
