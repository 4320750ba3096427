/* CLIENT and its subcommands, for the client's own connection; all_clients.c has those that concern
 * others. Client-side caching would need invalidations from every shard: CLIENT TRACKING is
 * refused, and everything around it answers as where tracking is off. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/command/errors.h"
#include "lib/net/socket.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define SYNTAX_ERROR "ERR syntax error"

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

/* --- one line of CLIENT LIST ------------------------------------------------------------------ */

enum client_class client_class_of(const struct client *client)
{
    return client->subscriptions != NULL ? CLIENT_CLASS_PUBSUB : CLIENT_CLASS_NORMAL;
}

static void write_flags(const struct client *client, struct buffer *text)
{
    size_t before = buffer_length(text);
    if (client->subscriptions != NULL) {
        buffer_add_text(text, "P");
    }
    if (client->transaction != NULL) {
        buffer_add_text(text, "x");
    }
    if (client_waits_for_an_element(client)) {
        buffer_add_text(text, "b");
    }
    if (client->is_kept_from_eviction) {
        buffer_add_text(text, "e");
    }
    if (client->is_untouching) {
        buffer_add_text(text, "T");
    }
    buffer_add_text(text, buffer_length(text) == before ? "N" : "");
}

static void write_sizes(const struct client *client, struct buffer *text)
{
    unsigned long long in = buffer_length(&client->in);
    unsigned long long out = buffer_length(&client->out) + client->parked_bytes;
    unsigned long long held = client->in.capacity + client->out.capacity + sizeof(*client);
    buffer_printf(text,
                  " qbuf=%llu qbuf-free=%llu argv-mem=%zu multi-mem=0 rbs=%zu rbp=0 obl=0 oll=%u "
                  "omem=%llu tot-mem=%llu",
                  in, client->in.capacity - in, client->pending_bytes, client->out.capacity,
                  client->pending, out, held);
}

void client_describe(const struct client *client, struct buffer *text)
{
    const struct client_host *host = client->host;
    struct endpoint remote, local;
    char address[ENDPOINT_TEXT_MAX], local_address[ENDPOINT_TEXT_MAX];
    uint64_t now = loop_now_us(host->loop);
    socket_addresses(client->stream.fd, &remote, &local);
    endpoint_format(&remote, address);
    endpoint_format(&local, local_address);
    buffer_printf(text, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=",
                  (unsigned long long)client->id, address, local_address, client->stream.fd,
                  client->name, (unsigned long long)(now - client->connected_us) / 1000000,
                  (unsigned long long)(now - client->active_us) / 1000000);
    write_flags(client, text);
    buffer_add_text(text, " db=0");
    subscription_describe(client, text);
    buffer_printf(text, " multi=%d", transaction_length(client));
    write_sizes(client, text);
    buffer_printf(text, " events=%s%s cmd=%s user=%s redir=-1 resp=%u lib-name=%s lib-ver=%s\n",
                  client->io.is_reading ? "r" : "", client->io.is_writing ? "w" : "",
                  client->last_command != NULL ? client->last_command->name : "NULL",
                  acl_user_name(client->user), client->protocol, client->library,
                  client->library_version);
}

static void answer_info(struct client *client, struct buffer *out, const struct command *command)
{
    struct buffer text;
    (void)command;
    buffer_init(&text, SIZE_MAX);
    client_describe(client, &text);
    write_verbatim(out, client->protocol, buffer_slice(&text));
    buffer_fini(&text);
}

/* --- settings of the connection --------------------------------------------------------------- */

static bool has_argc(struct buffer *out, const struct command *command, unsigned argc,
                     const char *name)
{
    char text[96];
    if (command->argc == argc) {
        return true;
    }
    (void)snprintf(text, sizeof(text), "ERR wrong number of arguments for 'client|%s' command",
                   name);
    write_error(out, text);
    return false;
}

