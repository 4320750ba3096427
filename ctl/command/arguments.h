/* The command line: which subcommand, its options by the tables, and what remains. Pure but for
 * the environment, which the caller reads. */
#ifndef CTL_COMMAND_ARGUMENTS_H
#define CTL_COMMAND_ARGUMENTS_H

#include "ctl/command/command.h"

struct arguments {
    enum options_action action;    /* run, help or version */
    const struct command *command; /* null: none was named; only with help and version */
    char group[32];                /* "shard" when only that was named (help) */
    struct settings settings;
    char **positional; /* point into argv */
    unsigned npositional;
};

/* False with a message for exit code 2; `arguments->command` is then set if it was recognised.
 * To be freed with arguments_fini in either case. */
bool arguments_parse(struct arguments *arguments, int argc, char **argv, struct error *err)
    __attribute__((warn_unused_result));
void arguments_fini(struct arguments *arguments);

/* Whether --json stands anywhere before "--": errors of the command line obey it too. */
bool arguments_want_json(int argc, char **argv);

#endif
