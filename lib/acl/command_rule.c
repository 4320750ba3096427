/* Rules about commands: +get -config|set +@read -@dangerous +@all */
#include "lib/acl/acl_internal.h"
#include "lib/base/assert.h"

#define UNKNOWN "Unknown command or category name in ACL"

void acl_set_all_commands(const struct acl_maker *maker, struct acl_selector *selector,
                          bool is_allowed)
{
    selector->nids = command_table_count(maker->table);
    size_t size = (selector->nids + 63) / 64 * sizeof(*selector->allowed);
    if (selector->allowed == NULL) {
        selector->allowed = arena_alloc(maker->arena, size);
        selector->rules = arena_grow(maker->arena, NULL, 0, sizeof(*selector->rules));
    }
    memset(selector->allowed, is_allowed ? 0xff : 0, size);
    selector->has_all_commands = is_allowed;
    selector->rules[0] = is_allowed ? SLICE("+@all") : SLICE("-@all");
    selector->nrules = 1;
}

static void set_one(struct acl_selector *selector, const struct command_info *info, bool is_allowed)
{
    uint64_t bit = UINT64_C(1) << (info->id % 64);
    uint64_t *word = &selector->allowed[info->id / 64];
    *word = is_allowed ? *word | bit : *word & ~bit;
}

static void set_with_subcommands(struct acl_selector *selector, const struct command_info *info,
                                 bool is_allowed)
{
    set_one(selector, info, is_allowed);
    for (unsigned i = 0; i < info->nsubcommands; i++) {
        set_one(selector, &info->subcommands[i], is_allowed);
    }
}

static bool set_category(const struct acl_maker *maker, struct acl_selector *selector,
                         struct slice name, bool is_allowed)
{
    unsigned category = 0;
    while (category < CATEGORY_COUNT &&
           !slice_equal_nocase(name, slice_of(command_category_names[category]))) {
        category++;
    }
    for (unsigned id = 0; category < CATEGORY_COUNT && id < selector->nids; id++) {
        const struct command_info *info = command_table_at(maker->table, id);
        if ((info->categories >> category & 1) != 0) {
            set_one(selector, info, is_allowed);
        }
    }
    return category < CATEGORY_COUNT;
}

/* "config|get": the command before the bar; null: there is none. */
static const struct command_info *find_container(const struct acl_maker *maker, struct slice name)
{
    const char *bar = memchr(name.data, '|', name.len);
    struct slice container = {name.data, bar != NULL ? (size_t)(bar - name.data) : name.len};
    return command_find(maker->table, &container, 1);
}

/* "config|get": the subcommand, and nothing else; "config": it, and all its subcommands. */
static bool set_command(const struct acl_maker *maker, struct acl_selector *selector,
                        struct slice name, bool is_allowed)
{
    const char *bar = memchr(name.data, '|', name.len);
    const struct command_info *info = find_container(maker, name);
    if (info == NULL || bar == NULL) {
        if (info != NULL) {
            set_with_subcommands(selector, info, is_allowed);
        }
        return info != NULL;
    }
    size_t length = (size_t)(bar - name.data);
    struct slice argv[2] = {{name.data, length}, {bar + 1, name.len - length - 1}};
    const struct command_info *subcommand = command_find(maker->table, argv, 2);
    if (subcommand == info) {
        return false;
    }
    set_one(selector, subcommand, is_allowed);
    return true;
}

/* A later rule about the same takes the place of an earlier one, of either sign. */
static bool keep_rule(const struct acl_maker *maker, struct acl_selector *selector,
                      struct slice rule)
{
    unsigned kept = 0;
    char *text = arena_text(maker->arena, rule);
    for (size_t i = 0; i < rule.len; i++) {
        text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    }
    for (unsigned i = 0; i < selector->nrules; i++) {
        struct slice old = selector->rules[i];
        bool is_same = old.len == rule.len && memcmp(old.data + 1, text + 1, rule.len - 1) == 0;
        if (!is_same) {
            selector->rules[kept++] = old;
        }
    }
    if (kept == ACL_RULES_MAX) {
        return false;
    }
    selector->rules = arena_grow(maker->arena, selector->rules, kept, sizeof(*selector->rules));
    selector->rules[kept++] = (struct slice){text, rule.len};
    selector->nrules = kept;
    return true;
}

/* Commands and subcommands may be learnt from a shard; not so categories, and what would be a first
 * argument ("select|0"). */
static bool may_be_learnt(const struct acl_maker *maker, struct slice name)
{
    const struct command_info *container = find_container(maker, name);
    return name.len > 0 && name.data[0] != '@' &&
           (container == NULL || container->nsubcommands > 0);
}

/* The rule stays among the others, and counts once a table has the command. */
static bool tolerate(const struct acl_maker *maker, struct slice rule)
{
    struct slice name = {rule.data + 1, rule.len - 1};
    if (maker->unknown == NULL || !may_be_learnt(maker, name)) {
        return false;
    }
    buffer_add_text(maker->unknown, " ");
    buffer_add(maker->unknown, rule.data, rule.len);
    return true;
}

static bool apply_known(const struct acl_maker *maker, struct acl_selector *selector,
                        struct slice name, bool is_allowed)
{
    bool is_category = name.len > 0 && name.data[0] == '@';
    return is_category ? set_category(maker, selector, (struct slice){name.data + 1, name.len - 1},
                                      is_allowed)
                       : set_command(maker, selector, name, is_allowed);
}

bool acl_apply_command(const struct acl_maker *maker, struct acl_selector *selector,
                       struct slice rule, struct error *err)
{
    bool is_allowed = rule.data[0] == '+';
    struct slice name = {rule.data + 1, rule.len - 1};
    if (slice_equal_nocase(name, SLICE("@all"))) {
        acl_set_all_commands(maker, selector, is_allowed);
        return true;
    }
    if (!apply_known(maker, selector, name, is_allowed) && !tolerate(maker, rule)) {
        return error_set(err, UNKNOWN);
    }
    /* What is not known yet may be what is denied here. */
    selector->has_all_commands = selector->has_all_commands && is_allowed;
    return keep_rule(maker, selector, rule) ||
           error_set(err, "more than %u rules about commands", ACL_RULES_MAX);
}
