#include "migrator/copy/state.h"

#include "lib/base/assert.h"
#include "lib/base/number.h"

/* What comes before the values in EXEC's answer. */
enum {
    AT_FENCE,
    AT_TIME,
    AT_KEYSPACE,
    AT_NUMBERS, /* of the sentinel, then of each key */
    AT_MARKS    /* on the authority: of the sentinel, then of each key */
};

/* A group grows from the first size as long as its replies stay small. */
#define GROUP_KEYS_FIRST 16u
#define GROUP_GROWTH     2u
/* PEXPIRETIME's. */
#define NO_EXPIRY (-1)
#define NO_KEY    (-2)

struct key_group state_next_group(const struct copy_pair *pair, enum state_reading reading,
                                  const struct key_list *keys, size_t first)
{
    unsigned known = pair->habits->group_keys[reading];
    unsigned limit = known > 0 ? known : GROUP_KEYS_FIRST;
    unsigned most = pair_step(pair, GROUP_KEYS_MAX);
    limit = limit < most ? limit : most;
    return key_list_group(keys, first, limit);
}

/* SCAN meets keys in the order of their hashes, so sizes come mixed and a group tells of the next
 * one. */
static void learn_size(struct copy_pair *pair, const struct state_group *group)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < group->keys.count; i++) {
        bytes += group->states[i].payload.len;
    }
    uint64_t mean = bytes / group->keys.count + 1;
    uint64_t fit = GROUP_BYTES_MAX / mean > 0 ? GROUP_BYTES_MAX / mean : 1;
    unsigned *known = &pair->habits->group_keys[group->reading];
    uint64_t grown = group->keys.count * GROUP_GROWTH;
    uint64_t most = group->keys.count < *known ? *known : grown;
    most = most < GROUP_KEYS_FIRST ? GROUP_KEYS_FIRST : most;
    most = most < GROUP_KEYS_MAX ? most : GROUP_KEYS_MAX;
    *known = (unsigned)(fit < most ? fit : most);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void append_words(struct shard_link *link, const char *first, const char *second,
                         const char *third, const char *fourth)
{
    struct slice argv[4] = {slice_of(first)};
    const char *const words[] = {second, third, fourth};
    unsigned argc = 1;
    for (unsigned i = 0; i < 3 && words[i] != NULL; i++) {
        argv[argc++] = slice_of(words[i]);
    }
    shard_append(link, argv, argc);
}

/* COMMAND [name sentinel] k...; no keys: only of the sentinel */
static void append_of_all(struct shard_link *link, const char *command, const char *name,
                          const struct key_group *keys)
{
    struct slice argv[3 + GROUP_KEYS_MAX] = {slice_of(command)};
    unsigned argc = 1;
    if (name != NULL) {
        argv[argc++] = slice_of(name);
        argv[argc++] = SLICE(METADATA_SENTINEL);
    }
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        argv[argc++] = key_list_at(keys->list, keys->first + i);
    }
    shard_append(link, argv, argc);
}

static void append_of_each(struct shard_link *link, const char *command,
                           const struct key_group *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        struct slice argv[] = {slice_of(command), key_list_at(keys->list, keys->first + i)};
        shard_append(link, argv, 2);
    }
}

void state_append(struct copy_pair *pair, bool on_copy, enum state_reading reading,
                  const struct key_group *keys, struct state_group *group)
{
    struct shard_link *link = pair_side(pair, on_copy)->link;
    ASSERT(group->reply == NULL && keys->count > 0);
    group->keys = *keys;
    group->reading = reading;
    group->on_copy = on_copy;
    group->has_expiries = reading == READ_ALL || !pair->habits->has_no_expiries[on_copy];
    append_words(link, "MULTI", NULL, NULL, NULL);
    append_words(link, "HMGET", METADATA_FENCE, "run_id", "replid");
    append_words(link, "TIME", NULL, NULL, NULL);
    append_words(link, "INFO", "keyspace", NULL, NULL);
    append_of_all(link, "HMGET", on_copy ? pair->names.ver : pair->names.seq, keys);
    if (!on_copy) {
        append_of_all(link, "SMISMEMBER", pair->names.dirty, group->are_marked ? NULL : keys);
    }
    if (reading == READ_STRINGS) {
        append_of_all(link, "MGET", NULL, keys);
    } else {
        append_of_each(link, "DUMP", keys);
    }
    if (group->has_expiries) {
        append_of_each(link, "PEXPIRETIME", keys);
    }
    append_words(link, "EXEC", NULL, NULL, NULL);
}

/* How many commands stand between MULTI and EXEC. */
static size_t queued(const struct state_group *group)
{
    size_t head = group->on_copy ? AT_MARKS : AT_MARKS + 1;
    size_t values = group->reading == READ_STRINGS ? 1 : group->keys.count;
    return head + values + (group->has_expiries ? group->keys.count : 0);
}

