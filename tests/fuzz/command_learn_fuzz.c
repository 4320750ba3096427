/* Any bytes as a server's reply to COMMAND: refused with a message, or a table whose key specs,
 * however odd, find only arguments that are there. */
#include "lib/base/assert.h"
#include "lib/command/command.h"

#define ARGS 8

static void check_keys(const struct command_info *info, const struct slice *argv, unsigned argc)
{
    struct command_key keys[ARGS];
    int count = command_keys(info, argv, argc, keys, ARGS);
    for (int i = 0; i < count && i < ARGS; i++) {
        ASSERT(keys[i].position > 0 && keys[i].position < argc);
    }
    (void)command_refused_form(info, argv, argc);
}

static void check_command(const struct command_info *info)
{
    const struct slice argv[ARGS] = {SLICE("a"), SLICE("2"), SLICE("1"),       SLICE("x"),
                                     SLICE("3"), SLICE("0"), SLICE("STREAMS"), SLICE("9")};
    for (unsigned argc = 1; argc <= ARGS; argc++) {
        if (command_arity_fits(info, argc)) {
            check_keys(info, argv, argc);
        }
    }
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {.text = ""};
    struct command_table *table =
        command_table_learn((struct slice){(const char *)data, size}, &err);
    if (table == NULL) {
        ASSERT(err.text[0] != '\0');
        return 0;
    }
    unsigned known = command_table_count(command_table_builtin());
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        ASSERT((info->handler == HANDLER_REFUSE) == (info->reason != NULL));
        if (id >= known || info->nspecs > 0) {
            check_command(info);
        }
    }
    command_table_free(table);
    return 0;
}
