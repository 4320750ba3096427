/* --help: of the program, of a group of commands, of one command. */
#ifndef CTL_COMMAND_HELP_H
#define CTL_COMMAND_HELP_H

#include "ctl/command/arguments.h"

/* By what was named on the command line. */
void help_print(const struct arguments *arguments, FILE *out);

#endif
