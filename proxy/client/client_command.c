/* CLIENT and its subcommands, for the client's own connection. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

struct subcommand {
    const char *name;
    unsigned argc; /* exactly, or 0: any */
    void (*answer)(struct client *client, struct buffer *out, const struct command *command);
};

static void write_wrong_arity(struct buffer *out, const char *name)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "ERR wrong number of arguments for 'client|%s' command",
                   name);
    write_error(out, text);
}

/* Redis: no spaces, newlines or special characters. */
static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static void store(char *field, size_t size, struct slice text)
{
    size_t length = text.len < size - 1 ? text.len : size - 1;
    memcpy(field, text.data, length);
    field[length] = '\0';
}

bool local_take_name(struct client *client, struct buffer *out, struct slice name)
{
    if (!is_clean(name)) {
        write_error(out, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    store(client->name, sizeof(client->name), name);
    return true;
}

static void answer_setname(struct client *client, struct buffer *out, const struct command *command)
{
    if (local_take_name(client, out, command->argv[2])) {
        write_status(out, "OK");
    }
}

static void answer_getname(struct client *client, struct buffer *out, const struct command *command)
{
    (void)command;
    if (client->name[0] == '\0') {
        write_null(out, client->protocol);
    } else {
        write_bulk(out, slice_of(client->name));
    }
}

static void answer_id(struct client *client, struct buffer *out, const struct command *command)
{
    (void)command;
    write_integer(out, (int64_t)client->id);
}

static void answer_setinfo(struct client *client, struct buffer *out, const struct command *command)
{
    if (slice_equal_nocase(command->argv[2], SLICE("lib-name"))) {
        store(client->library, sizeof(client->library), command->argv[3]);
    } else if (slice_equal_nocase(command->argv[2], SLICE("lib-ver"))) {
        store(client->library_version, sizeof(client->library_version), command->argv[3]);
    } else {
        bool is_written = command_error_text(out, "Unrecognized option");
        ASSERT(is_written);
        return;
    }
    write_status(out, "OK");
}

static void describe(const struct client *client, struct buffer *text)
{
    uint64_t age = (loop_now_us(client->host->loop) - client->connected_us) / 1000000;
    buffer_printf(text, "id=%llu name=%s age=%llu db=0 resp=%u lib-name=%s lib-ver=%s\n",
                  (unsigned long long)client->id, client->name, (unsigned long long)age,
                  client->protocol, client->library, client->library_version);
}

static void answer_info(struct client *client, struct buffer *out, const struct command *command)
{
    struct buffer text;
    (void)command;
    buffer_init(&text, SIZE_MAX);
    describe(client, &text);
    write_verbatim(out, client->protocol, buffer_slice(&text));
    buffer_fini(&text);
}

static void answer_on_off(struct client *client, struct buffer *out, const struct command *command)
{
    (void)client;
    (void)command;
    write_status(out, "OK"); /* NO-EVICT and NO-TOUCH: nothing here evicts or ages by clients */
}

void local_client(struct client *client, struct buffer *out, const struct command *command)
{
    static const struct subcommand subcommands[] = {
        {"setname", 3, answer_setname}, {"getname", 2, answer_getname},
        {"id", 2, answer_id},           {"setinfo", 4, answer_setinfo},
        {"info", 2, answer_info},       {"no-evict", 3, answer_on_off},
        {"no-touch", 3, answer_on_off},
    };
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        const struct subcommand *subcommand = &subcommands[i];
        if (command->argc > 1 && slice_equal_nocase(command->argv[1], slice_of(subcommand->name))) {
            if (command->argc != subcommand->argc) {
                write_wrong_arity(out, subcommand->name);
            } else {
                subcommand->answer(client, out, command);
            }
            return;
        }
    }
    bool is_written = command_error_unknown_subcommand(out, command->argv);
    ASSERT(is_written);
}
