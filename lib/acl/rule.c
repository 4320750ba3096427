/* One rule of a user: a word of a line of an ACL file. */
#include "lib/acl/acl_internal.h"

#define SYNTAX "Syntax error"

/* --- keys and channels ------------------------------------------------------------------------ */

static bool add_pattern(const struct acl_maker *maker, struct acl_patterns *patterns,
                        struct acl_pattern pattern, struct error *err)
{
    if (patterns->is_all) {
        return error_set(err, "Adding a pattern after the * pattern (or the 'allkeys' or "
                              "'allchannels' flag) is not valid and does not have any effect. Try "
                              "'resetkeys' or 'resetchannels' to start with an empty list of "
                              "patterns");
    }
    if (patterns->count == ACL_RULES_MAX) {
        return error_set(err, "more than %u patterns", ACL_RULES_MAX);
    }
    for (unsigned i = 0; i < patterns->count; i++) {
        struct acl_pattern *known = &patterns->items[i];
        if (slice_equal(known->text, pattern.text)) {
            known->reads = known->reads || pattern.reads;
            known->writes = known->writes || pattern.writes;
            return true;
        }
    }
    pattern.text.data = arena_text(maker->arena, pattern.text);
    patterns->items =
        arena_grow(maker->arena, patterns->items, patterns->count, sizeof(*patterns->items));
    patterns->items[patterns->count++] = pattern;
    return true;
}

/* "%R~pattern", "%RW~pattern" */
static bool apply_limited_keys(const struct acl_maker *maker, struct acl_selector *selector,
                               struct slice rule, struct error *err)
{
    struct acl_pattern pattern = {.reads = false};
    size_t i = 1;
    for (; i < rule.len && rule.data[i] != '~'; i++) {
        char c = rule.data[i];
        pattern.reads = pattern.reads || c == 'R' || c == 'r';
        pattern.writes = pattern.writes || c == 'W' || c == 'w';
        if (strchr("RrWw", c) == NULL) {
            return error_set(err, SYNTAX);
        }
    }
    if (i == rule.len || i == 1) {
        return error_set(err, SYNTAX);
    }
    pattern.text = (struct slice){rule.data + i + 1, rule.len - i - 1};
    bool is_all = pattern.reads && pattern.writes && slice_equal(pattern.text, SLICE("*"));
    selector->keys.is_all = selector->keys.is_all || is_all;
    return is_all || add_pattern(maker, &selector->keys, pattern, err);
}

static bool apply_word_of_selector(const struct acl_maker *maker, struct acl_selector *selector,
                                   struct slice rule)
{
    if (slice_equal_nocase(rule, SLICE("allkeys")) || slice_equal(rule, SLICE("~*"))) {
        selector->keys = (struct acl_patterns){.is_all = true};
    } else if (slice_equal_nocase(rule, SLICE("resetkeys"))) {
        selector->keys = (struct acl_patterns){.is_all = false};
    } else if (slice_equal_nocase(rule, SLICE("allchannels")) || slice_equal(rule, SLICE("&*"))) {
        selector->channels = (struct acl_patterns){.is_all = true};
    } else if (slice_equal_nocase(rule, SLICE("resetchannels"))) {
        selector->channels = (struct acl_patterns){.is_all = false};
    } else if (slice_equal_nocase(rule, SLICE("allcommands"))) {
        acl_set_all_commands(maker, selector, true);
    } else if (slice_equal_nocase(rule, SLICE("nocommands"))) {
        acl_set_all_commands(maker, selector, false);
    } else {
        return false;
    }
    return true;
}

static bool apply_to_selector(const struct acl_maker *maker, struct acl_selector *selector,
                              struct slice rule, struct error *err)
{
    struct acl_pattern pattern = {{rule.data + 1, rule.len - 1}, true, true};
    if (apply_word_of_selector(maker, selector, rule)) {
        return true;
    }
    switch (rule.data[0]) {
    case '~':
        return add_pattern(maker, &selector->keys, pattern, err);
    case '&':
        return add_pattern(maker, &selector->channels, pattern, err);
    case '%':
        return apply_limited_keys(maker, selector, rule, err);
    case '+':
    case '-':
        return acl_apply_command(maker, selector, rule, err);
    default:
        return error_set(err, SYNTAX);
    }
}

/* --- selectors -------------------------------------------------------------------------------- */

static struct acl_selector *new_selector(const struct acl_maker *maker, struct acl_user *user)
{
    struct acl_selector *selector = &user->selectors[user->nselectors++];
    *selector = (struct acl_selector){.nrules = 0};
    acl_set_all_commands(maker, selector, false);
    return selector;
}

