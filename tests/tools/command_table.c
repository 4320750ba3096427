/* Print lib/command/table.def from a server's reply to COMMAND, read from standard input.
 *
 *   command_table VERSION < bytes of the reply        (scripts/gen-command-table does it all) */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/command/table_internal.h"

#define REPLY_BYTES_MAX ((size_t)16 << 20)

static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {COMMAND_WRITE, "COMMAND_WRITE"},
    {COMMAND_READONLY, "COMMAND_READONLY"},
    {COMMAND_DENYOOM, "COMMAND_DENYOOM"},
    {COMMAND_BLOCKING, "COMMAND_BLOCKING"},
    {COMMAND_MOVABLE_KEYS, "COMMAND_MOVABLE_KEYS"},
    {COMMAND_NOSCRIPT, "COMMAND_NOSCRIPT"},
    {COMMAND_NO_MANDATORY_KEYS, "COMMAND_NO_MANDATORY_KEYS"},
    {COMMAND_NO_AUTH, "COMMAND_NO_AUTH"},
};

/* "IN(READ) | IN(FAST)" */
static void print_categories(uint32_t categories)
{
    static const char *const symbols[CATEGORY_COUNT] = {
#define X(symbol, word) [symbol] = #symbol,
        COMMAND_CATEGORIES(X)
#undef X
    };
    const char *separator = "";
    for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
        if ((categories >> i & 1) != 0) {
            (void)printf("%sIN(%s)", separator, symbols[i] + sizeof("CATEGORY_") - 1);
            separator = " | ";
        }
    }
    (void)printf("%s", categories == 0 ? "0" : "");
}

static void print_flags(uint32_t flags)
{
    const char *separator = "";
    for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++) {
        if ((flags & flag_names[i].flag) != 0) {
            (void)printf("%s%s", separator, flag_names[i].name);
            separator = " | ";
        }
    }
    (void)printf("%s", flags == 0 ? "0" : "");
}

static void print_policy(const struct command_info *info)
{
#define X(symbol, word) #symbol,
    static const char *const requests[] = {REQUEST_POLICIES(X)};
    static const char *const responses[] = {RESPONSE_POLICIES(X)};
#undef X
    if (info->request_policy != REQUEST_DEFAULT || info->response_policy != RESPONSE_DEFAULT) {
        (void)printf(", POLICY(%s, %s)", requests[info->request_policy] + strlen("REQUEST_"),
                     responses[info->response_policy] + strlen("RESPONSE_"));
    }
}

static void print_spec(const struct key_spec *spec)
{
    if (spec->begin == KEY_BEGIN_INDEX) {
        (void)printf("AT(%d, ", spec->index);
    } else if (spec->begin == KEY_BEGIN_KEYWORD) {
        (void)printf("BEHIND(\"%s\", %d, ", spec->keyword, spec->index);
    } else {
        (void)printf("SOMEWHERE(");
    }
    if (spec->find == KEY_FIND_RANGE) {
        (void)printf("RANGE(%d, %d, %d), ", spec->last, spec->step, spec->limit);
    } else if (spec->find == KEY_FIND_KEYNUM) {
        (void)printf("KEYNUM(%d, %d, %d), ", spec->keynum, spec->first, spec->keynum_step);
    } else {
        (void)printf("UNKNOWN, ");
    }
    (void)printf("%s%s%s%s%s)", spec->is_written ? "WRITTEN" : "READ",
                 spec->is_incomplete ? ", INCOMPLETE" : "", spec->needs_read ? ", MAY_READ" : "",
                 spec->needs_write ? ", MAY_WRITE" : "",
                 spec->has_variable_needs ? ", VARIABLE" : "");
}

static void print_row(const struct command_info *info, const char *indent)
{
    (void)printf("%sCOMMAND(\"%s\", %d, ", indent, info->name, info->arity);
    print_flags(info->flags);
    (void)printf(", ");
    print_categories(info->categories);
    print_policy(info);
    if (info->nspecs == 0) {
        (void)printf(", NO_KEYS");
        return;
    }
    (void)printf(", KEYS(");
    for (unsigned i = 0; i < info->nspecs; i++) {
        (void)printf("%s", i > 0 ? ", " : "");
        print_spec(&info->specs[i]);
    }
    (void)printf(")");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct command_info *)a)->name, ((const struct command_info *)b)->name);
}

/* A server lists its commands in an order of its own, which changes with every start. */
static struct command_info *sorted(const struct command_info *rows, unsigned count,
                                   struct arena *arena)
{
    struct command_info *copy = arena_dup(arena, rows, count * sizeof(*rows));
    qsort(copy, count, sizeof(*copy), by_name);
    return copy;
}

static void print_command(const struct command_info *info, struct arena *arena)
{
    print_row(info, "");
    if (info->nsubcommands > 0) {
        struct command_info *subs = sorted(info->subcommands, info->nsubcommands, arena);
        (void)printf(", SUBCOMMANDS(\n");
        for (unsigned i = 0; i < info->nsubcommands; i++) {
            print_row(&subs[i], "    ");
            (void)printf("%s", i + 1 < info->nsubcommands ? "),\n" : "))");
        }
    }
    (void)printf("),\n");
}

static void read_input(struct buffer *input)
{
    for (;;) {
        char *room = buffer_reserve(input, 65536);
        ASSERT(room != NULL);
        ssize_t got = read(STDIN_FILENO, room, 65536);
        if (got <= 0) {
            return;
        }
        buffer_commit(input, (size_t)got);
    }
}

int main(int argc, char **argv)
{
    struct buffer input;
    struct arena arena = {NULL};
    struct command_rows rows;
    struct error err;
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s VERSION < reply\n", argv[0]);
        return 2;
    }
    buffer_init(&input, REPLY_BYTES_MAX);
    read_input(&input);
    bool is_read = command_rows_learn(buffer_slice(&input), &arena, &rows, &err);
    if (is_read) {
        struct command_info *all = sorted(rows.rows, rows.count, &arena);
        (void)printf("/* Generated by scripts/gen-command-table from Redis %s: do not edit.\n"
                     " * The macros are in lib/command/table.c. */\n",
                     argv[1]);
        for (unsigned i = 0; i < rows.count; i++) {
            print_command(&all[i], &arena);
        }
    } else {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    arena_free(&arena);
    buffer_fini(&input);
    return is_read ? 0 : 1;
}
