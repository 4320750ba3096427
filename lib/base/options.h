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
    OPTION_WORD,     /* as OPTION_TEXT, but one of few: `value` has them */
};

/* Where an option may stand, and whether a change of it in the file is taken on SIGHUP. */
enum option_scope {
    OPTION_AT_START, /* file or command line; a change needs a restart */
    OPTION_ON_COMMAND_LINE,
    OPTION_RELOADABLE, /* as OPTION_AT_START, but a change is taken on SIGHUP */
};

struct option_spec {
    const char *name; /* "listen": --listen on the command line, listen = ... in the file */
    enum option_type type;
    size_t offset;             /* of the field in the settings struct */
    const char *default_value; /* as it would be written; null: unset text, or false */
    uint64_t min, max;         /* for numbers, durations and sizes; both 0: no range */
    enum option_scope scope;
    const char *text;  /* one line of help */
    const char *value; /* in --help, for its value; null: as the type says. Of a word: "yes|no" */
};

/* A row of a table of options: a file that is read at the start. */
#define OPTION_FILE(name, offset, text) \
    {name, OPTION_TEXT, offset, NULL, 0, 0, OPTION_AT_START, text, "FILE"},

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
/* On SIGHUP, once `fresh` was loaded and found good: gives `settings` the new values of what is
 * reloadable. `fresh` is still to be freed. False when others differ too: those need a restart, and
 * `err`, never null, names them. */
bool options_adopt(const struct option_table *table, void *settings, void *fresh, struct error *err)
    __attribute__((warn_unused_result));

/* A reloadable option, read by another thread than that of options_adopt. Never a text. */
static inline uint64_t option_number(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static inline bool option_flag(const bool *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

void options_print_help(const struct option_table *table, FILE *out);
/* A commented file with every option that may stand in one, at its default. */
void options_print_sample(const struct option_table *table, FILE *out);

#endif
