/* Any bytes, given whole and byte by byte at changing addresses: the same commands, or the same
 * error at the same command. Arguments lie where they may. */
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

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};
    struct command_parser fast, slow;
    struct command whole, pieces;
    enum parse_status status = PARSE_OK;
    command_parser_init(&fast, 4096);
    command_parser_init(&slow, 4096);
    while (rest.len > 0 && size < 4096 && status == PARSE_OK) {
        char *copy = NULL;
        status = command_parse(&fast, rest.data, rest.len, &whole);
        ASSERT(parse_slowly(&slow, rest, &pieces, &copy) == status);
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
