/* Shared inside lib/acl only. */
#ifndef LIB_ACL_ACL_INTERNAL_H
#define LIB_ACL_ACL_INTERNAL_H

#include "lib/acl/acl.h"
#include "lib/base/arena.h"
#include "lib/net/secret.h"

#define ACL_RULES_MAX     1024u /* of one kind, in one selector */
#define ACL_PASSWORDS_MAX 64u   /* of one user */
#define ACL_SELECTORS_MAX 33u   /* of one user, its own among them */

struct acl_pattern {
    struct slice text;
    bool reads, writes; /* of keys: what it grants */
};

struct acl_patterns {
    struct acl_pattern *items;
    unsigned count;
    bool is_all; /* whatever there is */
};

struct acl_selector {
    struct acl_patterns keys, channels;
    bool has_all_commands; /* those that no table has yet as well */
    uint64_t *allowed;     /* a bit for each id of the table that it was made for ... */
    unsigned nids;         /* ... which has so many */
    struct slice *rules;   /* about commands, as they were written */
    unsigned nrules;
};

struct acl_user {
    const char *name;
    unsigned line; /* of the file */
    bool is_on, needs_no_password, is_unlimited;
    const char **passwords; /* hashes */
    unsigned npasswords;
    struct acl_selector *selectors; /* the first is its own */
    unsigned nselectors;
};

struct acl {
    struct arena arena;
    int references;         /* atomic */
    struct acl_user *users; /* by their names, once all are read */
    unsigned count;
};

/* Where the rules of one set are put in. */
struct acl_maker {
    struct arena *arena;
    const struct command_table *table;
    struct buffer *unknown; /* null: an unknown command is an error */
};

/* acl.c: takes the next word off the text, as spaces part them; empty at the end. */
struct slice acl_take_word(struct slice *text);

/* rule.c: a user who may do nothing, and then rule by rule. */
void acl_user_reset(const struct acl_maker *maker, struct acl_user *user);
/* `rule` is one word, or a selector with its parentheses. */
bool acl_apply(const struct acl_maker *maker, struct acl_user *user, struct slice rule,
               struct error *err) __attribute__((warn_unused_result));

/* command_rule.c */
bool acl_apply_command(const struct acl_maker *maker, struct acl_selector *selector,
                       struct slice rule, struct error *err) __attribute__((warn_unused_result));
void acl_set_all_commands(const struct acl_maker *maker, struct acl_selector *selector,
                          bool is_allowed);

static inline bool acl_selector_has(const struct acl_selector *selector, unsigned id)
{
    return selector->has_all_commands ||
           (id < selector->nids && (selector->allowed[id / 64] >> (id % 64) & 1) != 0);
}

#endif
