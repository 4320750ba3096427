/* Who a client is and what it may do: AUTH, and the check of every command. A client to whom
 * nothing is denied is not guarded, and session.c asks no further. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define SCRIPTS_NEED                                                                               \
    "NOPERM scripts and functions are for users with ~* &* +@all: the proxy cannot see what they " \
    "do; see \"trust-scripts\""

bool users_must_log_in(const struct client *client)
{
    const struct acl_user *user = acl_default(client->host->acl);
    return !client->is_authenticated && (acl_user_needs_password(user) || !acl_user_is_on(user));
}

static void settle(struct client *client)
{
    bool is_stranger = users_must_log_in(client);
    client->is_guarded = is_stranger || !acl_user_is_unlimited(client->user);
    client_bound(client, is_stranger);
}

void users_forget_login(struct client *client)
{
    const struct acl_user *user = acl_default(client->host->acl);
    client->user = user;
    client->is_authenticated = acl_user_is_on(user) && !acl_user_needs_password(user);
    settle(client);
}

bool users_log_in(struct client *client, struct buffer *out, struct slice name,
                  struct slice password)
{
    const struct acl_user *user = acl_find(client->host->acl, name);
    if (user == NULL || !acl_user_knows(user, password)) {
        acl_log_add(client, ACL_LOG_AUTH, name, slice_of(client->last_command->name));
        write_error(out, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    client->user = user;
    client->is_authenticated = true;
    settle(client);
    return true;
}

/* --- the check -------------------------------------------------------------------------------- */

/* Redis checks what a script does command by command; here only the shard sees that. */
static bool is_blind_script(const struct client *client, const struct command_info *info)
{
    bool is_script = (info->categories >> CATEGORY_SCRIPTING & 1) != 0 && info->nspecs > 0;
    return is_script && !client->host->limits->trusts_scripts &&
           !acl_user_is_unlimited(client->user);
}

static void write_denial(struct buffer *out, const struct command_info *info, const char *error)
{
    char text[COMMAND_ERROR_MAX + 64]; /* the prefix, too */
    const char *prefix =
        info->handler == HANDLER_EXEC ? "EXECABORT Transaction discarded because of: " : "";
    (void)snprintf(text, sizeof(text), "%s%s", prefix, error);
    write_error(out, text);
}

static void tell_verdict(struct client *client, struct buffer *out, const struct command *command,
                         const struct command_info *info, enum acl_verdict verdict, unsigned denied)
{
    char text[COMMAND_ERROR_MAX];
    struct slice object = denied == 0 ? slice_of(info->name) : command->argv[denied];
    if (verdict == ACL_DENIED_COMMAND) {
        (void)snprintf(text, sizeof(text),
                       "NOPERM this user has no permissions to run the '%s' command", info->name);
    } else {
        (void)snprintf(text, sizeof(text),
                       "NOPERM this user has no permissions to access one of the %s used as "
                       "arguments",
                       verdict == ACL_DENIED_KEY ? "keys" : "channels");
    }
    acl_log_add(client, (enum acl_log_reason)verdict, slice_of(acl_user_name(client->user)),
                object);
    write_denial(out, info, text);
}

bool users_deny(struct client *client, struct request *request, const struct command *command)
{
    const struct command_info *info = request->command;
    struct buffer *out = request_answer(request);
    unsigned denied;
    bool has_unknown_part = info->nsubcommands > 0 && command->argc > 1;
    bool must_log_in = users_must_log_in(client) && (info->flags & COMMAND_NO_AUTH) == 0;
    enum acl_verdict verdict = acl_check(client->user, info, command->argv, command->argc, &denied);
    if (has_unknown_part && (must_log_in || verdict != ACL_ALLOWED)) {
        bool is_written = command_error_unknown_subcommand(out, command->argv);
        ASSERT(is_written); /* even those who may not use it are told, as by Redis */
        return true;
    }
    if (must_log_in) {
        write_denial(out, info, "NOAUTH Authentication required.");
        return true;
    }
    if (verdict != ACL_ALLOWED) {
        tell_verdict(client, out, command, info, verdict, denied);
        return true;
    }
    if (is_blind_script(client, info)) {
        write_error(out, SCRIPTS_NEED);
        return true;
    }
    return false;
}

/* --- other users ------------------------------------------------------------------------------ */

static bool asks_for_users(const struct client *client)
{
    return client->blocked != NULL && client->blocked->command->handler == HANDLER_USERS;
}

/* As Redis: whoever is one of the changed users is cut off, who asked for it after the answer; but
 * the default user stays, with its new rules. What it has queued was queued under the old ones. */
static void change_user(struct client *client, const struct acl_user *user)
{
    bool is_same = user != NULL && acl_user_equal(user, client->user);
    if (is_same || (user != NULL && strcmp(acl_user_name(user), "default") == 0)) {
        client->user = user;
        settle(client);
        if (!is_same) {
            transaction_spoil(client);
        }
        return;
    }
    users_forget_login(client);
    if (asks_for_users(client)) {
        client_drain(client);
    } else {
        client_cut_off(client);
    }
}

void clients_adopt_users(struct client_host *host, struct acl *acl)
{
    struct acl *old = host->acl;
    host->acl = acl;
    for (struct client *client = host->first, *next; client != NULL; client = next) {
        next = client->next;
        change_user(client, acl_find(acl, slice_of(acl_user_name(client->user))));
    }
    acl_unref(old);
}
