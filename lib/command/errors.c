#include "lib/command/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/assert.h"

#define SHOWN_BYTES 128 /* Redis shows so much of a name, and about so much of all arguments */

static bool append_error(struct buffer *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Like Redis, line ends become spaces: the text may hold anything a client sent. */
static bool append_error(struct buffer *reply, const char *format, ...)
{
    char line[COMMAND_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int written = vsnprintf(line, sizeof(line) - 2, format, args);
    va_end(args);
    ASSERT(written > 0);
    size_t length = (size_t)written < sizeof(line) - 3 ? (size_t)written : sizeof(line) - 3;
    for (size_t i = 0; i < length; i++) {
        line[i] = (char)(line[i] == '\r' || line[i] == '\n' ? ' ' : line[i]);
    }
    line[length] = '\r';
    line[length + 1] = '\n';
    return buffer_append(reply, line, length + 2);
}

/* Redis prints arguments as C strings: up to a zero byte. */
static int shown_length(struct slice text, size_t most)
{
    return (int)(text.len == 0 ? 0 : strnlen(text.data, text.len < most ? text.len : most));
}

static bool unknown_command(struct buffer *reply, const struct slice *argv, unsigned argc)
{
    char args[SHOWN_BYTES + 8];
    size_t length = 0;
    args[0] = '\0';
    for (unsigned i = 1; i < argc && length < SHOWN_BYTES; i++) {
        int shown = shown_length(argv[i], SHOWN_BYTES - length);
        length += (size_t)snprintf(args + length, sizeof(args) - length, "'%.*s' ", shown,
                                   shown > 0 ? argv[i].data : "");
    }
    int shown = shown_length(argv[0], SHOWN_BYTES);
    return append_error(reply, "-ERR unknown command '%.*s', with args beginning with: %s", shown,
                        shown > 0 ? argv[0].data : "", args);
}

bool command_error_unknown_subcommand(struct buffer *reply, const struct slice *argv)
{
    char container[SHOWN_BYTES + 1];
    int shown = shown_length(argv[1], SHOWN_BYTES);
    size_t length = argv[0].len < SHOWN_BYTES ? argv[0].len : SHOWN_BYTES;
    for (size_t i = 0; i < length; i++) {
        char c = argv[0].data[i];
        container[i] = (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
    }
    return append_error(reply, "-ERR unknown subcommand '%.*s'. Try %.*s HELP.", shown,
                        shown > 0 ? argv[1].data : "", (int)length, container);
}

/* EXEC has its own prefix, in a MULTI or not. */
static const char *prefix(const struct command_info *info)
{
    bool is_exec = strcmp(info->name, "exec") == 0;
    return is_exec ? "EXECABORT Transaction discarded because of:" : "ERR";
}

bool command_error_arity(struct buffer *reply, const struct command_info *info)
{
    return append_error(reply, "-%s wrong number of arguments for '%s' command", prefix(info),
                        info->name);
}

bool command_error_subscribed(struct buffer *reply, const struct command_info *info)
{
    return append_error(reply,
                        "-%s Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                        "QUIT / RESET are allowed in this context",
                        prefix(info), info->name);
}

bool command_error_text(struct buffer *reply, const char *text)
{
    return append_error(reply, "-ERR %s", text);
}

bool command_error_crossslot(struct buffer *reply)
{
    return append_error(reply, "-CROSSSLOT Keys in request don't hash to the same slot");
}

enum command_check command_check(const struct command_info *info, const struct slice *argv,
                                 unsigned argc)
{
    if (info == NULL) {
        return COMMAND_UNKNOWN;
    }
    if (info->nsubcommands > 0 && argc > 1 && info->handler == HANDLER_REFUSE) {
        return COMMAND_UNKNOWN_SUBCOMMAND;
    }
    if (!command_arity_fits(info, argc)) {
        return COMMAND_WRONG_ARITY;
    }
    if (info->handler == HANDLER_REFUSE) {
        return COMMAND_REFUSED;
    }
    if (command_refused_form(info, argv, argc) != NULL) {
        return COMMAND_REFUSED_FORM;
    }
    return COMMAND_ADMITTED;
}

bool command_error(struct buffer *reply, enum command_check check, const struct command_info *info,
                   const struct slice *argv, unsigned argc)
{
    switch (check) {
    case COMMAND_UNKNOWN:
        return unknown_command(reply, argv, argc);
    case COMMAND_UNKNOWN_SUBCOMMAND:
        return command_error_unknown_subcommand(reply, argv);
    case COMMAND_WRONG_ARITY:
        return command_error_arity(reply, info);
    case COMMAND_REFUSED:
        return command_error_text(reply, info->reason);
    case COMMAND_REFUSED_FORM:
        return command_error_text(reply, command_refused_form(info, argv, argc));
    case COMMAND_ADMITTED:
        break;
    }
    ASSERT(check != COMMAND_ADMITTED);
    abort();
}
