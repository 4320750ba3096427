#include "ctl/command/help.h"

#include <string.h>

static void print_options(const struct option_spec *options, unsigned count, FILE *out)
{
    for (unsigned i = 0; i < count; i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "--%s%s%s", options[i].name,
                       options[i].value != NULL ? " " : "",
                       options[i].value != NULL ? options[i].value : "");
        (void)fprintf(out, "  %-26s %s\n", left, options[i].text);
    }
}

static void print_global_options(FILE *out)
{
    print_options(global_options, global_option_count, out);
    (void)fprintf(out, "  %-26s %s\n", "--help", "print this, or a command's own help");
    (void)fprintf(out, "  %-26s %s\n", "--version", "print the version");
}

static void print_commands(const char *group, FILE *out)
{
    size_t length = strlen(group);
    for (unsigned i = 0; i < command_count; i++) {
        const struct command *command = commands[i];
        if (length > 0 &&
            (strncmp(command->name, group, length) != 0 || command->name[length] != ' ')) {
            continue;
        }
        char left[64];
        (void)snprintf(left, sizeof(left), "%s %s", command->name, command->arguments);
        (void)fprintf(out, "  %-34s %s\n", left, command->text);
    }
}

static void print_program(const char *group, FILE *out)
{
    (void)fprintf(out,
                  "usage: sluicectl [--store URL] [--json] %s%sCOMMAND ...\n\n"
                  "Looks after a Sluice cluster: its shards, and the migrations of slots between "
                  "them.\n\ncommands:\n",
                  group, group[0] != '\0' ? " " : "");
    print_commands(group, out);
    (void)fprintf(out, "\noptions:\n");
    print_global_options(out);
    (void)fprintf(out,
                  "\nID is a migration, like m42; where only one is open it may be left out.\n"
                  "SLOTS are written like 0-99,200. A DURATION is written 250ms, 10s, 5m or 2h, "
                  "a SIZE 64kb or 20mb.\n"
                  "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static void print_command(const struct command *command, FILE *out)
{
    (void)fprintf(out, "usage: sluicectl [--store URL] [--json] %s%s%s%s\n\n%s\n\noptions:\n",
                  command->name, command->arguments[0] != '\0' ? " " : "", command->arguments,
                  command->noptions > 0 ? " [options]" : "", command->about);
    print_options(command->options, command->noptions, out);
    print_global_options(out);
}

void help_print(const struct arguments *arguments, FILE *out)
{
    if (arguments->command != NULL) {
        print_command(arguments->command, out);
    } else {
        print_program(arguments->group, out);
    }
}
