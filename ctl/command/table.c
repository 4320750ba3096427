#include <stdarg.h>

#include "ctl/command/all.h"
#include "ctl/command/command.h"

const struct command *const commands[] = {
#define X(name) &command_##name,
    COMMANDS(X)
#undef X
};

const unsigned command_count = sizeof(commands) / sizeof(commands[0]);

const struct option_spec global_options[] = {
    CTL_OPTION(
        "store", OPTION_TEXT, store, "URL",
        "where the topology lives: file:DIR or etcd:HOST:PORT,...; SLUICE_STORE stands in for it"),
    SHARD_TLS_OPTIONS(OPTION_FILE, offsetof(struct settings, shard_tls))
        CTL_OPTION("json", OPTION_FLAG, is_json, NULL, "print one JSON document, errors included"),
};

const unsigned global_option_count = sizeof(global_options) / sizeof(global_options[0]);

void say(const struct command_run *run, const char *format, ...)
{
    if (run->settings->is_json) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vfprintf(run->out, format, args);
    va_end(args);
}

void note(const struct command_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(run->notes, format, args);
    va_end(args);
    (void)fputc('\n', run->notes);
}
