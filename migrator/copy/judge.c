#include "migrator/copy/judge.h"

#include "migrator/copy/change.h"
#include "migrator/copy/compare.h"
#include "migrator/copy/state.h"

static void tell_finding(struct copy_pair *pair, const struct state_group *authority,
                         const struct state_group *copy, size_t place)
{
    const struct key_group *keys = &authority->keys;
    struct copy_finding finding = {.key = key_list_at(keys->list, keys->first + place),
                                   .only_on_copy = !authority->states[place].exists &&
                                                   copy->states[place].exists};
    pair->hooks->found(pair->hooks->context, &finding);
}

static enum copy_status read_alone(struct copy_pair *pair, bool on_copy,
                                   const struct key_group *keys, struct state_group *group)
{
    state_append(pair, on_copy, READ_ALL, keys, group);
    enum copy_status status = pair_flush(pair, on_copy);
    return status == COPY_OK ? state_take(pair, group) : status;
}

/* Reads the suspects once more, now the copy strictly before the authority: unequal, and still
 * without a mark, no write can explain it. The marks that this sets make the drain repair it. */
static enum copy_status judge_group(struct copy_pair *pair, const struct key_group *keys,
                                    uint64_t *count)
{
    struct state_group authority = {.reply = NULL};
    struct state_group copy = {.reply = NULL};
    struct key_choice findings = {.group = &authority};
    enum copy_status status = read_alone(pair, true, keys, &copy);
    status = status == COPY_OK ? read_alone(pair, false, keys, &authority) : status;
    for (size_t i = 0; status == COPY_OK && i < keys->count; i++) {
        if (!authority.states[i].is_marked &&
            !groups_verified_at(&authority, &copy, i, pair->max_skew_ms)) {
            tell_finding(pair, &authority, &copy, i);
            key_choice_add(&findings, i);
            ++*count;
        }
    }
    if (status == COPY_OK) {
        change_append_renumber(pair, &findings);
        status = pair_flush(pair, false);
    }
    if (status == COPY_OK) {
        status = change_take_renumber(pair, &findings);
    }
    state_group_free(&authority);
    state_group_free(&copy);
    return status;
}

enum copy_status judge_keys(struct copy_pair *pair, const struct key_list *suspects,
                            uint64_t *findings)
{
    size_t next = 0;
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && next < suspects->count) {
        struct key_group group = state_next_group(pair, READ_ALL, suspects, next);
        next += group.count;
        status = judge_group(pair, &group, findings);
    }
    return status;
}
