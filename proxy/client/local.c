/* Commands that are answered here, as a client needs them to connect and look around. */
#include <stdio.h>
#include <time.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define HELLO_NEEDS_AUTH                                                                           \
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH " \
    "<user> <pass> option can be used to authenticate the client and select the RESP protocol "    \
    "version at the same time"

static void answer_ping(struct client *client, struct buffer *out, const struct command *command)
{
    if (command->argc > 2) {
        write_error(out, "ERR wrong number of arguments for 'ping' command");
    } else if (subscription_is_exclusive(client)) {
        write_array(out, 2);
        write_bulk(out, SLICE("pong"));
        write_bulk(out, command->argc == 2 ? command->argv[1] : SLICE(""));
    } else if (command->argc == 2) {
        write_bulk(out, command->argv[1]);
    } else {
        write_status(out, "PONG");
    }
}

static void answer_echo(struct client *client, struct buffer *out, const struct command *command)
{
    (void)client;
    write_bulk(out, command->argv[1]);
}

static void answer_select(struct client *client, struct buffer *out, const struct command *command)
{
    int64_t index;
    (void)client;
    if (!number_parse_i64(command->argv[1], &index) || index > INT32_MAX || index < INT32_MIN) {
        write_error(out, "ERR value is not an integer or out of range");
    } else if (index != 0) {
        write_error(out, "ERR DB index is out of range");
    } else {
        write_status(out, "OK");
    }
}

static void answer_auth(struct client *client, struct buffer *out, const struct command *command)
{
    bool has_name = command->argc == 3;
    struct slice name = has_name ? command->argv[1] : SLICE("default");
    if (command->argc > 3) {
        write_error(out, "ERR syntax error");
    } else if (!has_name && !acl_user_needs_password(acl_default(client->host->acl))) {
        write_error(out, "ERR AUTH <password> called without any password configured for the "
                         "default user. Are you sure your configuration is correct?");
    } else if (users_log_in(client, out, name, command->argv[command->argc - 1])) {
        write_status(out, "OK");
    }
}

static void write_hello(const struct client *client, struct buffer *out)
{
    write_map_header(out, client->protocol, 7);
    write_bulk(out, SLICE("server"));
    write_bulk(out, SLICE("redis"));
    write_bulk(out, SLICE("version"));
    write_bulk(out, slice_of(client->host->server_version));
    write_bulk(out, SLICE("proto"));
    write_integer(out, client->protocol);
    write_bulk(out, SLICE("id"));
    write_integer(out, (int64_t)client->id);
    write_bulk(out, SLICE("mode"));
    write_bulk(out, SLICE("standalone"));
    write_bulk(out, SLICE("role"));
    write_bulk(out, SLICE("master"));
    write_bulk(out, SLICE("modules"));
    write_array(out, 0);
}

static void write_hello_syntax(struct buffer *out, struct slice option)
{
    char text[COMMAND_ERROR_MAX];
    int shown = option.len < sizeof(text) ? (int)option.len : (int)sizeof(text);
    (void)snprintf(text, sizeof(text), "Syntax error in HELLO option '%.*s'", shown, option.data);
    bool is_written = command_error_text(out, text);
    ASSERT(is_written);
}

/* [AUTH user password] [SETNAME name]: each has its effect, though the next may be wrong, as with
 * Redis. False: the error is written. */
static bool take_hello_options(struct client *client, struct buffer *out,
                               const struct command *command)
{
    for (unsigned i = 2; i < command->argc; i++) {
        struct slice option = command->argv[i];
        unsigned left = command->argc - i - 1;
        if (slice_equal_nocase(option, SLICE("AUTH")) && left >= 2) {
            if (!users_log_in(client, out, command->argv[i + 1], command->argv[i + 2])) {
                return false;
            }
            i += 2;
        } else if (slice_equal_nocase(option, SLICE("SETNAME")) && left >= 1) {
            if (!local_take_name(client, out, command->argv[i + 1])) {
                return false;
            }
            i++;
        } else {
            write_hello_syntax(out, option);
            return false;
        }
    }
    return true;
}

