/* Any bytes, given whole and byte by byte at changing addresses: the same commands, or the same
 * error at the same command. Arguments lie where they may. And again with each command let pass as
 * soon as it can be: it ends where it ends. */
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/command_parser.h"

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_arguments(const struct command *command)
{
    volatile char sum = 0;
    ASSERT(command->raw.len > 0);
    for (unsigned i = 0; i < command->argc; i++) {
        for (size_t at = 0; at < command->argv[i].len; at++) {
            sum = (char)(sum ^ command->argv[i].data[at]); /* the sanitizer looks at it */
        }
    }
}

static void check_same(const struct command *a, const struct command *b)
{
    ASSERT(a->argc == b->argc && a->raw.len == b->raw.len && a->is_inline == b->is_inline);
    for (unsigned i = 0; i < a->argc; i++) {
        ASSERT(slice_equal(a->argv[i], b->argv[i]));
    }
}

/* The command at the front of `bytes`, which get longer by one byte each time. */
static enum parse_status parse_slowly(struct command_parser *parser, struct slice bytes,
                                      struct command *command, char **copy)
{
    enum parse_status status = PARSE_MORE;
    for (size_t size = 1; size <= bytes.len && status == PARSE_MORE; size++) {
        mem_free(*copy);
        *copy = mem_dup(bytes.data, size);
        status = command_parse(parser, *copy, size, command);
    }
    return status;
}

/* What is not used up is given again with the next byte. */
static enum parse_status pass_slowly(struct command_parser *parser, struct slice bytes,
                                     size_t *length)
{
    enum parse_status status = PARSE_MORE;
    for (size_t end = *length + 1; end <= bytes.len && status == PARSE_MORE; end++) {
        size_t size = end - *length, used = 0;
        char *copy = mem_dup(bytes.data + *length, size);
        status = command_pass(parser, copy, size, &used);
        ASSERT(used <= size);
        *length += used;
        mem_free(copy);
    }
    return status;
}

/* *length is where the command ends, after PARSE_OK. */
static enum parse_status let_pass(struct command_parser *parser, struct slice bytes, size_t *length)
{
    struct command command;
    for (*length = 1; *length <= bytes.len; (*length)++) {
        char *copy = mem_dup(bytes.data, *length);
        enum parse_status status = command_parse(parser, copy, *length, &command);
        bool has_begun =
            status == PARSE_MORE && command_parser_begun(parser, copy, *length, 100, &command);
        if (has_begun) {
            check_arguments(&command);
            command_parser_let_pass(parser, *length);
        }
        mem_free(copy);
        if (has_begun) {
            return pass_slowly(parser, bytes, length);
        }
        if (status != PARSE_MORE) {
            return status;
        }
    }
    return PARSE_MORE;
}

static void check_passing(struct slice bytes, enum parse_status status, size_t length)
{
    struct command_parser parser;
    size_t passed;
    command_parser_init(&parser, 4096);
    ASSERT(let_pass(&parser, bytes, &passed) == status);
    ASSERT(status != PARSE_OK || passed == length);
    command_parser_fini(&parser);
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};
    struct command_parser fast, slow;
    struct command whole = {.argc = 0}, pieces;
    enum parse_status status = PARSE_OK;
    command_parser_init(&fast, 4096);
    command_parser_init(&slow, 4096);
    while (rest.len > 0 && size < 4096 && status == PARSE_OK) {
        char *copy = NULL;
        status = command_parse(&fast, rest.data, rest.len, &whole);
        ASSERT(parse_slowly(&slow, rest, &pieces, &copy) == status);
        check_passing(rest, status, whole.raw.len);
        if (status == PARSE_OK) {
            check_arguments(&whole);
            check_same(&whole, &pieces);
            rest = (struct slice){rest.data + whole.raw.len, rest.len - whole.raw.len};
        } else if (status == PARSE_BAD) {
            ASSERT(strcmp(fast.error, slow.error) == 0);
        }
        mem_free(copy);
    }
    command_parser_fini(&fast);
    command_parser_fini(&slow);
    return 0;
}