/* Redis 7.0 does not have it, 7.2 does; libraries send it and read the answer. */
static void answer_setinfo(struct client *client, struct buffer *out, const struct command *command)
{
    if (!has_argc(out, command, 4, "setinfo")) {
        return;
    }
    struct slice option = command->argv[2];
    bool is_name = slice_equal_nocase(option, SLICE("lib-name"));
    if (!is_name && !slice_equal_nocase(option, SLICE("lib-ver"))) {
        char text[128];
        (void)snprintf(text, sizeof(text), "Unrecognized option '%.*s'",
                       (int)(option.len < 64 ? option.len : 64), option.data);
        bool is_written = command_error_text(out, text);
        ASSERT(is_written);
        return;
    }
    if (!is_clean(command->argv[3])) {
        write_error(out,
                    is_name ? "ERR lib-name cannot contain spaces, newlines or special characters."
                            : "ERR lib-ver cannot contain spaces, newlines or special characters.");
        return;
    }
    if (is_name) {
        store(client->library, sizeof(client->library), command->argv[3]);
    } else {
        store(client->library_version, sizeof(client->library_version), command->argv[3]);
    }
    write_status(out, "OK");
}

/* "on" or "off"; false with Redis' error. */
static bool take_switch(struct buffer *out, struct slice word, bool *is_on)
{
    *is_on = slice_equal_nocase(word, SLICE("on"));
    if (!*is_on && !slice_equal_nocase(word, SLICE("off"))) {
        write_error(out, SYNTAX_ERROR);
        return false;
    }
    write_status(out, "OK");
    return true;
}

/* Nothing here evicts clients. */
static void answer_no_evict(struct client *client, struct buffer *out,
                            const struct command *command)
{
    bool is_on;
    if (take_switch(out, command->argv[2], &is_on)) {
        client->is_kept_from_eviction = is_on;
    }
}

/* The shards go on to note when a key was used. */
static void answer_no_touch(struct client *client, struct buffer *out,
                            const struct command *command)
{
    bool is_on;
    if (has_argc(out, command, 3, "no-touch") && take_switch(out, command->argv[2], &is_on)) {
        client->is_untouching = is_on;
    }
}

static void answer_reply(struct client *client, struct buffer *out, const struct command *command)
{
    struct slice mode = command->argv[2];
    if (slice_equal_nocase(mode, SLICE("on"))) {
        client_unmute(client);
        write_status(request_answer(client->last), "OK"); /* `out` was nobody's, perhaps */
    } else if (slice_equal_nocase(mode, SLICE("off"))) {
        client->reply_mode = REPLY_OFF;
    } else if (!slice_equal_nocase(mode, SLICE("skip"))) {
        write_error(out, SYNTAX_ERROR);
    } else if (client->reply_mode == REPLY_ON) {
        client->reply_mode = REPLY_SKIP_NEXT;
    }
}

/* --- tracking, which there is none of --------------------------------------------------------- */

static void answer_tracking(struct client *client, struct buffer *out,
                            const struct command *command)
{
    (void)client;
    if (slice_equal_nocase(command->argv[2], SLICE("off")) && command->argc == 3) {
        write_status(out, "OK");
    } else if (!slice_equal_nocase(command->argv[2], SLICE("on"))) {
        write_error(out, SYNTAX_ERROR);
    } else {
        write_error(out, "ERR not supported by this Sluice: CLIENT TRACKING; invalidations would "
                         "have to come from every shard");
    }
}

static void answer_caching(struct client *client, struct buffer *out, const struct command *command)
{
    (void)client;
    (void)command;
    write_error(out, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                     "with OPTIN or OPTOUT mode enabled");
}

static void answer_getredir(struct client *client, struct buffer *out,
                            const struct command *command)
{
    (void)client;
    (void)command;
    write_integer(out, -1);
}

static void answer_trackinginfo(struct client *client, struct buffer *out,
                                const struct command *command)
{
    (void)command;
    write_map_header(out, client->protocol, 3);
    write_bulk(out, SLICE("flags"));
    write_set_header(out, client->protocol, 1);
    write_bulk(out, SLICE("off"));
    write_bulk(out, SLICE("redirect"));
    write_integer(out, -1);
    write_bulk(out, SLICE("prefixes"));
    write_array(out, 0);
}

void local_client(struct client *client, struct buffer *out, const struct command *command)
{
    static const struct subcommand subcommands[] = {
        {"setname", answer_setname},
        {"getname", answer_getname},
        {"id", answer_id},
        {"setinfo", answer_setinfo},
        {"info", answer_info},
        {"no-evict", answer_no_evict},
        {"no-touch", answer_no_touch},
        {"reply", answer_reply},
        {"tracking", answer_tracking},
        {"trackinginfo", answer_trackinginfo},
        {"caching", answer_caching},
        {"getredir", answer_getredir},
    };
    local_answer_subcommand(subcommands, sizeof(subcommands) / sizeof(subcommands[0]), client, out,
                            command);
}