void state_group_free(struct state_group *group)
{
    shard_reply_free(group->reply);
    group->reply = NULL;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum copy_status bad_reply(struct copy_pair *pair, const struct state_group *group,
                                  struct slice text)
{
    struct error err;
    (void)error_set(&err, "%s: reading keys' states: %.*s",
                    shard_address(pair_side(pair, group->on_copy)->link), (int)text.len, text.data);
    return pair_fail(pair, group->on_copy, FENCE_FAILED, &err);
}

static bool slice_is(struct slice text, const char *expected)
{
    return slice_equal(text, slice_of(expected));
}

/* An error among the elements (WRONGTYPE of metadata, a refused command), or null. */
static const struct shard_reply *first_error(const struct shard_reply *exec)
{
    for (size_t i = 0; i < shard_reply_count(exec); i++) {
        if (shard_reply_type(shard_reply_at(exec, i)) == REPLY_ERROR) {
            return shard_reply_at(exec, i);
        }
    }
    return NULL;
}

static enum copy_status check_shape(struct copy_pair *pair, const struct state_group *group)
{
    const struct shard_reply *exec = group->reply;
    size_t each = group->keys.count + 1;
    if (shard_reply_count(exec) != queued(group)) {
        return bad_reply(pair, group, SLICE("EXEC answered another number of elements"));
    }
    const struct shard_reply *error = first_error(exec);
    if (error != NULL) {
        return bad_reply(pair, group, shard_reply_text(error));
    }
    if (shard_reply_count(shard_reply_at(exec, AT_FENCE)) != 2 ||
        shard_reply_count(shard_reply_at(exec, AT_TIME)) != 2 ||
        shard_reply_count(shard_reply_at(exec, AT_NUMBERS)) != each ||
        (!group->on_copy &&
         shard_reply_count(shard_reply_at(exec, AT_MARKS)) != (group->are_marked ? 1 : each)) ||
        (group->reading == READ_STRINGS &&
         shard_reply_count(shard_reply_at(exec, group->on_copy ? AT_MARKS : AT_MARKS + 1)) !=
             group->keys.count)) {
        return bad_reply(pair, group, SLICE("an element has another number of values"));
    }
    return COPY_OK;
}

static enum copy_status read_time(struct copy_pair *pair, struct state_group *group)
{
    uint64_t seconds = 0;
    uint64_t micros = 0;
    const struct shard_reply *time = shard_reply_at(group->reply, AT_TIME);
    if (!number_parse_u64(shard_reply_text(shard_reply_at(time, 0)), &seconds) ||
        !number_parse_u64(shard_reply_text(shard_reply_at(time, 1)), &micros)) {
        return bad_reply(pair, group, SLICE("TIME answered no time"));
    }
    group->time_ms = seconds * 1000 + micros / 1000;
    return COPY_OK;
}

/* The fence and the sentinels. */
static enum copy_status check_proof(struct copy_pair *pair, const struct state_group *group)
{
    const struct shard_reply *exec = group->reply;
    const struct copy_side *side = pair_side(pair, group->on_copy);
    const struct shard_reply *fence = shard_reply_at(exec, AT_FENCE);
    struct error err;
    if (!slice_is(shard_reply_text(shard_reply_at(fence, 0)), side->identity->run_id) ||
        !slice_is(shard_reply_text(shard_reply_at(fence, 1)), side->identity->replid)) {
        (void)error_set(&err, "%s: the fence is absent or names another process",
                        shard_address(side->link));
        return pair_fail(pair, group->on_copy, FENCE_UNFENCED, &err);
    }
    bool has_numbers =
        shard_reply_type(shard_reply_at(shard_reply_at(exec, AT_NUMBERS), 0)) == REPLY_BULK;
    bool has_marks = group->on_copy ||
                     shard_reply_integer(shard_reply_at(shard_reply_at(exec, AT_MARKS), 0)) == 1;
    if (!has_numbers || !has_marks) {
        (void)error_set(&err, "%s: LOST %s", shard_address(side->link),
                        group->on_copy ? pair->names.ver
                        : has_numbers  ? pair->names.dirty
                                       : pair->names.seq);
        return pair_fail(pair, group->on_copy, FENCE_LOST, &err);
    }
    return COPY_OK;
}

/* Whether database 0 has no key with an expiry: "db0:keys=9,expires=0,avg_ttl=0", or no such line
 * where it has no keys. */
static bool has_no_expiries(struct slice keyspace)
{
    const struct slice line = SLICE("\ndb0:");
    const struct slice field = SLICE(",expires=0,");
    const char *found = memmem(keyspace.data, keyspace.len, line.data, line.len);
    if (found == NULL) {
        return true;
    }
    size_t left = keyspace.len - (size_t)(found - keyspace.data);
    const char *end = memchr(found + 1, '\n', left - 1);
    return memmem(found, end != NULL ? (size_t)(end - found) : left, field.data, field.len) != NULL;
}

/* The number and the mark of one key. */
static bool read_marks(const struct state_group *group, size_t i, struct key_state *state)
{
    const struct shard_reply *exec = group->reply;
    const struct shard_reply *number = shard_reply_at(shard_reply_at(exec, AT_NUMBERS), i + 1);
    state->is_marked =
        !group->on_copy &&
        (group->are_marked ||
         shard_reply_integer(shard_reply_at(shard_reply_at(exec, AT_MARKS), i + 1)) == 1);
    return shard_reply_type(number) != REPLY_BULK ||
           number_parse_u64(shard_reply_text(number), &state->number);
}

/* `is_expiry_known`: asked for, or there is none on the whole shard. */
static void read_value(const struct state_group *group, size_t i, bool is_expiry_known,
                       struct key_state *state)
{
    const struct shard_reply *exec = group->reply;
    size_t at = group->on_copy ? AT_MARKS : AT_MARKS + 1;
    bool is_quick = group->reading == READ_STRINGS;
    const struct shard_reply *value =
        is_quick ? shard_reply_at(shard_reply_at(exec, at), i) : shard_reply_at(exec, at + i);
    size_t expiries_at = at + (is_quick ? 1 : group->keys.count);
    state->expires_ms = NO_EXPIRY;
    if (group->has_expiries) {
        state->expires_ms = shard_reply_integer(shard_reply_at(exec, expiries_at + i));
    }
    /* A key can expire between the two. */
    state->exists = shard_reply_type(value) == REPLY_BULK && state->expires_ms != NO_KEY;
    state->is_string = is_quick;
    state->is_unread = is_quick && (!state->exists || !is_expiry_known);
    state->payload = state->exists ? shard_reply_text(value) : (struct slice){"", 0};
}

static enum copy_status parse_group(struct copy_pair *pair, struct state_group *group)
{
    enum copy_status status = check_shape(pair, group);
    status = status == COPY_OK ? check_proof(pair, group) : status;
    status = status == COPY_OK ? read_time(pair, group) : status;
    if (status != COPY_OK) {
        return status;
    }
    bool is_without = has_no_expiries(shard_reply_text(shard_reply_at(group->reply, AT_KEYSPACE)));
    pair->habits->has_no_expiries[group->on_copy] = is_without;
    bool is_expiry_known = group->has_expiries || is_without;
    for (size_t i = 0; i < group->keys.count; i++) {
        struct key_state *state = &group->states[i];
        *state = (struct key_state){.number = 0};
        if (!read_marks(group, i, state)) {
            return bad_reply(pair, group, SLICE("a key's number is none"));
        }
        read_value(group, i, is_expiry_known, state);
    }
    learn_size(pair, group);
    return COPY_OK;
}

enum copy_status state_take(struct copy_pair *pair, struct state_group *group)
{
    enum copy_status status = COPY_OK;
    ASSERT(group->reply == NULL);
    /* MULTI's OK and a QUEUED for each; all are taken even after an error, to stay in step. */
    for (size_t i = 0; i < queued(group) + 1; i++) {
        struct shard_reply *reply = pair_take(pair, group->on_copy, "MULTI");
        if (reply == NULL) {
            status = COPY_FAILED;
            if (shard_is_broken(pair_side(pair, group->on_copy)->link)) {
                return status;
            }
        }
        shard_reply_free(reply);
    }
    struct copy_failure first = pair->failure;
    group->reply = pair_take(pair, group->on_copy, "EXEC");
    if (status != COPY_OK) {
        pair->failure = first; /* EXECABORT says less than the error before it. */
        return status;
    }
    return group->reply != NULL ? parse_group(pair, group) : COPY_FAILED;
}

/* --- both sides ------------------------------------------------------------------------------- */

enum copy_status state_append_both(struct copy_pair *pair, enum state_reading reading,
                                   const struct key_group *keys, struct state_both *both)
{
    state_append(pair, true, reading, keys, &both->copy);
    state_append(pair, false, reading, keys, &both->authority);
    struct copy_outcome of_copy = pair_keep(pair, pair_flush(pair, true));
    return pair_first(pair, &of_copy, pair_flush(pair, false));
}

enum copy_status state_take_both(struct copy_pair *pair, struct state_both *both)
{
    struct copy_outcome of_copy = pair_keep(pair, state_take(pair, &both->copy));
    return pair_first(pair, &of_copy, state_take(pair, &both->authority));
}

bool state_both_unread_at(const struct state_both *both, size_t i)
{
    return both->authority.states[i].is_unread || both->copy.states[i].is_unread;
}

void state_both_free(struct state_both *both)
{
    state_group_free(&both->authority);
    state_group_free(&both->copy);
}
