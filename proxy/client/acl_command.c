/* ACL and its subcommands. Users are those of the proxy's file: what would change them is refused,
 * but for ACL LOAD. CAT, GENPASS and HELP go to a shard. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/client/round.h"

#define NO_FILE                                                                                    \
    "This Redis instance is not configured to use an ACL file. You may want to specify users via " \
    "the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis "          \
    "configuration file set) in order to store users in the Redis configuration."
#define LOG_ENTRIES 10 /* shown, when it is not said how many */

static void refuse(struct buffer *out, const char *text)
{
    bool is_written = command_error_text(out, text);
    ASSERT(is_written);
}

static void answer_whoami(struct client *client, struct buffer *out, const struct command *command)
{
    (void)command;
    write_bulk(out, slice_of(acl_user_name(client->user)));
}

static void answer_users(struct client *client, struct buffer *out, const struct command *command)
{
    const struct acl *acl = client->host->acl;
    (void)command;
    write_array(out, acl_count(acl));
    for (unsigned i = 0; i < acl_count(acl); i++) {
        write_bulk(out, slice_of(acl_user_name(acl_at(acl, i))));
    }
}

static void answer_list(struct client *client, struct buffer *out, const struct command *command)
{
    const struct acl *acl = client->host->acl;
    struct buffer line;
    (void)command;
    buffer_init(&line, SIZE_MAX);
    write_array(out, acl_count(acl));
    for (unsigned i = 0; i < acl_count(acl); i++) {
        buffer_clear(&line);
        acl_describe_user(acl_at(acl, i), &line);
        write_bulk(out, buffer_slice(&line));
    }
    buffer_fini(&line);
}

/* --- ACL GETUSER --------------------------------------------------------------------------- */

static void write_selector(struct buffer *out, const struct acl_user *user, unsigned selector)
{
    static const struct {
        const char *name;
        void (*describe)(const struct acl_user *user, unsigned selector, struct buffer *text);
    } fields[] = {{"commands", acl_describe_commands},
                  {"keys", acl_describe_keys},
                  {"channels", acl_describe_channels}};

    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        buffer_clear(&text);
        fields[i].describe(user, selector, &text);
        write_bulk(out, slice_of(fields[i].name));
        write_bulk(out, buffer_slice(&text));
    }
    buffer_fini(&text);
}

static void write_flags(struct buffer *out, unsigned protocol, const struct acl_user *user)
{
    bool is_open = !acl_user_needs_password(user);
    write_bulk(out, SLICE("flags"));
    write_set_header(out, protocol, is_open ? 2 : 1);
    write_bulk(out, acl_user_is_on(user) ? SLICE("on") : SLICE("off"));
    if (is_open) {
        write_bulk(out, SLICE("nopass"));
    }
}

static void answer_getuser(struct client *client, struct buffer *out, const struct command *command)
{
    const struct acl_user *user = acl_find(client->host->acl, command->argv[2]);
    if (user == NULL) {
        write_null(out, client->protocol);
        return;
    }
    write_map_header(out, client->protocol, 6);
    write_flags(out, client->protocol, user);
    write_bulk(out, SLICE("passwords"));
    write_array(out, acl_user_passwords(user));
    for (unsigned i = 0; i < acl_user_passwords(user); i++) {
        write_bulk(out, acl_user_password(user, i));
    }
    write_selector(out, user, 0);
    write_bulk(out, SLICE("selectors"));
    write_array(out, acl_user_selectors(user) - 1);
    for (unsigned i = 1; i < acl_user_selectors(user); i++) {
        write_map_header(out, client->protocol, 3);
        write_selector(out, user, i);
    }
}

/* --- ACL DRYRUN user command [args] ----------------------------------------------------------- */

static void write_verdict(struct buffer *out, enum acl_verdict verdict, struct slice object)
{
    char text[COMMAND_ERROR_MAX];
    int shown = (int)(object.len < 256 ? object.len : 256);
    if (verdict == ACL_DENIED_COMMAND) {
        (void)snprintf(text, sizeof(text), "This user has no permissions to run the '%.*s' command",
                       shown, object.data);
    } else {
        (void)snprintf(text, sizeof(text), "This user has no permissions to access the '%.*s' %s",
                       shown, object.data, verdict == ACL_DENIED_KEY ? "key" : "channel");
    }
    write_bulk(out, slice_of(text));
}

static void refuse_name(struct buffer *out, const char *kind, struct slice name)
{
    char text[COMMAND_ERROR_MAX];
    int shown = (int)(name.len < 128 ? name.len : 128);
    (void)snprintf(text, sizeof(text), "%s '%.*s' not found", kind, shown, name.data);
    refuse(out, text);
}

