#include "migrator/copy/drainer.h"

#include "migrator/copy/change.h"
#include "migrator/copy/compare.h"
#include "migrator/copy/scanner.h"

/* Marks of one pass, the sentinel among them. SRANDMEMBER's choice also means that a key that is
 * written all the time cannot keep the others waiting. */
#define PASS_MARKS "513"

/* What one group's comparison asks for. */
struct verdict {
    struct key_choice behind;  /* apply with the number that was read */
    struct key_choice unequal; /* not behind: a new number first, then behind in the next pass */
    struct key_choice done;    /* clear */
};

static void judge(const struct copy_pair *pair, const struct state_group *authority,
                  const struct state_group *copy, struct verdict *verdict)
{
    verdict->behind.group = verdict->unequal.group = verdict->done.group = authority;
    verdict->behind.count = verdict->unequal.count = verdict->done.count = 0;
    for (size_t i = 0; i < authority->keys.count; i++) {
        if (groups_verified_at(authority, copy, i, pair->max_skew_ms)) {
            key_choice_add(&verdict->done, i);
        } else if (copy->states[i].number < authority->states[i].number) {
            key_choice_add(&verdict->behind, i);
        } else {
            key_choice_add(&verdict->unequal, i);
        }
    }
}

static enum copy_status carry_out(struct copy_pair *pair, const struct verdict *verdict,
                                  struct drain *drain)
{
    change_append_apply(pair, &verdict->behind);
    change_append_renumber(pair, &verdict->unequal);
    change_append_clear(pair, &verdict->done);
    if (pair_flush(pair, true) != COPY_OK || pair_flush(pair, false) != COPY_OK) {
        return COPY_FAILED;
    }
    enum copy_status applied = change_take_apply(pair, &verdict->behind);
    struct copy_failure failure = pair->failure;
    enum copy_status renumbered = change_take_renumber(pair, &verdict->unequal);
    enum copy_status cleared = change_take_clear(pair, &verdict->done, &drain->cleared);
    if (applied != COPY_OK) {
        pair->failure = failure;
        return applied;
    }
    drain->repaired += verdict->behind.count;
    drain->renumbered += verdict->unequal.count;
    return renumbered != COPY_OK ? renumbered : cleared;
}

static enum copy_status drain_group(struct copy_pair *pair, const struct key_group *keys,
                                    struct drain *drain)
{
    struct state_group authority = {.reply = NULL};
    struct state_group copy = {.reply = NULL};
    struct verdict verdict;
    enum copy_status status = state_read_both(pair, keys, &authority, &copy);
    if (status == COPY_OK) {
        judge(pair, &authority, &copy, &verdict);
        status = carry_out(pair, &verdict, drain);
    }
    state_group_free(&authority);
    state_group_free(&copy);
    return status;
}

/* The number of marks beside the sentinel. The sentinel is looked for in the same MULTI: a set
 * without it is lost, not empty. */
static enum copy_status count_marks(struct copy_pair *pair, uint64_t *marks)
{
    struct key_list none;
    struct state_group proof = {.reply = NULL};
    key_list_init(&none);
    struct key_group keys = {&none, 0, 0};
    state_append(pair, false, &keys);
    struct slice argv[] = {SLICE("SCARD"), slice_of(pair->names.dirty)};
    shard_append(pair->authority.link, argv, 2);
    enum copy_status status = pair_flush(pair, false);
    if (status == COPY_OK) {
        status = state_take(pair, false, &keys, &proof);
    }
    struct copy_failure failure = pair->failure;
    struct shard_reply *reply =
        shard_is_broken(pair->authority.link) ? NULL : pair_take(pair, false, "SCARD");
    if (status != COPY_OK) {
        pair->failure = failure;
    } else if (reply == NULL) {
        status = COPY_FAILED;
    } else {
        int64_t members = shard_reply_integer(reply);
        *marks = members > 0 ? (uint64_t)members - 1 : 0;
    }
    shard_reply_free(reply);
    state_group_free(&proof);
    return status;
}

static enum copy_status pick_marks(struct copy_pair *pair, struct key_list *keys)
{
    struct slice argv[] = {SLICE("SRANDMEMBER"), slice_of(pair->names.dirty), SLICE(PASS_MARKS)};
    shard_append(pair->authority.link, argv, 3);
    if (pair_flush(pair, false) != COPY_OK) {
        return COPY_FAILED;
    }
    struct shard_reply *reply = pair_take(pair, false, "SRANDMEMBER");
    if (reply == NULL) {
        return COPY_FAILED;
    }
    for (size_t i = 0; i < shard_reply_count(reply); i++) {
        struct slice key = shard_reply_text(shard_reply_at(reply, i));
        if (!slice_equal(key, SLICE(METADATA_SENTINEL))) {
            key_list_add(keys, key, 0);
        }
    }
    shard_reply_free(reply);
    return COPY_OK;
}

enum copy_status drain_pass(struct copy_pair *pair, struct drain *drain)
{
    struct key_list keys;
    key_list_init(&keys);
    enum copy_status status = pair_check(pair);
    if (status == COPY_OK) {
        status = pick_marks(pair, &keys);
    }
    if (status == COPY_OK) {
        status = scanner_measure(pair, false, &keys);
    }
    size_t next = 0;
    while (status == COPY_OK && next < keys.count) {
        struct key_group group = key_list_group(&keys, next);
        next += group.count;
        status = drain_group(pair, &group, drain);
        if (status == COPY_OK) {
            status = pair_check(pair);
        }
    }
    key_list_fini(&keys);
    return status == COPY_OK ? count_marks(pair, &drain->remaining) : status;
}
