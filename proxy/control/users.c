/* The users: where their rules come from, and when. */
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/net/address.h"
#include "proxy/control/control_internal.h"

#define SHOWN_MAX 300 /* bytes of unknown rules in the log */

static struct acl *parse_tolerantly(const struct control *control,
                                    const struct command_table *table, struct error *err)
{
    struct buffer unknown;
    buffer_init(&unknown, SIZE_MAX);
    struct acl *acl = acl_parse(buffer_slice(&control->acl_text), table, &unknown, err);
    if (acl != NULL && buffer_length(&unknown) > 0) {
        struct slice rules = buffer_slice(&unknown);
        log_warn("rules about commands that no shard has told of wait for one that does "
                 "rules=\"%.*s\"",
                 (int)(rules.len < SHOWN_MAX ? rules.len : SHOWN_MAX), rules.data);
    }
    buffer_fini(&unknown);
    return acl;
}

/* A module's commands are learnt from the first shard that answers: before, a rule may name what is
 * not known yet, and a later shard may lack what an earlier one had. Only whoever loads a file then
 * is told what is wrong with it. */
static struct acl *make(const struct control *control, const struct command_table *table,
                        bool is_strict, struct error *err)
{
    if (control->config->acl_file == NULL) {
        return acl_of_password(control->config->password, table);
    }
    return is_strict ? acl_parse(buffer_slice(&control->acl_text), table, NULL, err)
                     : parse_tolerantly(control, table, err);
}

static void hand_out(const struct control *control)
{
    for (unsigned i = 0; i < control->nworkers && control->workers[i] != NULL; i++) {
        worker_take_users(control->workers[i], acl_ref(control->acl));
    }
}

static bool check_address(const char *option, const char *listen, struct error *err)
{
    bool is_public = false;
    if (listen == NULL || strcmp(listen, LISTEN_NONE) == 0) {
        return true;
    }
    if (!address_is_public(slice_of(listen), &is_public, err)) {
        return error_prefix(err, "--%s", option);
    }
    return !is_public ||
           error_set(err,
                     "\"%s\" is %s, which others can reach, and the default user needs no "
                     "password: set \"requirepass\" or \"aclfile\", or listen on 127.0.0.1, or say "
                     "\"protected-mode\" = no if the network keeps strangers out",
                     option, listen);
}

/* Whoever can reach the address would be let in. */
static bool check_exposure(const struct control *control, const struct acl *acl, struct error *err)
{
    const struct proxy_config *config = control->config;
    const struct acl_user *user = acl_default(acl);
    if (!config->is_protected || !acl_user_is_on(user) || acl_user_needs_password(user)) {
        return true;
    }
    return check_address("listen", config->listen, err) &&
           check_address("tls-listen", config->tls_listen, err);
}

static bool read_text(struct control *control, struct buffer *text, struct error *err)
{
    const char *path = control->config->acl_file;
    return path == NULL || file_read(path, text, NULL, err);
}

bool users_load(struct control *control, struct error *err)
{
    struct buffer old = control->acl_text;
    buffer_init(&control->acl_text, ACL_TEXT_MAX);
    bool is_learnt = control->nlearnt > 0;
    struct acl *acl = read_text(control, &control->acl_text, err)
                          ? make(control, control->table, is_learnt, err)
                          : NULL;
    if (acl != NULL && check_exposure(control, acl, err)) {
        buffer_fini(&old);
        acl_unref(control->acl);
        control->acl = acl;
        hand_out(control);
        return true;
    }
    acl_unref(acl);
    buffer_fini(&control->acl_text);
    control->acl_text = old;
    return control->config->acl_file != NULL
               ? error_prefix(err, "\"aclfile\" %s", control->config->acl_file)
               : false;
}

bool users_learn(struct control *control, const struct command_table *table, struct error *err)
{
    struct acl *acl = make(control, table, false, err);
    if (acl == NULL) {
        return false;
    }
    acl_unref(control->acl);
    control->acl = acl;
    return true;
}

void users_fini(struct control *control)
{
    acl_unref(control->acl);
    buffer_fini(&control->acl_text);
}
