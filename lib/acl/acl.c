/* A set of users: read from its lines, kept, found. The set is read by several threads; only its
 * count of references is written. */
#include "lib/acl/acl.h"

#include <stdlib.h>

#include "lib/acl/acl_internal.h"
#include "lib/base/assert.h"
#include "lib/base/memory.h"

#define USERS_MAX 10000u

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice acl_take_word(struct slice *text)
{
    size_t from = 0;
    while (from < text->len && is_space(text->data[from])) {
        from++;
    }
    size_t to = from;
    while (to < text->len && !is_space(text->data[to])) {
        to++;
    }
    struct slice word = {text->data + from, to - from};
    *text = (struct slice){text->data + to, text->len - to};
    return word;
}

/* A word; or a selector, with the spaces in it, to its closing parenthesis. */
static struct slice take_rule(struct slice *text)
{
    struct slice rule = acl_take_word(text);
    if (rule.len == 0 || rule.data[0] != '(') {
        return rule;
    }
    while (rule.data[rule.len - 1] != ')') {
        struct slice more = acl_take_word(text);
        if (more.len == 0) {
            break;
        }
        rule.len = (size_t)(more.data + more.len - rule.data);
    }
    return rule;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_unlimited(const struct acl_selector *selector)
{
    return selector->has_all_commands && selector->keys.is_all && selector->channels.is_all;
}

static struct acl_user *add_user(struct acl *acl, const struct acl_maker *maker, struct slice name)
{
    acl->users = arena_grow(&acl->arena, acl->users, acl->count, sizeof(*acl->users));
    struct acl_user *user = &acl->users[acl->count++];
    user->name = arena_text(&acl->arena, name);
    acl_user_reset(maker, user);
    return user;
}

static bool apply_rules(const struct acl_maker *maker, struct acl_user *user, struct slice rules,
                        struct error *err)
{
    for (;;) {
        struct slice rule = take_rule(&rules);
        if (rule.len == 0) {
            user->is_unlimited = is_unlimited(&user->selectors[0]);
            return true;
        }
        if (!acl_apply(maker, user, rule, err)) {
            bool is_secret = strchr("><", rule.data[0]) != NULL;
            int shown = (int)(is_secret ? 1 : rule.len < 64 ? rule.len : 64);
            return error_prefix(err, "user \"%s\", rule \"%.*s%s\"", user->name, shown, rule.data,
                                is_secret ? "..." : "");
        }
    }
}

/* "user NAME rules", or nothing. */
static bool read_line(struct acl *acl, const struct acl_maker *maker, struct slice line,
                      unsigned number, struct error *err)
{
    struct slice word = acl_take_word(&line);
    if (word.len == 0 || word.data[0] == '#') {
        return true;
    }
    struct slice name = acl_take_word(&line);
    if (!slice_equal_nocase(word, SLICE("user")) || name.len == 0) {
        return error_set(err, "a line must be \"user NAME rule ...\", or a comment behind #");
    }
    if (name.len > ACL_NAME_MAX) {
        return error_set(err, "a user's name has more than %d bytes", ACL_NAME_MAX);
    }
    if (memchr(name.data, '\0', name.len) != NULL) {
        return error_set(err, "a user's name has a zero byte");
    }
    if (acl->count == USERS_MAX) {
        return error_set(err, "more than %u users", USERS_MAX);
    }
    struct acl_user *user = add_user(acl, maker, name);
    user->line = number;
    return apply_rules(maker, user, line, err);
}

static bool read_lines(struct acl *acl, const struct acl_maker *maker, struct slice text,
                       struct error *err)
{
    for (unsigned number = 1; text.len > 0; number++) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t length = end != NULL ? (size_t)(end - text.data) + 1 : text.len;
        if (!read_line(acl, maker, (struct slice){text.data, length}, number, err)) {
            return error_prefix(err, "line %u", number);
        }
        text = (struct slice){text.data + length, text.len - length};
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct acl_user *first = a, *second = b;
    int order = strcmp(first->name, second->name);
    return order != 0 ? order : (first->line > second->line) - (first->line < second->line);
}

static void sort(struct acl *acl)
{
    if (acl->count > 0) {
        qsort(acl->users, acl->count, sizeof(*acl->users), by_name);
    }
}

static bool check_names(const struct acl *acl, struct error *err)
{
    for (unsigned i = 1; i < acl->count; i++) {
        const struct acl_user *user = &acl->users[i];
        if (strcmp(acl->users[i - 1].name, user->name) == 0) {
            return error_set(err, "line %u: user \"%s\" is named twice", user->line, user->name);
        }
    }
    return true;
}

static struct acl *acl_new(void)
{
    struct acl *acl = mem_zalloc(sizeof(*acl));
    acl->references = 1;
    return acl;
}

static void add_default(struct acl *acl, const struct acl_maker *maker)
{
    struct error err;
    struct acl_user *user = add_user(acl, maker, SLICE("default"));
    bool is_applied = apply_rules(maker, user, SLICE("on nopass ~* &* +@all"), &err);
    ASSERT(is_applied);
}

struct acl *acl_parse(struct slice text, const struct command_table *table, struct buffer *unknown,
                      struct error *err)
{
    struct acl *acl = acl_new();
    const struct acl_maker maker = {&acl->arena, table, unknown};
    bool is_read = read_lines(acl, &maker, text, err);
    sort(acl);
    if (!is_read || !check_names(acl, err)) {
        acl_unref(acl);
        return NULL;
    }
    if (acl_find(acl, SLICE("default")) == NULL) {
        add_default(acl, &maker);
        sort(acl);
    }
    return acl;
}

struct acl *acl_of_password(const char *password, const struct command_table *table)
{
    struct acl *acl = acl_new();
    const struct acl_maker maker = {&acl->arena, table, NULL};
    add_default(acl, &maker);
    if (password != NULL) {
        struct acl_user *user = &acl->users[0];
        char hash[SECRET_HASH_LENGTH];
        secret_hash(slice_of(password), hash);
        user->needs_no_password = false;
        user->passwords[user->npasswords++] =
            arena_text(&acl->arena, (struct slice){hash, sizeof(hash)});
    }
    return acl;
}

/* --- life ------------------------------------------------------------------------------------- */

struct acl *acl_ref(struct acl *acl)
{
    int references = __atomic_add_fetch(&acl->references, 1, __ATOMIC_RELAXED);
    ASSERT(references > 1);
    return acl;
}

void acl_unref(struct acl *acl)
{
    if (acl == NULL) {
        return;
    }
    int references = __atomic_sub_fetch(&acl->references, 1, __ATOMIC_ACQ_REL);
    ASSERT(references >= 0);
    if (references == 0) {
        arena_free(&acl->arena);
        mem_free(acl);
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

unsigned acl_count(const struct acl *acl)
{
    return acl->count;
}

const struct acl_user *acl_at(const struct acl *acl, unsigned index)
{
    ASSERT(index < acl->count);
    return &acl->users[index];
}

/* As strcmp would, had the name its zero. */
static int compare_name(struct slice name, const char *with)
{
    struct slice other = slice_of(with);
    size_t common = name.len < other.len ? name.len : other.len;
    int order = common > 0 ? memcmp(name.data, other.data, common) : 0;
    return order != 0 ? order : (name.len > other.len) - (name.len < other.len);
}

const struct acl_user *acl_find(const struct acl *acl, struct slice name)
{
    unsigned from = 0, to = acl->count;
    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        int order = compare_name(name, acl->users[middle].name);
        if (order == 0) {
            return &acl->users[middle];
        }
        from = order > 0 ? middle + 1 : from;
        to = order > 0 ? to : middle;
    }
    return NULL;
}

const struct acl_user *acl_default(const struct acl *acl)
{
    const struct acl_user *user = acl_find(acl, SLICE("default"));
    ASSERT(user != NULL);
    return user;
}

const char *acl_user_name(const struct acl_user *user)
{
    return user->name;
}

bool acl_user_is_on(const struct acl_user *user)
{
    return user->is_on;
}

bool acl_user_needs_password(const struct acl_user *user)
{
    return !user->needs_no_password;
}

bool acl_user_is_unlimited(const struct acl_user *user)
{
    return user->is_unlimited;
}

/* All passwords are looked at, whichever is right. */
bool acl_user_knows(const struct acl_user *user, struct slice password)
{
    char hash[SECRET_HASH_LENGTH];
    bool is_right = user->needs_no_password;
    secret_hash(password, hash);
    for (unsigned i = 0; i < user->npasswords; i++) {
        struct slice right = {user->passwords[i], SECRET_HASH_LENGTH};
        is_right = secret_equal(right, (struct slice){hash, sizeof(hash)}) || is_right;
    }
    return is_right && user->is_on;
}

bool acl_user_equal(const struct acl_user *a, const struct acl_user *b)
{
    struct buffer first, second;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    acl_describe_user(a, &first);
    acl_describe_user(b, &second);
    bool is_equal = slice_equal(buffer_slice(&first), buffer_slice(&second));
    buffer_fini(&first);
    buffer_fini(&second);
    return is_equal;
}

unsigned acl_user_passwords(const struct acl_user *user)
{
    return user->npasswords;
}

struct slice acl_user_password(const struct acl_user *user, unsigned index)
{
    ASSERT(index < user->npasswords);
    return (struct slice){user->passwords[index], SECRET_HASH_LENGTH};
}

unsigned acl_user_selectors(const struct acl_user *user)
{
    return user->nselectors;
}