/* HELLO [protocol [options]]. Nothing of the client is under way: what it sends next takes another
 * connection to its shard. */
static void answer_hello(struct client *client, struct buffer *out, const struct command *command)
{
    int64_t protocol = client->protocol;
    if (command->argc > 1 && !number_parse_i64(command->argv[1], &protocol)) {
        write_error(out, "ERR Protocol version is not an integer or out of range");
    } else if (protocol < 2 || protocol > 3) {
        write_error(out, "NOPROTO unsupported protocol version");
    } else if (!take_hello_options(client, out, command)) {
        return; /* the error is written */
    } else if (users_must_log_in(client)) {
        write_error(out, HELLO_NEEDS_AUTH);
    } else {
        client->protocol = (unsigned char)protocol;
        write_hello(client, out);
    }
}

static void answer_quit(struct client *client, struct buffer *out, const struct command *command)
{
    (void)command;
    write_status(out, "OK");
    client_drain(client);
}

static void answer_reset(struct client *client, struct buffer *out, const struct command *command)
{
    (void)out; /* after CLIENT REPLY OFF it is nobody's */
    (void)command;
    client->name[0] = '\0';
    client->is_kept_from_eviction = false;
    client->is_untouching = false;
    client->protocol = 2;
    users_forget_login(client);
    client_unmute(client);
    transaction_forget(client);
    transaction_unwatch(client);
    subscription_end(client);
    write_status(request_answer(client->last), "RESET");
}

static void answer_time(struct client *client, struct buffer *out, const struct command *command)
{
    char digits[20];
    struct timespec now;
    (void)client;
    (void)command;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    write_array(out, 2);
    write_bulk(out, (struct slice){digits, number_format_u64(digits, (uint64_t)now.tv_sec)});
    write_bulk(out,
               (struct slice){digits, number_format_u64(digits, (uint64_t)now.tv_nsec / 1000)});
}

static const struct subcommand *find_subcommand(const struct subcommand *subcommands, size_t count,
                                                struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_nocase(name, slice_of(subcommands[i].name))) {
            return &subcommands[i];
        }
    }
    return NULL;
}

void local_answer_subcommand(const struct subcommand *subcommands, size_t count,
                             struct client *client, struct buffer *out,
                             const struct command *command)
{
    const struct subcommand *subcommand = find_subcommand(subcommands, count, command->argv[1]);
    if (subcommand == NULL) {
        bool is_written = command_error_unknown_subcommand(out, command->argv);
        ASSERT(is_written);
    } else {
        subcommand->answer(client, out, command);
    }
}

void local_write(struct client *client, const struct command_info *info, struct buffer *out,
                 const struct command *command)
{
    static local_fn *const answers[HANDLER_COUNT] = {
        [HANDLER_PING] = answer_ping,
        [HANDLER_ECHO] = answer_echo,
        [HANDLER_SELECT] = answer_select,
        [HANDLER_HELLO] = answer_hello,
        [HANDLER_AUTH] = answer_auth,
        [HANDLER_CLIENT] = local_client,
        [HANDLER_INFO] = local_info,
        [HANDLER_QUIT] = answer_quit,
        [HANDLER_RESET] = answer_reset,
        [HANDLER_TIME] = answer_time,
        [HANDLER_CONFIG] = local_config,
        [HANDLER_ACL] = local_acl,
        [HANDLER_ROLE] = local_role,
        [HANDLER_SUBSCRIBE] = local_subscribe,
        [HANDLER_UNSUBSCRIBE] = local_unsubscribe,
    };
    local_fn *answer = answers[info->handler];
    ASSERT(answer != NULL);
    answer(client, out, command);
}

void local_answer(struct client *client, struct request *request, const struct command *command)
{
    local_write(client, request->command, request_answer(request), command);
    router_answer(request);
}
