/* Users, in the syntax of Redis' ACL files: who they are and what they may do.
 *
 *   text -> acl_parse -> struct acl: acl_find -> acl_user_knows (AUTH) -> acl_check (each command)
 *
 * A set of users is immutable once made, and may be read by any thread; it is counted, since every
 * worker holds it. Rules name commands and categories as a command table knows them: another table
 * needs another set. Not here: who is logged in (proxy/client). */
#ifndef LIB_ACL_ACL_H
#define LIB_ACL_ACL_H

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/command/command.h"

#define ACL_NAME_MAX 127 /* bytes of a user's name */

struct acl;
struct acl_user;

/* The lines of an ACL file: "user NAME rule ...", or a comment behind "#". A default user that no
 * line names may do everything, without a password. Commands that the table does not have
 * are named in `unknown` (null: they are an error); their rules stay, for another table. Null with
 * the line's number when one is wrong. */
struct acl *acl_parse(struct slice text, const struct command_table *table, struct buffer *unknown,
                      struct error *err) __attribute__((warn_unused_result));
/* Only the default user, who may do everything: with this password, or with none when it is null.
 */
struct acl *acl_of_password(const char *password, const struct command_table *table)
    __attribute__((warn_unused_result));
struct acl *acl_ref(struct acl *acl);
void acl_unref(struct acl *acl); /* null is allowed; any thread */

/* In the order of their names. */
unsigned acl_count(const struct acl *acl);
const struct acl_user *acl_at(const struct acl *acl, unsigned index);
/* Null: there is none. It lives as long as the set. */
const struct acl_user *acl_find(const struct acl *acl, struct slice name);
const struct acl_user *acl_default(const struct acl *acl); /* there is always one */

const char *acl_user_name(const struct acl_user *user);
bool acl_user_is_on(const struct acl_user *user);
bool acl_user_needs_password(const struct acl_user *user);
/* Whether it is on, and this is one of its passwords, or it needs none. */
bool acl_user_knows(const struct acl_user *user, struct slice password)
    __attribute__((warn_unused_result));
/* Nothing is denied to it: acl_check need not be asked. */
bool acl_user_is_unlimited(const struct acl_user *user);
/* The same rules, though the sets may be two. */
bool acl_user_equal(const struct acl_user *a, const struct acl_user *b);

enum acl_verdict {
    ACL_ALLOWED, /* the others in Redis' order: of several selectors the highest is told */
    ACL_DENIED_COMMAND,
    ACL_DENIED_KEY,
    ACL_DENIED_CHANNEL
};

/* The command's arity fits. `denied` is the argument that a denial is about: 0 for the command. */
enum acl_verdict acl_check(const struct acl_user *user, const struct command_info *info,
                           const struct slice *argv, unsigned argc, unsigned *denied)
    __attribute__((warn_unused_result));

/* What ACL LIST and ACL GETUSER show; the buffers' limits are the caller's. Selector 0 is the
 * user's own, the others stand in parentheses. */
void acl_describe_user(const struct acl_user *user, struct buffer *line);
unsigned acl_user_passwords(const struct acl_user *user);
struct slice acl_user_password(const struct acl_user *user, unsigned index); /* hashed */
unsigned acl_user_selectors(const struct acl_user *user);
void acl_describe_commands(const struct acl_user *user, unsigned selector, struct buffer *text);
void acl_describe_keys(const struct acl_user *user, unsigned selector, struct buffer *text);
void acl_describe_channels(const struct acl_user *user, unsigned selector, struct buffer *text);

#endif
