#include "migrator/copy/verifier.h"

#include "migrator/copy/change.h"
#include "migrator/copy/compare.h"

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

/* Each group of `keys`, compared; the suspects are added to `suspects`. */
static enum copy_status compare_group(struct verifier *verifier, struct copy_pair *pair,
                                      const struct key_group *keys, struct key_list *suspects)
{
    struct state_group authority = {.reply = NULL};
    struct state_group copy = {.reply = NULL};
    enum copy_status status = state_read_both(pair, keys, &authority, &copy);
    for (size_t i = 0; status == COPY_OK && i < keys->count; i++) {
        struct slice key = key_list_at(keys->list, keys->first + i);
        verifier->bytes += authority.states[i].payload.len + copy.states[i].payload.len;
        if (authority.states[i].is_marked) {
            verifier->tally.moving++;
        } else if (!groups_verified_at(&authority, &copy, i, pair->max_skew_ms)) {
            key_list_add(suspects, key, keys->list->items[keys->first + i].size_bytes);
        } else if (authority.states[i].exists && copy.states[i].exists) {
            tally_add(&verifier->tally, key, &authority.states[i], &copy.states[i]);
        }
    }
    state_group_free(&authority);
    state_group_free(&copy);
    return status;
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

/* Reads the suspects once more, now the copy strictly before the authority: unequal, and still
 * without a mark, no write can explain it. The marks that this sets make the drain repair it. */
static enum copy_status judge_group(struct verifier *verifier, struct copy_pair *pair,
                                    const struct key_group *keys)
{
    struct state_group authority = {.reply = NULL};
    struct state_group copy = {.reply = NULL};
    struct key_choice findings = {.group = &authority};
    state_append(pair, true, keys);
    enum copy_status status = pair_flush(pair, true);
    if (status == COPY_OK) {
        status = state_take(pair, true, keys, &copy);
    }
    if (status == COPY_OK) {
        state_append(pair, false, keys);
        status = pair_flush(pair, false);
    }
    if (status == COPY_OK) {
        status = state_take(pair, false, keys, &authority);
    }
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
        struct key_group group = key_list_group(suspects, next);
        next += group.count;
        status = judge_group(verifier, pair, &group);
    }
    return status;
}

static enum copy_status compare_page(struct verifier *verifier, struct copy_pair *pair,
                                     const struct key_list *keys, struct key_list *suspects)
{
    size_t next = 0;
    enum copy_status status = COPY_OK;
    key_list_clear(suspects);
    while (status == COPY_OK && next < keys->count) {
        struct key_group group = key_list_group(keys, next);
        uint64_t bytes_before = verifier->bytes;
        next += group.count;
        status = compare_group(verifier, pair, &group, suspects);
        if (status == COPY_OK) {
            verifier->keys += group.count;
            pair->hooks->verified(pair->hooks->context, group.count);
            status = pair_pay(pair, group.count, (verifier->bytes - bytes_before) / 2);
        }
        if (status == COPY_OK) {
            status = pair_check(pair);
        }
    }
    return status == COPY_OK ? judge_all(verifier, pair, suspects) : status;
}

/* The keys of a page of the copy that the authority does not have. */
static enum copy_status find_extra(struct verifier *verifier, struct copy_pair *pair,
                                   const struct key_list *keys, struct key_list *suspects)
{
    struct shard_link *link = pair->authority.link;
    key_list_clear(suspects);
    verifier->tally.keys_on_copy += keys->count;
    for (size_t i = 0; i < keys->count; i++) {
        struct slice argv[] = {SLICE("EXISTS"), key_list_at(keys, i)};
        shard_append(link, argv, 2);
    }
    enum copy_status status = keys->count > 0 ? pair_flush(pair, false) : COPY_OK;
    for (size_t i = 0; i < keys->count && !shard_is_broken(link); i++) {
        struct shard_reply *reply = pair_take(pair, false, "EXISTS");
        if (reply == NULL) {
            status = COPY_FAILED;
        } else if (shard_reply_integer(reply) == 0) {
            key_list_add(suspects, key_list_at(keys, i), 0);
        }
        shard_reply_free(reply);
    }
    return status;
}

static enum copy_status walk_copy(struct verifier *verifier, struct copy_pair *pair,
                                  struct key_list *keys, struct key_list *suspects)
{
    enum copy_status status = pair_check(pair);
    while (status == COPY_OK && !verifier->over_copy.is_done) {
        struct scanner page = verifier->over_copy;
        status = scanner_next(&page, pair, true, false, keys);
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

static enum copy_status walk_authority(struct verifier *verifier, struct copy_pair *pair,
                                       struct key_list *keys, struct key_list *suspects)
{
    enum copy_status status = pair_check(pair);
    while (status == COPY_OK && !verifier->over_authority.is_done) {
        struct scanner page = verifier->over_authority;
        status = scanner_next(&page, pair, false, true, keys);
        if (status == COPY_OK) {
            status = compare_page(verifier, pair, keys, suspects);
        }
        if (status == COPY_OK) {
            verifier->over_authority = page;
            status = pair_check(pair);
        }
    }
    return status;
}

enum copy_status verifier_run(struct verifier *verifier, struct copy_pair *pair)
{
    struct key_list keys;
    struct key_list suspects;
    key_list_init(&keys);
    key_list_init(&suspects);
    enum copy_status status = walk_authority(verifier, pair, &keys, &suspects);
    if (status == COPY_OK) {
        status = walk_copy(verifier, pair, &keys, &suspects);
    }
    key_list_fini(&keys);
    key_list_fini(&suspects);
    return status;
}
