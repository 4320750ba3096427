/* May this user do that? The command, every key it names, every channel. */
#include "lib/acl/acl_internal.h"
#include "lib/acl/glob.h"
#include "lib/base/memory.h"

#define FEW_KEYS 32u

/* What is found out about a command once, for all selectors. */
struct question {
    const struct command_info *info;
    const struct slice *argv;
    const struct command_key *keys;
    unsigned nkeys;
    unsigned first_channel, last_channel; /* none: the last is before the first */
    bool has_channel_patterns;
};

static bool may_use_key(const struct acl_selector *selector, const struct command_key *key,
                        struct slice name)
{
    for (unsigned i = 0; i < selector->keys.count; i++) {
        const struct acl_pattern *pattern = &selector->keys.items[i];
        bool is_granted =
            (pattern->reads || !key->needs_read) && (pattern->writes || !key->needs_write);
        if (is_granted && glob_matches(pattern->text, name)) {
            return true;
        }
    }
    return selector->keys.is_all;
}

/* A pattern to subscribe to must stand in the rules as it is: what it covers cannot be told. */
static bool may_use_channel(const struct acl_selector *selector, struct slice name, bool is_pattern)
{
    for (unsigned i = 0; i < selector->channels.count; i++) {
        struct slice allowed = selector->channels.items[i].text;
        if (is_pattern ? slice_equal(allowed, name) : glob_matches(allowed, name)) {
            return true;
        }
    }
    return selector->channels.is_all;
}

static enum acl_verdict check_selector(const struct acl_selector *selector,
                                       const struct question *question, unsigned *denied)
{
    const struct command_info *info = question->info;
    *denied = 0;
    if (!acl_selector_has(selector, info->id) && (info->flags & COMMAND_NO_AUTH) == 0) {
        return ACL_DENIED_COMMAND;
    }
    for (unsigned i = 0; i < question->nkeys; i++) {
        *denied = question->keys[i].position;
        if (!may_use_key(selector, &question->keys[i], question->argv[*denied])) {
            return ACL_DENIED_KEY;
        }
    }
    for (unsigned i = question->first_channel; i <= question->last_channel; i++) {
        *denied = i;
        if (!may_use_channel(selector, question->argv[i], question->has_channel_patterns)) {
            return ACL_DENIED_CHANNEL;
        }
    }
    return ACL_ALLOWED;
}

/* Who may nothing else may still unsubscribe. */
static void find_channels(struct question *question, unsigned argc)
{
    const char *name = question->info->name;
    bool is_pattern = strcmp(name, "psubscribe") == 0;
    question->first_channel = 1;
    if (question->info->handler == HANDLER_PUBLISH) {
        question->last_channel = 1;
    } else if (question->info->handler == HANDLER_SUBSCRIBE) {
        question->last_channel = argc - 1;
        question->has_channel_patterns = is_pattern;
    }
}

/* Of several selectors that deny, the one that got farthest is told. */
static enum acl_verdict check_selectors(const struct acl_user *user,
                                        const struct question *question, unsigned *denied)
{
    enum acl_verdict worst = ACL_ALLOWED;
    for (unsigned i = 0; i < user->nselectors; i++) {
        unsigned at;
        enum acl_verdict verdict = check_selector(&user->selectors[i], question, &at);
        if (verdict == ACL_ALLOWED) {
            return ACL_ALLOWED;
        }
        if (verdict > worst || (verdict == worst && at > *denied)) {
            worst = verdict;
            *denied = at;
        }
    }
    return worst;
}

enum acl_verdict acl_check(const struct acl_user *user, const struct command_info *info,
                           const struct slice *argv, unsigned argc, unsigned *denied)
{
    struct command_key few[FEW_KEYS], *many = NULL;
    struct question question = {.info = info, .argv = argv, .keys = few};
    *denied = 0;
    if (user->is_unlimited) {
        return ACL_ALLOWED;
    }
    /* Keys that cannot be found are an error of the command, which its shard tells. */
    int count = command_acl_keys(info, argv, argc, few, FEW_KEYS);
    question.nkeys = count > 0 ? (unsigned)count : 0;
    if (question.nkeys > FEW_KEYS) {
        many = mem_alloc(question.nkeys * sizeof(*many));
        (void)command_acl_keys(info, argv, argc, many, question.nkeys);
        question.keys = many;
    }
    find_channels(&question, argc);
    enum acl_verdict verdict = check_selectors(user, &question, denied);
    mem_free(many);
    return verdict;
}
