#include "migrator/copy/change.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/number.h"

#define NUMBER_TEXT 22
/* apply: fence, ver, keys; four words; three words a key. */
#define ARGUMENTS_MAX (6 + 4 * GROUP_KEYS_MAX)

/* The argument vector of a script, with room for the numbers in it. */
struct arguments {
    struct slice argv[ARGUMENTS_MAX];
    char numbers[2 * GROUP_KEYS_MAX + 2][NUMBER_TEXT];
    unsigned argc;
    unsigned nnumbers;
};

static void add(struct arguments *arguments, struct slice word)
{
    ASSERT(arguments->argc < ARGUMENTS_MAX);
    arguments->argv[arguments->argc++] = word;
}

static void add_number(struct arguments *arguments, int64_t number)
{
    char *text = arguments->numbers[arguments->nnumbers++];
    int length = snprintf(text, NUMBER_TEXT, "%lld", (long long)number);
    add(arguments, (struct slice){text, (size_t)length});
}

/* apply's words for it: of a value that is the string itself, they begin with an s. */
static void add_expiry(struct arguments *arguments, const struct key_state *state)
{
    int64_t expires_ms = state->exists ? state->expires_ms : -1;
    if (!state->is_string || !state->exists) {
        add_number(arguments, expires_ms);
        return;
    }
    char *text = arguments->numbers[arguments->nnumbers++];
    int length = snprintf(text, NUMBER_TEXT, "s%lld", (long long)expires_ms);
    add(arguments, (struct slice){text, (size_t)length});
}

static void add_identity(struct arguments *arguments, const struct shard_identity *identity)
{
    add(arguments, slice_of(identity->run_id));
    add(arguments, slice_of(identity->replid));
}

static struct slice key_at(const struct key_choice *choice, unsigned i)
{
    const struct key_group *keys = &choice->group->keys;
    return key_list_at(keys->list, keys->first + choice->places[i]);
}

static void add_keys(struct arguments *arguments, const struct key_choice *choice)
{
    for (unsigned i = 0; i < choice->count; i++) {
        add(arguments, key_at(choice, i));
    }
}

/* How many keys the script is told of. */
static unsigned begin_on_copy(struct arguments *arguments, const struct copy_pair *pair,
                              const struct key_choice *choice)
{
    arguments->argc = arguments->nnumbers = 0;
    add(arguments, SLICE(METADATA_FENCE));
    add(arguments, slice_of(pair->names.ver));
    add_keys(arguments, choice);
    unsigned nkeys = arguments->argc;
    add_identity(arguments, pair->copy.identity);
    add_number(arguments, (int64_t)pair->migration);
    add_number(arguments, (int64_t)pair->generation);
    return nkeys;
}

static const struct key_state *state_at(const struct key_choice *choice, unsigned i)
{
    return &choice->group->states[choice->places[i]];
}

void change_append_apply(struct copy_pair *pair, const struct key_choice *choice)
{
    if (choice->count == 0) {
        return;
    }
    struct arguments arguments;
    unsigned nkeys = begin_on_copy(&arguments, pair, choice);
    for (unsigned i = 0; i < choice->count; i++) {
        const struct key_state *state = state_at(choice, i);
        add_number(&arguments, (int64_t)state->number);
        add_expiry(&arguments, state);
        add(&arguments, state->payload);
    }
    shard_append_script(pair->copy.link, SCRIPT_APPLY, arguments.argv, arguments.argc, nkeys);
}

static enum copy_status take(struct copy_pair *pair, bool on_copy, const char *what,
                             const struct key_choice *choice, uint64_t *number)
{
    if (choice->count == 0) {
        return COPY_OK;
    }
    struct shard_reply *reply = pair_take(pair, on_copy, what);
    if (reply == NULL) {
        return COPY_FAILED;
    }
    *number = (uint64_t)shard_reply_integer(reply);
    shard_reply_free(reply);
    return COPY_OK;
}