/* "(+get ~x)" */
static bool apply_selector(const struct acl_maker *maker, struct acl_user *user, struct slice rule,
                           struct error *err)
{
    if (rule.data[rule.len - 1] != ')') {
        return error_set(err, "Unmatched parenthesis in selector definition");
    }
    if (user->nselectors == ACL_SELECTORS_MAX) {
        return error_set(err, "more than %u selectors", ACL_SELECTORS_MAX - 1);
    }
    struct acl_selector *selector = new_selector(maker, user);
    struct slice rest = {rule.data + 1, rule.len - 2};
    for (;;) {
        struct slice word = acl_take_word(&rest);
        if (word.len == 0) {
            return true;
        }
        if (!apply_to_selector(maker, selector, word, err)) {
            return false;
        }
    }
}

/* --- passwords -------------------------------------------------------------------------------- */

static bool add_password(const struct acl_maker *maker, struct acl_user *user, const char *hash,
                         struct error *err)
{
    user->needs_no_password = false;
    for (unsigned i = 0; i < user->npasswords; i++) {
        if (memcmp(user->passwords[i], hash, SECRET_HASH_LENGTH) == 0) {
            return true;
        }
    }
    if (user->npasswords == ACL_PASSWORDS_MAX) {
        return error_set(err, "more than %u passwords", ACL_PASSWORDS_MAX);
    }
    user->passwords[user->npasswords++] =
        arena_text(maker->arena, (struct slice){hash, SECRET_HASH_LENGTH});
    return true;
}

static bool remove_password(struct acl_user *user, const char *hash, struct error *err)
{
    for (unsigned i = 0; i < user->npasswords; i++) {
        if (memcmp(user->passwords[i], hash, SECRET_HASH_LENGTH) == 0) {
            user->passwords[i] = user->passwords[--user->npasswords];
            return true;
        }
    }
    return error_set(err, "The password you are trying to remove from the user does not exist");
}

static bool is_hash(struct slice text)
{
    bool is_good = text.len == SECRET_HASH_LENGTH;
    for (size_t i = 0; is_good && i < text.len; i++) {
        char c = text.data[i];
        is_good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return is_good;
}

/* ">password" "<password" "#hash" "!hash" */
static bool apply_password(const struct acl_maker *maker, struct acl_user *user, struct slice rule,
                           struct error *err)
{
    char hash[SECRET_HASH_LENGTH];
    struct slice secret = {rule.data + 1, rule.len - 1};
    if (rule.data[0] == '>' || rule.data[0] == '<') {
        secret_hash(secret, hash);
    } else if (is_hash(secret)) {
        memcpy(hash, secret.data, sizeof(hash));
    } else {
        return error_set(err, "The password hash must be exactly 64 characters and contain only "
                              "lowercase hexadecimal characters");
    }
    bool is_added = rule.data[0] == '>' || rule.data[0] == '#';
    return is_added ? add_password(maker, user, hash, err) : remove_password(user, hash, err);
}

/* --- users ------------------------------------------------------------------------------------ */

void acl_user_reset(const struct acl_maker *maker, struct acl_user *user)
{
    *user = (struct acl_user){.name = user->name, .line = user->line};
    user->passwords = arena_alloc(maker->arena, ACL_PASSWORDS_MAX * sizeof(char *));
    user->selectors = arena_alloc(maker->arena, ACL_SELECTORS_MAX * sizeof(*user->selectors));
    (void)new_selector(maker, user);
}

static bool apply_word_of_user(const struct acl_maker *maker, struct acl_user *user,
                               struct slice rule)
{
    if (slice_equal_nocase(rule, SLICE("on")) || slice_equal_nocase(rule, SLICE("off"))) {
        user->is_on = rule.len == 2;
    } else if (slice_equal_nocase(rule, SLICE("nopass")) ||
               slice_equal_nocase(rule, SLICE("resetpass"))) {
        user->needs_no_password = rule.len == 6;
        user->npasswords = 0;
    } else if (slice_equal_nocase(rule, SLICE("reset"))) {
        acl_user_reset(maker, user);
    } else if (slice_equal_nocase(rule, SLICE("clearselectors"))) {
        user->nselectors = 1;
    } else {
        /* About RESTORE on a server that checks its payloads: the shards do as they are told. */
        return slice_equal_nocase(rule, SLICE("sanitize-payload")) ||
               slice_equal_nocase(rule, SLICE("skip-sanitize-payload"));
    }
    return true;
}

bool acl_apply(const struct acl_maker *maker, struct acl_user *user, struct slice rule,
               struct error *err)
{
    if (apply_word_of_user(maker, user, rule)) {
        return true;
    }
    if (rule.data[0] == '(') {
        return apply_selector(maker, user, rule, err);
    }
    if (strchr("><#!", rule.data[0]) != NULL) {
        return apply_password(maker, user, rule, err);
    }
    return apply_to_selector(maker, &user->selectors[0], rule, err);
}
