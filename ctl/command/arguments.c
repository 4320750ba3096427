#include "ctl/command/arguments.h"

#include <string.h>

#include "lib/base/memory.h"

#define OPTIONS_MAX 24 /* global and of one command; asserted by a test over the table */

struct parsing {
    struct arguments *arguments;
    int argc;
    char **argv;
    int next;
    char **options; /* argv of options_load: [0] is the program */
    int noptions;
};

static const struct option_spec *find_option(const struct option_spec *options, unsigned count,
                                             const char *name, size_t length)
{
    for (unsigned i = 0; i < count; i++) {
        const char *candidate = options[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static bool unknown_option(const struct command *command, const char *argument, struct error *err)
{
    if (command == NULL) {
        return error_set(err,
                         "there is no option %s before the command; a command's own options "
                         "stand behind its name",
                         argument);
    }
    return error_set(err, "\"%s\" has no option %s", command->name, argument);
}

static bool take_option(struct parsing *parsing, char *argument, struct error *err)
{
    const struct command *command = parsing->arguments->command;
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    const struct option_spec *spec = find_option(global_options, global_option_count, name, length);
    if (spec == NULL && command != NULL) {
        spec = find_option(command->options, command->noptions, name, length);
    }
    if (spec == NULL) {
        return unknown_option(command, argument, err);
    }
    parsing->options[parsing->noptions++] = argument;
    if (spec->type == OPTION_FLAG || name[length] == '=') {
        return true;
    }
    if (parsing->next == parsing->argc) {
        return error_set(err, "option %s needs a value", argument);
    }
    parsing->options[parsing->noptions++] = parsing->argv[parsing->next++];
    return true;
}

/* "shard" and "plan" are the first words of several commands. */
static bool is_group(const char *word)
{
    size_t length = strlen(word);
    for (unsigned i = 0; i < command_count; i++) {
        const char *name = commands[i]->name;
        if (strncmp(name, word, length) == 0 && name[length] == ' ') {
            return true;
        }
    }
    return false;
}

static bool name_command(struct arguments *arguments, const char *word, struct error *err)
{
    if (arguments->group[0] == '\0' && is_group(word)) {
        (void)snprintf(arguments->group, sizeof(arguments->group), "%s", word);
        return true;
    }
    char name[64];
    (void)snprintf(name, sizeof(name), "%s%s%s", arguments->group,
                   arguments->group[0] != '\0' ? " " : "", word);
    for (unsigned i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            arguments->command = commands[i];
            return true;
        }
    }
    return error_set(err, "there is no command \"%s\"", name);
}

static bool is_action(const char *argument, enum options_action *action)
{
    bool is_help = strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
    bool is_version = strcmp(argument, "--version") == 0 || strcmp(argument, "-V") == 0;
    if (is_help) {
        *action = OPTIONS_HELP;
    } else if (is_version) {
        *action = OPTIONS_VERSION;
    }
    return is_help || is_version;
}

static bool take_argument(struct parsing *parsing, bool *is_literal, struct error *err)
{
    struct arguments *arguments = parsing->arguments;
    char *argument = parsing->argv[parsing->next++];
    if (!*is_literal && strcmp(argument, "--") == 0) {
        *is_literal = true;
        return true;
    }
    if (!*is_literal && is_action(argument, &arguments->action)) {
        return true;
    }
    if (!*is_literal && strncmp(argument, "--", 2) == 0) {
        return take_option(parsing, argument, err);
    }
    if (arguments->command == NULL) {
        return name_command(arguments, argument, err);
    }
    arguments->positional[arguments->npositional++] = argument;
    return true;
}

static unsigned merge_specs(const struct command *command, struct option_spec *specs)
{
    unsigned count = 0;
    for (unsigned i = 0; i < global_option_count; i++) {
        specs[count++] = global_options[i];
    }
    for (unsigned i = 0; command != NULL && i < command->noptions && count < OPTIONS_MAX; i++) {
        specs[count++] = command->options[i];
    }
    return count;
}

static bool load_options(struct parsing *parsing, struct error *err)
{
    struct option_spec specs[OPTIONS_MAX];
    struct option_table table = {.program = "sluicectl", .usage = "", .about = "", .specs = specs};
    table.count = merge_specs(parsing->arguments->command, specs);
    enum options_action ignored; /* actions were taken out before */
    return options_load(&table, &parsing->arguments->settings, parsing->noptions, parsing->options,
                        &ignored, err);
}

static bool check_complete(const struct arguments *arguments, struct error *err)
{
    const struct command *command = arguments->command;
    if (arguments->action != OPTIONS_RUN) {
        return true;
    }
    if (command == NULL && arguments->group[0] != '\0') {
        return error_set(err, "\"%s\" needs a second word", arguments->group);
    }
    if (command == NULL) {
        return error_set(err, "no command was given");
    }
    if (arguments->npositional < command->min_arguments) {
        return error_set(err, "\"%s\" needs %s", command->name, command->arguments);
    }
    if (arguments->npositional > command->max_arguments) {
        return error_set(err, "\"%s\" does not take \"%s\"", command->name,
                         arguments->positional[command->max_arguments]);
    }
    return true;
}

/* What depends on each other. */
static bool check_settings(const struct settings *settings, struct error *err)
{
    return settings->timeout_ms == 0 || settings->is_waiting ||
           error_set(err, "--timeout says how long --wait waits: give --wait, too");
}

bool arguments_parse(struct arguments *arguments, int argc, char **argv, struct error *err)
{
    memset(arguments, 0, sizeof(*arguments));
    arguments->positional = mem_zalloc((size_t)(argc + 1) * sizeof(char *));
    struct parsing parsing = {.arguments = arguments, .argc = argc, .argv = argv, .next = 1};
    parsing.options = mem_zalloc((size_t)(argc + 1) * sizeof(char *));
    parsing.options[parsing.noptions++] = argv[0];

    bool is_literal = false;
    bool ok = true;
    while (ok && parsing.next < argc) {
        ok = take_argument(&parsing, &is_literal, err);
    }
    ok = ok && check_complete(arguments, err) && load_options(&parsing, err) &&
         check_settings(&arguments->settings, err);
    mem_free(parsing.options);
    return ok;
}

void arguments_fini(struct arguments *arguments)
{
    struct option_spec specs[OPTIONS_MAX];
    struct option_table table = {.specs = specs};
    table.count = merge_specs(arguments->command, specs);
    options_free(&table, &arguments->settings);
    mem_free(arguments->positional);
    arguments->positional = NULL;
}

bool arguments_want_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}
