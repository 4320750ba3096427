/* sluicectl: reads the command line, opens the store, runs one subcommand (ctl/command), prints its
 * result. The table of subcommands is ctl/command/all.h. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command/arguments.h"
#include "ctl/command/help.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/shard/credentials.h"
#include "lib/shard/script.h"
#include "lib/shard/shard.h"

/* "split s1 --to s3": without the program's name, and without a store's address. */
static char *command_line_of(int argc, char **argv)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--store") == 0) {
            i++;
        } else if (strncmp(argv[i], "--store=", 8) != 0) {
            buffer_printf(&text, "%s%s", buffer_length(&text) > 0 ? " " : "", argv[i]);
        }
    }
    struct slice whole = buffer_slice(&text);
    char *line = mem_strndup(whole.data != NULL ? whole.data : "", whole.len);
    buffer_fini(&text);
    return line;
}

static enum command_result run_on_store(struct command_run *run, struct error *err)
{
    if (run->command->has_own_stores) {
        return run->command->run(run, err);
    }
    const char *url = run->settings->store;
    url = url != NULL ? url : getenv("SLUICE_STORE");
    if (url == NULL || url[0] == '\0') {
        (void)error_set(err, "no store is named: give --store URL or set SLUICE_STORE");
        return COMMAND_USAGE;
    }
    run->store = store_open(url, err);
    if (run->store == NULL) {
        return COMMAND_FAILED;
    }
    enum command_result result = run->command->run(run, err);
    store_close(run->store);
    return result;
}

static void print_error(const struct arguments *arguments, enum command_result result,
                        const struct error *err)
{
    (void)fprintf(stderr, "sluicectl: %s\n", err->text);
    if (result == COMMAND_USAGE) {
        const struct command *command = arguments->command;
        const char *name = command != NULL ? command->name : arguments->group;
        (void)fprintf(stderr, "see sluicectl %s%s--help\n", name, name[0] != '\0' ? " " : "");
    }
}

static enum command_result run_command(struct arguments *arguments, const char *line,
                                       json_t *result, struct error *err)
{
    struct command_run run = {.command = arguments->command,
                              .settings = &arguments->settings,
                              .arguments = arguments->positional,
                              .narguments = arguments->npositional,
                              .out = stdout,
                              .notes = stderr,
                              .result = result,
                              .line = line};
    struct tls_context *tls = shard_tls_new(&arguments->settings.shard_tls, err);
    if (tls == NULL) {
        return COMMAND_USAGE;
    }
    shard_use_tls(tls);
    enum command_result code = run_on_store(&run, err);
    shard_use_tls(NULL);
    tls_context_free(tls);
    return code;
}

int main(int argc, char **argv)
{
    struct error err = {.text = ""};
    struct arguments arguments;
    enum command_result result = COMMAND_USAGE;
    bool is_json = arguments_want_json(argc, argv);
    json_t *document = json_object();

    (void)signal(SIGPIPE, SIG_IGN); /* a shard that closes is an error to tell of */
    log_init("sluicectl", LOG_ERROR);
    script_init();
    bool is_understood = arguments_parse(&arguments, argc, argv, &err) &&
                         shard_credentials_init(NULL, &err) &&
                         sentinel_credentials_init(NULL, &err);
    if (is_understood && arguments.action == OPTIONS_HELP) {
        help_print(&arguments, stdout);
        result = COMMAND_DONE;
        is_json = false;
    } else if (is_understood && arguments.action == OPTIONS_VERSION) {
        (void)printf("sluicectl %s\n", VERSION);
        result = COMMAND_DONE;
        is_json = false;
    } else if (is_understood) {
        char *line = command_line_of(argc, argv);
        result = run_command(&arguments, line, document, &err);
        mem_free(line);
    }
    if (is_json) {
        if (result != COMMAND_DONE) {
            set_text(document, "error", err.text);
        }
        json_print(document, stdout);
    } else if (result != COMMAND_DONE) {
        (void)fflush(stdout);
        print_error(&arguments, result, &err);
    }
    json_decref(document);
    arguments_fini(&arguments);
    return (int)result;
}
