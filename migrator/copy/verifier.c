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

/* --- what only the copy may have -------------------------------------------------------------- */

/* A walk over the copy, one page ahead: both shards are asked at once. */
struct copy_walk {
    struct verifier *verifier;
    struct copy_pair *pair;
    struct key_list now, next;
    struct key_list suspects;
};

static void append_exists(struct copy_pair *pair, const struct key_group *keys)
{
    struct slice argv[1 + GROUP_KEYS_MAX] = {SLICE("EXISTS")};
    for (size_t i = 0; i < keys->count; i++) {
        argv[1 + i] = key_list_at(keys->list, keys->first + i);
    }
    shard_append(pair->authority.link, argv, 1 + (unsigned)keys->count);
}

static enum copy_status ask_authority(struct copy_pair *pair, const struct key_list *keys)
{
    for (size_t next = 0; next < keys->count; next += GROUP_KEYS_MAX) {
        struct key_group group = key_list_group(keys, next, GROUP_KEYS_MAX);
        append_exists(pair, &group);
    }
    return keys->count > 0 ? pair_flush(pair, false) : COPY_OK;
}

/* The keys that the authority may not have: all of a group of which it does not have all. They are
 * read again anyway. Every answer is taken, to stay in step. */
static enum copy_status suspect_extra(struct copy_walk *walk)
{
    enum copy_status status = COPY_OK;
    struct copy_pair *pair = walk->pair;
    const struct shard_link *link = pair->authority.link;
    for (size_t next = 0; next < walk->now.count && !shard_is_broken(link);
         next += GROUP_KEYS_MAX) {
        struct key_group group = key_list_group(&walk->now, next, GROUP_KEYS_MAX);
        struct shard_reply *reply = pair_take(pair, false, "EXISTS");
        if (reply == NULL) {
            status = COPY_FAILED;
            continue;
        }
        size_t count = (size_t)shard_reply_integer(reply);
        shard_reply_free(reply);
        for (size_t i = 0; count < group.count && i < group.count; i++) {
            key_list_add(&walk->suspects, key_list_at(&walk->now, group.first + i));
        }
    }
    return shard_is_broken(link) ? COPY_FAILED : status;
}

static enum copy_status ask_both(struct copy_walk *walk, const struct scanner *ahead)
{
    enum copy_status status = COPY_OK;
    if (ahead != NULL) {
        scanner_append(ahead, walk->pair, true);
        status = pair_flush(walk->pair, true);
    }
    return status == COPY_OK ? ask_authority(walk->pair, &walk->now) : status;
}

/* The first failure is the one that counts. */
static enum copy_status take_both(struct copy_walk *walk, struct scanner *ahead)
{
    struct copy_pair *pair = walk->pair;
    enum copy_status scanned =
        ahead != NULL ? scanner_take(ahead, pair, true, &walk->next) : COPY_OK;
    struct copy_failure failure = pair->failure;
    enum copy_status looked = suspect_extra(walk);
    if (scanned != COPY_OK) {
        pair->failure = failure;
        return scanned;
    }
    return looked;
}

/* `ahead`, where it is not null, stands behind this page and is moved over the next one. */
static enum copy_status walk_copy_page(struct copy_walk *walk, struct scanner *ahead)
{
    key_list_clear(&walk->suspects);
    key_list_clear(&walk->next);
    enum copy_status status = ask_both(walk, ahead);
    status = status == COPY_OK ? take_both(walk, ahead) : status;
    status = status == COPY_OK ? judge_all(walk->verifier, walk->pair, &walk->suspects) : status;
    return status == COPY_OK ? pair_rest(walk->pair) : status;
}

static enum copy_status walk_copy(struct copy_walk *walk)
{
    struct scanner *over_copy = &walk->verifier->over_copy;
    struct scanner reached = *over_copy; /* behind walk->now */
    enum copy_status status = pair_check(walk->pair);
    if (status == COPY_OK && !over_copy->is_done) {
        status = scanner_next(&reached, walk->pair, true, &walk->now);
    }
    while (status == COPY_OK && !over_copy->is_done) {
        struct scanner ahead = reached;
        status = walk_copy_page(walk, reached.is_done ? NULL : &ahead);
        if (status == COPY_OK) {
            walk->verifier->tally.keys_on_copy += walk->now.count;
            *over_copy = reached;
            reached = ahead;
            key_list_swap(&walk->now, &walk->next);
            status = pair_check(walk->pair);
        }
    }
    return status;
}

static enum copy_status find_extra(struct verifier *verifier, struct copy_pair *pair)
{
    struct copy_walk walk = {.verifier = verifier, .pair = pair};
    key_list_init(&walk.now);
    key_list_init(&walk.next);
    key_list_init(&walk.suspects);
    enum copy_status status = walk_copy(&walk);
    key_list_fini(&walk.now);
    key_list_fini(&walk.next);
    key_list_fini(&walk.suspects);
    return status;
}

/* --- both walks ------------------------------------------------------------------------------- */

static bool has_suspects(void *context)
{
    const struct comparison *comparison = context;
    return comparison->suspects.count > 0;
}

static enum copy_status judge_suspects(void *context)
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
    const struct walk walk = {.pair = pair,
                              .with_copy = true,
                              .visit = compare_group,
                              .wants_pause = has_suspects,
                              .pause = judge_suspects,
                              .context = &comparison};
    key_list_init(&comparison.suspects);
    enum copy_status status = walk_run(&walk, &verifier->over_authority);
    key_list_fini(&comparison.suspects);
    return status == COPY_OK ? find_extra(verifier, pair) : status;
}
