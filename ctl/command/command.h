/* What a subcommand is, and what it gets. One file a subcommand; table.c lists them all. */
#ifndef CTL_COMMAND_COMMAND_H
#define CTL_COMMAND_COMMAND_H

#include <stdio.h>

#include "ctl/command/settings.h"
#include "ctl/output/json.h"
#include "lib/store/store.h"

/* The exit codes. */
enum command_result {
    COMMAND_DONE = 0,
    COMMAND_FAILED = 1, /* err says why and what to do */
    COMMAND_USAGE = 2,  /* the command line makes no sense; err says where */
};

/* One call of a subcommand. What it finds goes into `result`, which main prints when --json is
 * given; otherwise the command writes words and tables to `out`. Progress and remarks go to
 * `notes` in both cases. */
struct command_run {
    const struct command *command;
    const struct settings *settings;
    char **arguments;
    unsigned narguments;
    struct store *store;
    FILE *out;
    FILE *notes;
    json_t *result;   /* an object, empty at first */
    const char *line; /* the command line, for the journal */
};

typedef enum command_result command_fn(struct command_run *run, struct error *err);

struct command {
    const char *name;      /* "shard add" */
    const char *arguments; /* "NAME=HOST:PORT" */
    const char *text;      /* one line */
    const char *about;     /* a paragraph for --help */
    const struct option_spec *options;
    unsigned noptions;
    unsigned min_arguments;
    unsigned max_arguments;
    bool has_own_stores; /* its arguments name them; `store` is null */
    command_fn *run;
};

/* Every subcommand, in the order of --help. */
extern const struct command *const commands[];
extern const unsigned command_count;
/* Known before and after the subcommand's name: --store, --json. */
extern const struct option_spec global_options[];
extern const unsigned global_option_count;

#define COMMAND_OPTIONS(array) \
    .options = (array), .noptions = (unsigned)(sizeof(array) / sizeof((array)[0]))

#define ARGUMENTS_ANY 65535u

/* Words for people, or nothing when --json is given. */
void say(const struct command_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A remark on stderr, in either form of output. */
void note(const struct command_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* COMMAND_DONE for true, COMMAND_FAILED for false. */
static inline enum command_result command_result_of(bool ok)
{
    return ok ? COMMAND_DONE : COMMAND_FAILED;
}

#endif
