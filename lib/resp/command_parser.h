/* Reads one client command from bytes that arrive in any pieces: the multibulk form and the inline
 * form, with Redis' limits and Redis' own error texts. Copies nothing: the arguments are slices of
 * the caller's bytes (of the parser's own memory for an inline command with quotes). Pure. */
#ifndef LIB_RESP_COMMAND_PARSER_H
#define LIB_RESP_COMMAND_PARSER_H

#include "lib/base/buffer.h"
#include "lib/base/slice.h"
#include "lib/resp/framer.h"

#define COMMAND_BULK_MAX   ((uint64_t)512 << 20) /* Redis' proto-max-bulk-len */
#define COMMAND_INLINE_MAX ((size_t)64 << 10)    /* Redis' PROTO_INLINE_MAX_SIZE */

/* A command as it lies in the caller's bytes; valid until those change or the next parse. */
struct command {
    const struct slice *argv;
    unsigned argc;    /* 0: an empty line or *0, which is skipped without an answer */
    struct slice raw; /* all its bytes; not RESP when is_inline */
    bool is_inline;
};

struct command_parser {
    uint64_t bulk_max;
    uint64_t args_left;   /* of a multibulk command; valid when is_multibulk */
    uint64_t bulk_length; /* of a command that is let pass: what is left of it, CRLF included */
    size_t position;      /* from the start of the command to the next unread byte */
    bool is_multibulk;
    bool is_restricted;
    bool is_careful; /* within a command, or restricted: not the fast way */
    bool has_bulk_length;
    const char *error; /* after PARSE_BAD: Redis' text behind "-ERR Protocol error: " */
    char error_text[48];
    unsigned nargs;
    unsigned capacity;
    struct slice *args;     /* data is an offset from the command's start until it is complete */
    struct buffer unquoted; /* the arguments of an inline command */
};

void command_parser_init(struct command_parser *parser, uint64_t bulk_max);
void command_parser_fini(struct command_parser *parser);
/* The commands that begin from now on may be no larger than Redis lets them be before a client has
 * logged in. */
void command_parser_restrict(struct command_parser *parser, bool is_restricted);
/* Gives back memory that one large command made it take. */
void command_parser_trim(struct command_parser *parser);

/* `data` begins where the command begins: after PARSE_MORE call again with the same bytes and more
 * behind them (at any address). After PARSE_OK command->raw.len bytes are used up. */
enum parse_status command_parse(struct command_parser *parser, const char *data, size_t size,
                                struct command *command);

/* How many bytes the command that is being read needs at least, 0 when not known: lets the reader
 * make room for a large argument at once. */
size_t command_parser_needs(const struct command_parser *parser);

/* --- a command that is too large to be kept until it is whole -------------------------------- */

/* After PARSE_MORE in an argument of a multibulk command: the command with the arguments that are
 * there, and empty ones, whose data is null, for those to come. False when that would be more than
 * `args_max`, or none is there. Valid until the next parse. */
bool command_parser_begun(struct command_parser *parser, const char *data, size_t size,
                          unsigned args_max, struct command *command)
    __attribute__((warn_unused_result));

/* Then, in the place of parsing it again: `size` bytes, all there are, have been used up; what
 * comes behind them goes through command_pass. */
void command_parser_let_pass(struct command_parser *parser, size_t size);

/* The next bytes of a command that is let pass: the first *used of them belong to it (what begins
 * the header of an argument is not used before it is whole). PARSE_OK: it has ended there. */
enum parse_status command_pass(struct command_parser *parser, const char *data, size_t size,
                               size_t *used);

#endif