/* The script goes on behind a key that RESTORE refuses. Such a key stays marked, and behind. */
static void tell_refused(const struct copy_pair *pair, const struct key_choice *choice,
                         unsigned place, struct slice text)
{
    struct error why;
    if (pair->hooks->troubled != NULL) {
        (void)error_set(&why, "%.*s", (int)text.len, text.data);
        pair->hooks->troubled(pair->hooks->context, key_at(choice, place), why.text);
    }
}

enum copy_status change_take_apply(struct copy_pair *pair, const struct key_choice *choice,
                                   uint64_t *refused)
{
    if (choice->count == 0) {
        return COPY_OK;
    }
    struct shard_reply *reply = pair_take(pair, true, "apply");
    if (reply == NULL) {
        return COPY_FAILED;
    }
    for (unsigned i = 0; i < choice->count && i < shard_reply_count(reply); i++) {
        const struct shard_reply *outcome = shard_reply_at(reply, i);
        if (shard_reply_type(outcome) == REPLY_ERROR) {
            tell_refused(pair, choice, i, shard_reply_text(outcome));
            *refused += 1;
        }
    }
    shard_reply_free(reply);
    return COPY_OK;
}

bool change_is_plain(const struct key_state *state)
{
    return state->exists && state->is_string && state->expires_ms < 0 && state->number == 0;
}

void change_append_fill(struct copy_pair *pair, const struct key_choice *choice)
{
    if (choice->count == 0) {
        return;
    }
    struct arguments arguments;
    unsigned nkeys = begin_on_copy(&arguments, pair, choice);
    for (unsigned i = 0; i < choice->count; i++) {
        add(&arguments, state_at(choice, i)->payload);
    }
    shard_append_script(pair->copy.link, SCRIPT_FILL, arguments.argv, arguments.argc, nkeys);
}

enum copy_status change_take_fill(struct copy_pair *pair, const struct key_choice *choice)
{
    uint64_t ignored = 0;
    return take(pair, true, "fill", choice, &ignored);
}

static void append_on_authority(struct copy_pair *pair, enum shard_script script,
                                struct arguments *arguments, unsigned nkeys)
{
    shard_append_script(pair->authority.link, script, arguments->argv, arguments->argc, nkeys);
}

void change_append_renumber(struct copy_pair *pair, const struct key_choice *choice)
{
    if (choice->count == 0) {
        return;
    }
    struct arguments arguments;
    arguments.argc = arguments.nnumbers = 0;
    add(&arguments, SLICE(METADATA_FENCE));
    add(&arguments, slice_of(pair->names.seq));
    add(&arguments, slice_of(pair->names.dirty));
    add_keys(&arguments, choice);
    unsigned nkeys = arguments.argc;
    add_identity(&arguments, pair->authority.identity);
    append_on_authority(pair, SCRIPT_RENUMBER, &arguments, nkeys);
}

enum copy_status change_take_renumber(struct copy_pair *pair, const struct key_choice *choice)
{
    uint64_t ignored = 0;
    return take(pair, false, "renumber", choice, &ignored);
}

void change_append_clear(struct copy_pair *pair, const struct key_choice *choice)
{
    if (choice->count == 0) {
        return;
    }
    struct arguments arguments;
    arguments.argc = arguments.nnumbers = 0;
    add(&arguments, SLICE(METADATA_FENCE));
    add(&arguments, slice_of(pair->names.seq));
    add(&arguments, slice_of(pair->names.dirty));
    unsigned nkeys = arguments.argc;
    add_identity(&arguments, pair->authority.identity);
    for (unsigned i = 0; i < choice->count; i++) {
        add(&arguments, key_at(choice, i));
        add_number(&arguments, (int64_t)state_at(choice, i)->number);
    }
    append_on_authority(pair, SCRIPT_CLEAR, &arguments, nkeys);
}

enum copy_status change_take_clear(struct copy_pair *pair, const struct key_choice *choice,
                                   uint64_t *cleared)
{
    uint64_t number = 0;
    enum copy_status status = take(pair, false, "clear", choice, &number);
    *cleared += number;
    return status;
}
