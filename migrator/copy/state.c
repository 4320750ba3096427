#include "migrator/copy/state.h"

#include "lib/base/assert.h"
#include "lib/base/number.h"

#define WORDS_MAX 4

static void append_words(struct shard_link *link, unsigned argc, const char *command,
                         const char *name, struct slice word)
{
    struct slice argv[WORDS_MAX] = {slice_of(command), slice_of(name), word};
    shard_append(link, argv, argc);
}

/* The commands before those of the keys. */
static unsigned append_proof(struct shard_link *link, const struct metadata_names *names,
                             bool on_copy)
{
    struct slice fence[] = {SLICE("HMGET"), SLICE(METADATA_FENCE), SLICE("run_id"),
                            SLICE("replid")};
    struct slice time = SLICE("TIME");
    shard_append(link, fence, 4);
    shard_append(link, &time, 1);
    append_words(link, 3, "HEXISTS", on_copy ? names->ver : names->seq, SLICE(METADATA_SENTINEL));
    if (on_copy) {
        return 3;
    }
    append_words(link, 3, "SISMEMBER", names->dirty, SLICE(METADATA_SENTINEL));
    return 4;
}

static unsigned append_key(struct shard_link *link, const struct metadata_names *names,
                           bool on_copy, struct slice key)
{
    struct slice dump[] = {SLICE("DUMP"), key};
    struct slice expiry[] = {SLICE("PEXPIRETIME"), key};
    shard_append(link, dump, 2);
    shard_append(link, expiry, 2);
    append_words(link, 3, "HGET", on_copy ? names->ver : names->seq, key);
    if (on_copy) {
        return 3;
    }
    append_words(link, 3, "SISMEMBER", names->dirty, key);
    return 4;
}

void state_append(struct copy_pair *pair, bool on_copy, const struct key_group *keys)
{
    struct shard_link *link = pair_side(pair, on_copy)->link;
    struct slice multi = SLICE("MULTI");
    struct slice exec = SLICE("EXEC");
    shard_append(link, &multi, 1);
    (void)append_proof(link, &pair->names, on_copy);
    for (size_t i = 0; i < keys->count; i++) {
        (void)append_key(link, &pair->names, on_copy, key_list_at(keys->list, keys->first + i));
    }
    shard_append(link, &exec, 1);
}

void state_group_free(struct state_group *group)
{
    shard_reply_free(group->reply);
    group->reply = NULL;
}

static bool slice_is(struct slice text, const char *expected)
{
    return slice_equal(text, slice_of(expected));
}

/* Fence, clock and sentinels; `next` moves behind them. */
static enum copy_status check_proof(struct copy_pair *pair, bool on_copy, struct state_group *group,
                                    size_t *next)
{
    const struct shard_reply *exec = group->reply;
    const struct copy_side *side = pair_side(pair, on_copy);
    const struct shard_reply *fence = shard_reply_at(exec, 0);
    struct error err;
    if (!slice_is(shard_reply_text(shard_reply_at(fence, 0)), side->identity->run_id) ||
        !slice_is(shard_reply_text(shard_reply_at(fence, 1)), side->identity->replid)) {
        (void)error_set(&err, "%s: the fence is absent or names another process",
                        shard_address(side->link));
        return pair_fail(pair, on_copy, FENCE_UNFENCED, &err);
    }
    uint64_t seconds = 0;
    uint64_t micros = 0;
    const struct shard_reply *time = shard_reply_at(exec, 1);
    if (!number_parse_u64(shard_reply_text(shard_reply_at(time, 0)), &seconds) ||
        !number_parse_u64(shard_reply_text(shard_reply_at(time, 1)), &micros)) {
        (void)error_set(&err, "%s: TIME answered no time", shard_address(side->link));
        return pair_fail(pair, on_copy, FENCE_FAILED, &err);
    }
    group->time_ms = seconds * 1000 + micros / 1000;
    bool is_there = shard_reply_integer(shard_reply_at(exec, 2)) == 1 &&
                    (on_copy || shard_reply_integer(shard_reply_at(exec, 3)) == 1);
    *next = on_copy ? 3 : 4;
    if (!is_there) {
        (void)error_set(&err, "%s: LOST %s", shard_address(side->link),
                        on_copy ? pair->names.ver : pair->names.seq);
        return pair_fail(pair, on_copy, FENCE_LOST, &err);
    }
    return COPY_OK;
}

