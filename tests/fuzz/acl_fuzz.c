/* Any bytes as the rules of one user, behind "user u ": no crash, and what is described is read
 * again as the same; commands that no table has are an error, or wait for another table. The first
 * line also stands for a pattern and a text to match. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/acl/acl.h"
#include "lib/acl/glob.h"
#include "lib/base/assert.h"

#define LENGTH_MAX 512

static void check_glob(struct slice text)
{
    size_t half = text.len / 2;
    (void)glob_matches((struct slice){text.data, half},
                       (struct slice){text.data + half, text.len - half});
}

static void check_command(const struct acl_user *user)
{
    const struct slice argv[] = {SLICE("mget"), SLICE("a"), SLICE("b")};
    unsigned denied;
    const struct command_info *info = command_find(command_table_builtin(), argv, 3);
    enum acl_verdict verdict = acl_check(user, info, argv, 3, &denied);
    ASSERT(denied < 3 && (verdict == ACL_ALLOWED || verdict <= ACL_DENIED_CHANNEL));
}

/* "(~a) +get)": as with Redis a selector ends at the first word that ends in a parenthesis, so one
 * whose pattern does is shown as what cannot be read. */
static bool can_be_read_again(struct slice line)
{
    unsigned open = 0, closed = 0;
    for (size_t i = 1; i < line.len; i++) {
        open += line.data[i] == '(' && line.data[i - 1] == ' ' ? 1 : 0;
        closed += line.data[i] == ')' && (i + 1 == line.len || line.data[i + 1] == ' ') ? 1 : 0;
    }
    return open == closed;
}

static void check_again(const struct acl_user *user, bool is_strict)
{
    struct buffer line, unknown;
    buffer_init(&line, SIZE_MAX);
    buffer_init(&unknown, SIZE_MAX);
    acl_describe_user(user, &line);
    if (can_be_read_again(buffer_slice(&line))) {
        struct acl *again = acl_parse(buffer_slice(&line), command_table_builtin(),
                                      is_strict ? NULL : &unknown, NULL);
        ASSERT(again != NULL);
        const struct acl_user *same = acl_find(again, slice_of(acl_user_name(user)));
        ASSERT(same != NULL && acl_user_equal(same, user));
        acl_unref(again);
    }
    buffer_fini(&line);
    buffer_fini(&unknown);
}

static void check_text(struct slice text, bool is_strict)
{
    struct buffer unknown;
    struct error err;
    buffer_init(&unknown, SIZE_MAX);
    struct acl *acl = acl_parse(text, command_table_builtin(), is_strict ? NULL : &unknown, &err);
    for (unsigned i = 0; acl != NULL && i < acl_count(acl); i++) {
        check_command(acl_at(acl, i));
        check_again(acl_at(acl, i), is_strict);
    }
    acl_unref(acl);
    buffer_fini(&unknown);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rules = {(const char *)data, size < LENGTH_MAX ? size : LENGTH_MAX};
    struct buffer text;
    check_glob(rules);
    buffer_init(&text, SIZE_MAX);
    buffer_add_text(&text, "user u ");
    buffer_add(&text, rules.data, rules.len);
    check_text(buffer_slice(&text), true);
    check_text(buffer_slice(&text), false);
    buffer_fini(&text);
    return 0;
}
