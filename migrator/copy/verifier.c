#include "migrator/copy/verifier.h"

#include "migrator/copy/change.h"
#include "migrator/copy/compare.h"
#include "migrator/copy/walk.h"

void verifier_init(struct verifier *verifier, unsigned nslots)
{
    *verifier = (struct verifier){.keys = 0};
    scanner_init(&verifier->over_authority);
    scanner_init(&verifier->over_copy);
    tally_init(&verifier->tally, nslots);
}

void verifier_fini(struct verifier *verifier)
{
    tally_fini(&verifier->tally);
}

/* A walk over the authority, or the reading of some keys once more. */
struct comparison {
    struct verifier *verifier;
    struct copy_pair *pair;
    struct key_list suspects;
};

static void compare_key(struct comparison *comparison, const struct state_both *states, size_t i)
{
    struct verifier *verifier = comparison->verifier;
    const struct key_state *authority = &states->authority.states[i];
    const struct key_state *copy = &states->copy.states[i];
    const struct key_group *keys = &states->authority.keys;
    struct slice key = key_list_at(keys->list, keys->first + i);
    verifier->bytes += authority->payload.len + copy->payload.len;
    verifier->keys++;
    if (authority->is_marked) {
        verifier->tally.moving++;
    } else if (!groups_verified_at(&states->authority, &states->copy, i,
                                   comparison->pair->max_skew_ms)) {
        key_list_add(&comparison->suspects, key);
    } else if (authority->exists && copy->exists) {
        tally_add(&verifier->tally, key, authority, copy);
    }
}

static enum copy_status compare_group(void *context, const struct state_both *states)
{
    struct comparison *comparison = context;
    struct copy_pair *pair = comparison->pair;
    const struct verifier *verifier = comparison->verifier;
    uint64_t keys_before = verifier->keys;
    uint64_t bytes_before = verifier->bytes;
    for (size_t i = 0; i < states->authority.keys.count; i++) {
        if (!state_both_unread_at(states, i)) {
            compare_key(comparison, states, i);
        }
    }
    uint64_t keys = verifier->keys - keys_before;
    pair->hooks->verified(pair->hooks->context, keys);
    return pair_pay(pair, keys, (verifier->bytes - bytes_before) / 2);
}

static void tell_finding(struct copy_pair *pair, struct verifier *verifier,
                         const struct state_group *authority, const struct state_group *copy,
                         size_t place)
{
    const struct key_group *keys = &authority->keys;
    struct copy_finding finding = {.key = key_list_at(keys->list, keys->first + place),
                                   .only_on_copy = !authority->states[place].exists &&
                                                   copy->states[place].exists};
    verifier->findings++;
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
static enum copy_status judge_group(struct verifier *verifier, struct copy_pair *pair,
                                    const struct key_group *keys)
{
    struct state_group authority = {.reply = NULL};
    struct state_group copy = {.reply = NULL};
    struct key_choice findings = {.group = &authority};
    enum copy_status status = read_alone(pair, true, keys, &copy);
    status = status == COPY_OK ? read_alone(pair, false, keys, &authority) : status;
    for (size_t i = 0; status == COPY_OK && i < keys->count; i++) {
        if (!authority.states[i].is_marked &&
            !groups_verified_at(&authority, &copy, i, pair->max_skew_ms)) {
            tell_finding(pair, verifier, &authority, &copy, i);
            key_choice_add(&findings, i);
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

static enum copy_status judge_all(struct verifier *verifier, struct copy_pair *pair,
                                  const struct key_list *suspects)
{
    size_t next = 0;
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && next < suspects->count) {
        struct key_group group = state_next_group(pair, READ_ALL, suspects, next);
        next += group.count;
        status = judge_group(verifier, pair, &group);
    }
    return status;
}

/* How many of the keys the authority has. */
static enum copy_status count_on_authority(struct copy_pair *pair, const struct key_group *keys,
                                           size_t *count)
{
    struct slice argv[1 + GROUP_KEYS_MAX] = {SLICE("EXISTS")};
    for (size_t i = 0; i < keys->count; i++) {
        argv[1 + i] = key_list_at(keys->list, keys->first + i);
    }
    shard_append(pair->authority.link, argv, 1 + (unsigned)keys->count);
    struct shard_reply *reply = pair_take(pair, false, "EXISTS");
    if (reply == NULL) {
        return COPY_FAILED;
    }
    *count = (size_t)shard_reply_integer(reply);
    shard_reply_free(reply);
    return COPY_OK;
}

/* The keys of a page of the copy that the authority may not have: all of a group of which it does
 * not have all. They are read again anyway. */
static enum copy_status find_extra(struct verifier *verifier, struct copy_pair *pair,
                                   const struct key_list *keys, struct key_list *suspects)
{
    enum copy_status status = COPY_OK;
    size_t next = 0;
    key_list_clear(suspects);
    verifier->tally.keys_on_copy += keys->count;
    while (status == COPY_OK && next < keys->count) {
        struct key_group group = key_list_group(keys, next, GROUP_KEYS_MAX);
        size_t count = 0;
        next += group.count;
        status = count_on_authority(pair, &group, &count);
        for (size_t i = 0; status == COPY_OK && count < group.count && i < group.count; i++) {
            key_list_add(suspects, key_list_at(keys, group.first + i));
        }
    }
    return status;
}

static enum copy_status walk_copy(struct verifier *verifier, struct copy_pair *pair,
                                  struct key_list *keys, struct key_list *suspects)
{
    enum copy_status status = pair_check(pair);
    while (status == COPY_OK && !verifier->over_copy.is_done) {
        struct scanner page = verifier->over_copy;
        status = scanner_next(&page, pair, true, keys);
        if (status == COPY_OK) {
            status = find_extra(verifier, pair, keys, suspects);
        }
        if (status == COPY_OK) {
            status = judge_all(verifier, pair, suspects);
        }
        if (status == COPY_OK) {
            verifier->over_copy = page;
            status = pair_check(pair);
        }
    }
    return status;
}

static enum copy_status judge_page(void *context)
{
    struct comparison *comparison = context;
    enum copy_status status =
        judge_all(comparison->verifier, comparison->pair, &comparison->suspects);
    key_list_clear(&comparison->suspects);
    return status;
}

enum copy_status verifier_run(struct verifier *verifier, struct copy_pair *pair)
{
    struct comparison comparison = {.verifier = verifier, .pair = pair};
    struct key_list keys;
    const struct walk walk = {.pair = pair,
                              .with_copy = true,
                              .visit = compare_group,
                              .end_page = judge_page,
                              .context = &comparison};
    key_list_init(&keys);
    key_list_init(&comparison.suspects);
    enum copy_status status = walk_run(&walk, &verifier->over_authority);
    if (status == COPY_OK) {
        status = walk_copy(verifier, pair, &keys, &comparison.suspects);
    }
    key_list_fini(&keys);
    key_list_fini(&comparison.suspects);
    return status;
}