static enum copy_status bad_element(struct copy_pair *pair, bool on_copy,
                                    const struct shard_reply *element)
{
    struct error err;
    struct slice text = shard_reply_text(element);
    (void)error_set(&err, "%s: reading a key's state: %.*s",
                    shard_address(pair_side(pair, on_copy)->link), (int)text.len, text.data);
    return pair_fail(pair, on_copy, FENCE_FAILED, &err);
}

static enum copy_status parse_key(struct copy_pair *pair, bool on_copy,
                                  const struct shard_reply *exec, size_t *next,
                                  struct key_state *state)
{
    size_t words = on_copy ? 3 : 4;
    for (size_t i = 0; i < words; i++) {
        const struct shard_reply *element = shard_reply_at(exec, *next + i);
        if (shard_reply_type(element) == REPLY_ERROR) {
            return bad_element(pair, on_copy, element);
        }
    }
    const struct shard_reply *dump = shard_reply_at(exec, *next);
    const struct shard_reply *number = shard_reply_at(exec, *next + 2);
    *state = (struct key_state){.exists = shard_reply_type(dump) == REPLY_BULK,
                                .payload = shard_reply_text(dump),
                                .expires_ms = shard_reply_integer(shard_reply_at(exec, *next + 1)),
                                .has_number = shard_reply_type(number) == REPLY_BULK};
    state->is_marked = !on_copy && shard_reply_integer(shard_reply_at(exec, *next + 3)) == 1;
    if (state->has_number && !number_parse_u64(shard_reply_text(number), &state->number)) {
        return bad_element(pair, on_copy, number);
    }
    *next += words;
    return COPY_OK;
}

static enum copy_status parse_group(struct copy_pair *pair, bool on_copy, struct state_group *group)
{
    size_t next = 0;
    size_t words = on_copy ? 3 : 4;
    struct error err;
    if (shard_reply_count(group->reply) != words * (group->keys.count + 1)) {
        (void)error_set(&err, "%s: EXEC answered %zu elements",
                        shard_address(pair_side(pair, on_copy)->link),
                        shard_reply_count(group->reply));
        return pair_fail(pair, on_copy, FENCE_FAILED, &err);
    }
    enum copy_status status = check_proof(pair, on_copy, group, &next);
    for (size_t i = 0; status == COPY_OK && i < group->keys.count; i++) {
        status = parse_key(pair, on_copy, group->reply, &next, &group->states[i]);
    }
    return status;
}

enum copy_status state_take(struct copy_pair *pair, bool on_copy, const struct key_group *keys,
                            struct state_group *group)
{
    ASSERT(group->reply == NULL);
    group->keys = *keys;
    size_t queued = (on_copy ? 3 : 4) * (keys->count + 1);
    enum copy_status status = COPY_OK;
    /* MULTI's OK and a QUEUED for each; all are taken even after an error, to stay in step. */
    for (size_t i = 0; i < queued + 1; i++) {
        struct shard_reply *reply = pair_take(pair, on_copy, "MULTI");
        if (reply == NULL) {
            status = COPY_FAILED;
            if (shard_is_broken(pair_side(pair, on_copy)->link)) {
                return status;
            }
        }
        shard_reply_free(reply);
    }
    struct copy_failure first = pair->failure;
    group->reply = pair_take(pair, on_copy, "EXEC");
    if (status != COPY_OK) {
        pair->failure = first; /* EXECABORT says less than the error before it. */
        return status;
    }
    return group->reply != NULL ? parse_group(pair, on_copy, group) : COPY_FAILED;
}

enum copy_status state_read_both(struct copy_pair *pair, const struct key_group *keys,
                                 struct state_group *authority, struct state_group *copy)
{
    state_append(pair, true, keys);
    if (pair_flush(pair, true) != COPY_OK) {
        return COPY_FAILED;
    }
    state_append(pair, false, keys);
    if (pair_flush(pair, false) != COPY_OK) {
        return COPY_FAILED;
    }
    enum copy_status of_copy = state_take(pair, true, keys, copy);
    struct copy_failure failure = pair->failure;
    enum copy_status of_authority = state_take(pair, false, keys, authority);
    if (of_copy != COPY_OK) {
        pair->failure = failure;
        return of_copy;
    }
    return of_authority;
}
