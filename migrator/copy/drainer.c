#include "migrator/copy/drainer.h"

#include "migrator/copy/change.h"
#include "migrator/copy/compare.h"

/* Marks of one pass, the sentinel among them. SRANDMEMBER's choice also means that a key that is
 * written all the time cannot keep the others waiting. It is cheap where it is all there are, and
 * copies the set where it is not much less. */
#define PASS_MARKS "1025"

/* What one group's comparison asks for. */
struct verdict {
    struct key_choice behind; /* apply with the number that was read */
    /* Not behind: a new number first, then behind in the next pass. Model: NOBUMP. */
    struct key_choice unequal;
    struct key_choice done; /* clear */
};

static void judge(const struct copy_pair *pair, const struct state_both *both,
                  struct key_list *unread, struct verdict *verdict)
{
    const struct state_group *authority = &both->authority;
    const struct state_group *copy = &both->copy;
    verdict->behind.group = verdict->unequal.group = verdict->done.group = authority;
    verdict->behind.count = verdict->unequal.count = verdict->done.count = 0;
    for (size_t i = 0; i < authority->keys.count; i++) {
        struct slice key = key_list_at(authority->keys.list, authority->keys.first + i);
        if (!pair_has_key(pair, key)) {
            /* A script has written it beside its own keys: of another slot, so no concern of ours.
             */
            key_choice_add(&verdict->done, i);
        } else if (state_both_unread_at(both, i)) {
            key_list_add(unread, key);
        } else if (groups_verified_at(authority, copy, i, pair->max_skew_ms)) {
            key_choice_add(&verdict->done, i);
        } else if (copy->states[i].number < authority->states[i].number) {
            key_choice_add(&verdict->behind, i);
        } else {
            key_choice_add(&verdict->unequal, i);
        }
    }
}

