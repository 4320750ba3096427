/* The errors a client gets before its command reaches a shard, in Redis' own words and bytes where
 * Redis has them. Pure; any thread. */
#ifndef LIB_COMMAND_ERRORS_H
#define LIB_COMMAND_ERRORS_H

#include "lib/base/buffer.h"
#include "lib/command/command.h"

enum command_check {
    COMMAND_ADMITTED, /* go on with info->handler */
    COMMAND_UNKNOWN,
    COMMAND_UNKNOWN_SUBCOMMAND,
    COMMAND_WRONG_ARITY,
    COMMAND_REFUSED,     /* info->reason */
    COMMAND_REFUSED_FORM /* command_refused_form */
};

/* What Redis checks before it runs a command, in Redis' order, then what we refuse. `info` is what
 * command_find returned, null included. An unknown subcommand of a command that we answer or send
 * to any shard is admitted (CLIENT SETINFO on a 7.0 table): its handler has the last word. */
enum command_check command_check(const struct command_info *info, const struct slice *argv,
                                 unsigned argc);

/* The error for any answer but COMMAND_ADMITTED. All of these append one whole RESP error, at most
 * COMMAND_ERROR_MAX bytes, or nothing and return false when it would pass the buffer's limit. */
#define COMMAND_ERROR_MAX 512
bool command_error(struct buffer *reply, enum command_check check, const struct command_info *info,
                   const struct slice *argv, unsigned argc) __attribute__((warn_unused_result));

/* argv[0] is a container, argv[1] none of its subcommands. */
bool command_error_unknown_subcommand(struct buffer *reply, const struct slice *argv)
    __attribute__((warn_unused_result));
bool command_error_arity(struct buffer *reply, const struct command_info *info)
    __attribute__((warn_unused_result));
/* For a RESP2 client that is subscribed to something. */
bool command_error_subscribed(struct buffer *reply, const struct command_info *info)
    __attribute__((warn_unused_result));
/* "-ERR text"; line ends in the text become spaces, and a text that is too long is cut. */
bool command_error_text(struct buffer *reply, const char *text) __attribute__((warn_unused_result));
bool command_error_crossslot(struct buffer *reply) __attribute__((warn_unused_result));

#endif
