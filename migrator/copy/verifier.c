#include "migrator/copy/verifier.h"

#include "migrator/copy/compare.h"
#include "migrator/copy/extra.h"
#include "migrator/copy/judge.h"
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

static bool has_suspects(void *context)
{
    const struct comparison *comparison = context;
    return comparison->suspects.count > 0;
}

static enum copy_status judge_suspects(void *context)
{
    struct comparison *comparison = context;
    enum copy_status status =
        judge_keys(comparison->pair, &comparison->suspects, &comparison->verifier->findings);
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
    if (status == COPY_OK) {
        status = extra_find(pair, &verifier->over_copy, &verifier->tally.keys_on_copy,
                            &verifier->findings);
    }
    return status;
}