static void tell_unequal(const struct copy_pair *pair, const struct key_choice *unequal)
{
    const struct key_group *keys = &unequal->group->keys;
    for (unsigned i = 0; i < unequal->count && pair->hooks->troubled != NULL; i++) {
        pair->hooks->troubled(pair->hooks->context,
                              key_list_at(keys->list, keys->first + unequal->places[i]),
                              "unequal though not behind");
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
    struct copy_outcome applied =
        pair_keep(pair, change_take_apply(pair, &verdict->behind, &drain->troubled));
    struct copy_outcome renumbered = pair_keep(pair, change_take_renumber(pair, &verdict->unequal));
    enum copy_status cleared =
        pair_first(pair, &renumbered, change_take_clear(pair, &verdict->done, &drain->cleared));
    if (applied.status != COPY_OK) {
        return pair_first(pair, &applied, cleared);
    }
    drain->repaired += verdict->behind.count;
    drain->renumbered += verdict->unequal.count;
    drain->troubled += verdict->unequal.count;
    tell_unequal(pair, &verdict->unequal);
    return cleared;
}

/* `unread` grows by the keys that only READ_ALL can tell of. */
static enum copy_status drain_group(struct copy_pair *pair, const struct key_group *keys,
                                    enum state_reading reading, struct key_list *unread,
                                    struct drain *drain)
{
    struct state_both both = {.authority = {.are_marked = true}};
    struct verdict verdict;
    enum copy_status status = state_append_both(pair, reading, keys, &both);
    status = status == COPY_OK ? state_take_both(pair, &both) : status;
    if (status == COPY_OK) {
        judge(pair, &both, unread, &verdict);
        if (verdict.behind.count > 0 && !pair_has_room(pair)) {
            /* The others' marks can be cleared all the same. */
            drain->troubled += verdict.behind.count;
            verdict.behind.count = 0;
        }
        status = carry_out(pair, &verdict, drain);
    }
    state_both_free(&both);
    return status;
}

/* Fence, sentinel, number of marks and some of them, as they are at one moment: a set that lost its
 * sentinel is lost, not empty, however few members it has. */
static void append_pick(struct copy_pair *pair)
{
    struct shard_link *link = pair->authority.link;
    struct slice dirty = slice_of(pair->names.dirty);
    struct slice multi = SLICE("MULTI");
    struct slice exec = SLICE("EXEC");
    struct slice fence[] = {SLICE("HMGET"), SLICE(METADATA_FENCE), SLICE("run_id"),
                            SLICE("replid")};
    struct slice sentinel[] = {SLICE("SISMEMBER"), dirty, SLICE(METADATA_SENTINEL)};
    struct slice count[] = {SLICE("SCARD"), dirty};
    struct slice pick[] = {SLICE("SRANDMEMBER"), dirty, SLICE(PASS_MARKS)};
    shard_append(link, &multi, 1);
    shard_append(link, fence, 4);
    shard_append(link, sentinel, 3);
    shard_append(link, count, 2);
    shard_append(link, pick, 3);
    shard_append(link, &exec, 1);
}

static struct shard_reply *take_pick(struct copy_pair *pair)
{
    bool ok = true;
    for (unsigned i = 0; i < 5; i++) { /* MULTI and four QUEUED */
        struct shard_reply *reply = pair_take(pair, false, "MULTI");
        ok = reply != NULL && ok;
        shard_reply_free(reply);
        if (shard_is_broken(pair->authority.link)) {
            return NULL;
        }
    }
    struct copy_failure first = pair->failure;
    struct shard_reply *exec = pair_take(pair, false, "EXEC");
    if (!ok) {
        shard_reply_free(exec);
        pair->failure = first;
        return NULL;
    }
    return exec;
}

static enum copy_status read_pick(struct copy_pair *pair, const struct shard_reply *exec,
                                  struct key_list *keys, uint64_t *marks)
{
    const struct shard_reply *fence = shard_reply_at(exec, 0);
    const struct copy_side *side = &pair->authority;
    struct error err;
    if (!slice_equal(shard_reply_text(shard_reply_at(fence, 0)),
                     slice_of(side->identity->run_id)) ||
        !slice_equal(shard_reply_text(shard_reply_at(fence, 1)),
                     slice_of(side->identity->replid))) {
        (void)error_set(&err, "%s: the fence is absent or names another process",
                        shard_address(side->link));
        return pair_fail(pair, false, FENCE_UNFENCED, &err);
    }
    int64_t members = shard_reply_integer(shard_reply_at(exec, 2));
    if (shard_reply_integer(shard_reply_at(exec, 1)) != 1 || members < 1) {
        (void)error_set(&err, "%s: LOST %s", shard_address(side->link), pair->names.dirty);
        return pair_fail(pair, false, FENCE_LOST, &err);
    }
    *marks = (uint64_t)members - 1;
    const struct shard_reply *picked = shard_reply_at(exec, 3);
    for (size_t i = 0; i < shard_reply_count(picked); i++) {
        struct slice key = shard_reply_text(shard_reply_at(picked, i));
        if (!slice_equal(key, SLICE(METADATA_SENTINEL))) {
            key_list_add(keys, key);
        }
    }
    return COPY_OK;
}

static enum copy_status pick_marks(struct copy_pair *pair, struct key_list *keys, uint64_t *marks)
{
    append_pick(pair);
    if (pair_flush(pair, false) != COPY_OK) {
        return COPY_FAILED;
    }
    struct shard_reply *exec = take_pick(pair);
    enum copy_status status = exec != NULL ? read_pick(pair, exec, keys, marks) : COPY_FAILED;
    shard_reply_free(exec);
    return status;
}

static enum copy_status drain_keys(struct copy_pair *pair, const struct key_list *keys,
                                   enum state_reading reading, struct key_list *unread,
                                   struct drain *drain)
{
    enum copy_status status = COPY_OK;
    size_t next = 0;
    while (status == COPY_OK && next < keys->count) {
        struct key_group group = state_next_group(pair, reading, keys, next);
        next += group.count;
        status = drain_group(pair, &group, reading, unread, drain);
        if (status == COPY_OK) {
            status = pair_check(pair);
        }
    }
    return status;
}

enum copy_status drain_pass(struct copy_pair *pair, struct drain *drain)
{
    struct key_list keys;
    struct key_list unread;
    uint64_t marks = 0;
    uint64_t cleared_before = drain->cleared;
    drain->troubled = 0;
    key_list_init(&keys);
    key_list_init(&unread);
    enum copy_status status = pair_check(pair);
    if (status == COPY_OK) {
        status = pick_marks(pair, &keys, &marks);
    }
    if (status == COPY_OK) {
        status = drain_keys(pair, &keys, READ_STRINGS, &unread, drain);
    }
    if (status == COPY_OK) {
        status = drain_keys(pair, &unread, READ_ALL, NULL, drain);
    }
    key_list_fini(&unread);
    key_list_fini(&keys);
    uint64_t cleared = drain->cleared - cleared_before;
    drain->remaining = marks > cleared ? marks - cleared : marks > 0 ? 1 : 0;
    return status;
}
