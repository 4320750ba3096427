/* Joins the lines of overrides.def, and the rules for what has none, to a table's rows. */
#include <ctype.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/command/table_internal.h"

#define HANDLE(...)
#define REFUSE(...)
#define FIND(...)
#define LIMIT(...)
#define WRITES(...)
#define SMALL(...)
#define PRIMARY(...)
#define MERGE(...)

struct decision {
    const char *name;
    enum command_handler handler;
    const char *reason;
    const char *why;
};

static const struct decision decisions[] = {
#undef HANDLE
#undef REFUSE
#define HANDLE(name, handler, why) {name, handler, NULL, why},
#define REFUSE(name, reason, why)  {name, HANDLER_REFUSE, reason, why},
#include "lib/command/overrides.def"
#undef HANDLE
#undef REFUSE
#define HANDLE(...)
#define REFUSE(...)
};

struct special {
    const char *name;
    unsigned value;
    const char *why;
};

static const struct special finders[] = {
#undef FIND
#define FIND(name, finder, why) {name, finder, why},
#include "lib/command/overrides.def"
#undef FIND
#define FIND(...)
    {NULL, 0, NULL}};

static const struct special limits[] = {
#undef LIMIT
#define LIMIT(name, form, why) {name, form, why},
#include "lib/command/overrides.def"
#undef LIMIT
#define LIMIT(...)
    {NULL, 0, NULL}};

static const struct special writers[] = {
#undef WRITES
#define WRITES(name, why) {name, true, why},
#include "lib/command/overrides.def"
#undef WRITES
#define WRITES(...)
    {NULL, 0, NULL}};

static const struct special smalls[] = {
#undef SMALL
#define SMALL(name) {name, COMMAND_SMALL_RESULT, NULL},
#include "lib/command/overrides.def"
#undef SMALL
#define SMALL(...)
    {NULL, 0, NULL}};

static const struct special primaries[] = {
#undef PRIMARY
#define PRIMARY(name, why) {name, COMMAND_PRIMARY, why},
#include "lib/command/overrides.def"
#undef PRIMARY
#define PRIMARY(...)
    {NULL, 0, NULL}};

static const struct special merges[] = {
#undef MERGE
#define MERGE(name, policy) {name, policy, NULL},
#include "lib/command/overrides.def"
    {NULL, 0, NULL}};

static const struct special *find_special(const struct special *list, const char *name)
{
    while (list->name != NULL && strcmp(list->name, name) != 0) {
        list++;
    }
    return list; /* the last one has the value 0, which changes nothing */
}

static const struct decision *find_decision(const char *name)
{
    for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
        if (strcmp(decisions[i].name, name) == 0) {
            return &decisions[i];
        }
    }
    return NULL;
}

static void write_all_keys(struct command_info *info, struct arena *arena)
{
    struct key_spec *specs = arena_dup(arena, info->specs, info->nspecs * sizeof(*specs));
    for (unsigned i = 0; i < info->nspecs; i++) {
        specs[i].is_written = true;
    }
    info->specs = specs;
}

static bool keys_can_be_found(const struct command_info *info)
{
    if (info->finder != FINDER_SPECS) {
        return true;
    }
    for (unsigned i = 0; i < info->nspecs; i++) {
        const struct key_spec *spec = &info->specs[i];
        if (spec->begin == KEY_BEGIN_UNKNOWN || spec->find == KEY_FIND_UNKNOWN ||
            spec->is_incomplete) {
            return false;
        }
    }
    return info->nspecs > 0;
}

/* "not supported by this Sluice: MEMORY STATS, because" */
static const char *refusal(const struct command_info *info, const char *because,
                           struct arena *arena)
{
    char text[192];
    char shown[sizeof(info->name)] = "";
    for (size_t i = 0; i < sizeof(shown); i++) {
        char c = info->name[i];
        shown[i] = (char)(c == '|' ? ' ' : toupper((unsigned char)c));
    }
    int length = snprintf(text, sizeof(text), "not supported by this Sluice: %s%s", shown, because);
    ASSERT(length > 0 && (size_t)length < sizeof(text));
    return arena_text(arena, slice_of(text));
}

/* The server's tips say that its keys may live anywhere, and they lie so that they can be told
 * apart: groups of `step` arguments from the first key on. */
static bool can_be_split(const struct command_info *info)
{
    const struct key_spec *spec = info->specs;
    return info->request_policy == REQUEST_MULTI_SHARD && info->finder == FINDER_SPECS &&
           info->nspecs == 1 && spec->begin == KEY_BEGIN_INDEX && spec->find == KEY_FIND_RANGE &&
           spec->last < 0 && spec->limit == 0;
}

/* What writes keys that it does not name could write those of other shards. */
static bool goes_to_all_shards(const struct command_info *info)
{
    bool is_asked =
        info->request_policy == REQUEST_ALL_SHARDS || info->request_policy == REQUEST_ALL_NODES;
    return is_asked && info->nspecs == 0 && info->response_policy != RESPONSE_SPECIAL &&
           (info->flags & COMMAND_WRITE) == 0;
}

static void decide_by_rules(struct command_info *info, struct arena *arena)
{
    info->handler = HANDLER_REFUSE;
    info->why = NULL;
    if (info->nsubcommands > 0) {
        info->reason = refusal(info, " with such a subcommand", arena);
    } else if ((info->flags & COMMAND_BLOCKING) != 0) {
        info->reason = refusal(info, ", which blocks", arena);
    } else if (goes_to_all_shards(info)) {
        info->handler = HANDLER_ALL_SHARDS;
        info->reason = NULL;
    } else if (info->nspecs == 0) {
        info->reason = refusal(info, ", which names no key", arena);
    } else if (!keys_can_be_found(info)) {
        info->reason = refusal(info, ", whose keys cannot be told from its arguments", arena);
    } else {
        info->handler = can_be_split(info) ? HANDLER_SPLIT : HANDLER_ROUTE;
        info->reason = NULL;
    }
}

void command_override(struct command_info *info, const struct command_info *container,
                      struct arena *arena)
{
    const struct decision *decision = find_decision(info->name);
    if (decision == NULL && container != NULL) {
        decision = find_decision(container->name);
    }
    info->finder = (enum command_finder)find_special(finders, info->name)->value;
    info->form = (enum command_form)find_special(limits, info->name)->value;
    info->limit = find_special(limits, info->name)->why;
    info->flags |= find_special(smalls, info->name)->value;
    info->flags |= find_special(primaries, info->name)->value;
    const struct special *merge = find_special(merges, info->name);
    if (merge->name != NULL) {
        info->response_policy = (enum response_policy)merge->value;
    }
    if (find_special(writers, info->name)->value != 0) {
        write_all_keys(info, arena);
    }
    if (decision == NULL) {
        decide_by_rules(info, arena);
        return;
    }
    info->handler = decision->handler;
    info->reason = decision->reason;
    info->why = decision->why;
}