static void answer_dryrun(struct client *client, struct buffer *out, const struct command *command)
{
    const struct acl_user *user = acl_find(client->host->acl, command->argv[2]);
    const struct slice *argv = command->argv + 3;
    unsigned argc = command->argc - 3;
    unsigned denied;
    if (user == NULL) {
        refuse_name(out, "User", command->argv[2]);
        return;
    }
    const struct command_info *info = command_find(client->host->table, argv, argc);
    if (info == NULL) {
        refuse_name(out, "Command", argv[0]);
        return;
    }
    if (!command_arity_fits(info, argc)) {
        char text[COMMAND_ERROR_MAX];
        (void)snprintf(text, sizeof(text), "wrong number of arguments for '%s' command",
                       info->name);
        refuse(out, text);
        return;
    }
    enum acl_verdict verdict = acl_check(user, info, argv, argc, &denied);
    if (verdict == ACL_ALLOWED) {
        write_status(out, "OK");
    } else {
        write_verdict(out, verdict, denied == 0 ? slice_of(info->name) : argv[denied]);
    }
}

static void answer_save(struct client *client, struct buffer *out, const struct command *command)
{
    (void)command;
    refuse(out, client->host->limits->has_acl_file
                    ? "not supported by this Sluice: ACL SAVE; edit the ACL file, then ACL LOAD"
                    : NO_FILE);
}

void local_acl(struct client *client, struct buffer *out, const struct command *command)
{
    static const struct subcommand subcommands[] = {
        {"whoami", answer_whoami},   {"users", answer_users},   {"list", answer_list},
        {"getuser", answer_getuser}, {"dryrun", answer_dryrun}, {"save", answer_save}};
    local_answer_subcommand(subcommands, sizeof(subcommands) / sizeof(subcommands[0]), client, out,
                            command);
}

/* --- ACL LOG [count | RESET] ------------------------------------------------------------------ */

struct log_question {
    unsigned protocol, most;
    bool is_reset;
};

static enum visit visit_log(struct round *round, struct client_host *host)
{
    const struct log_question *question = round->question;
    unsigned left = question->most - (unsigned)round->number;
    if (question->is_reset) {
        acl_log_clear(host->acl_log);
    } else {
        round->number += acl_log_write(host->acl_log, question->protocol, left,
                                       loop_now_us(host->loop), &round->text);
    }
    return VISIT_DONE;
}

static void answer_log(struct round *round, struct request *request)
{
    const struct log_question *question = round->question;
    struct buffer *out = request_answer(request);
    struct slice entries = buffer_slice(&round->text);
    if (question->is_reset) {
        write_status(out, "OK");
    } else {
        write_array(out, round->number);
        buffer_add(out, entries.data, entries.len);
    }
    router_answer(request);
}

static void ask_log(struct client *client, struct request *request, const struct command *command)
{
    struct log_question question = {client->protocol, LOG_ENTRIES, false};
    int64_t most;
    if (command->argc > 3) {
        struct slice name = command->argv[1];
        char text[COMMAND_ERROR_MAX];
        (void)snprintf(text, sizeof(text),
                       "unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                       (int)name.len, name.data);
        refuse(request_answer(request), text);
        session_refuse(client, request);
        return;
    }
    if (command->argc == 3 && slice_equal_nocase(command->argv[2], SLICE("reset"))) {
        question.is_reset = true;
    } else if (command->argc == 3) {
        if (!number_parse_i64(command->argv[2], &most)) {
            router_answer_error(request, "ERR value is not an integer or out of range");
            return;
        }
        question.most = most < 0 ? 0 : most < 1000000 ? (unsigned)most : 1000000;
    }
    round_begin(client, request, visit_log, answer_log, mem_dup(&question, sizeof(question)));
}

/* --- ACL LOAD --------------------------------------------------------------------------------- */

/* The new users came to each worker by mail that was sent before the round. */
static enum visit visit_loaded(struct round *round, struct client_host *host)
{
    (void)round;
    (void)host;
    return VISIT_DONE;
}

static void answer_loaded(struct round *round, struct request *request)
{
    if (buffer_length(&round->text) == 0) {
        write_status(request_answer(request), "OK");
        router_answer(request);
        return;
    }
    buffer_add(&round->text, "", 1);
    char *text = mem_printf("%s; the users stay as they were", buffer_slice(&round->text).data);
    refuse(request_answer(request), text);
    mem_free(text);
    router_answer(request);
}

static void load(struct client *client, struct request *request, const struct command *command)
{
    (void)command;
    if (!client->host->limits->has_acl_file) {
        refuse(request_answer(request), NO_FILE);
        session_refuse(client, request);
        return;
    }
    round_begin_by(client, request, visit_loaded, answer_loaded, client->host->reload_users);
}

void acl_dispatch(struct client *client, struct request *request, const struct command *command)
{
    if (slice_equal_nocase(command->argv[1], SLICE("log"))) {
        ask_log(client, request, command);
    } else {
        load(client, request, command);
    }
}
