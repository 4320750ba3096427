/* Shared inside lib/command only (and with tests/tools/command_table.c, which writes table.def). */
#ifndef LIB_COMMAND_TABLE_INTERNAL_H
#define LIB_COMMAND_TABLE_INTERNAL_H

#include "lib/base/arena.h"
#include "lib/command/command.h"

/* A table row before our decisions: of struct command_info only name, arity, flags, specs and
 * subcommands are set. */
struct command_rows {
    struct command_info *rows;
    unsigned count;
};

#define COMMAND_ROWS_MAX  4096 /* commands, and subcommands of one command */
#define COMMAND_SPECS_MAX 32

/* From the bytes of a COMMAND reply; all memory is the arena's. Commands whose names do not fit
 * struct command_info are left out. */
bool command_rows_learn(struct slice reply, struct arena *arena, struct command_rows *rows,
                        struct error *err) __attribute__((warn_unused_result));

/* Our decisions about one command (container: the command it is a subcommand of, or null). Sets
 * handler, finder, form, reason, why, and what we add to flags and specs. */
void command_override(struct command_info *info, const struct command_info *container,
                      struct arena *arena);

#endif
