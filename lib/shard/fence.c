#include "lib/shard/fence.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

enum fence_outcome fence_outcome_of(struct slice error_text)
{
    static const struct {
        struct slice word;
        enum fence_outcome outcome;
    } words[] = {
        {{"UNFENCED", 8}, FENCE_UNFENCED}, {{"STALE", 5}, FENCE_STALE},
        {{"FENCED", 6}, FENCE_STALE},      {{"LOST", 4}, FENCE_LOST},
        {{"EVICTED", 7}, FENCE_LOST},      {{"OOM", 3}, FENCE_OOM},
    };
    struct slice first = {error_text.data, 0};
    while (first.len < error_text.len && error_text.data[first.len] != ' ') {
        first.len++;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_equal(first, words[i].word)) {
            return words[i].outcome;
        }
    }
    return FENCE_FAILED;
}

/* --- calling a script ------------------------------------------------------ */

/* KEYS and ARGV of one call, with room for the numbers' digits. */
struct call {
    struct slice words[16];
    unsigned count;
    unsigned nkeys;
    char digits[5][24];
    unsigned numbers;
};

static void add_word(struct call *call, struct slice word)
{
    call->words[call->count++] = word;
}

static void add_key(struct call *call, const char *key)
{
    add_word(call, slice_of(key));
    call->nkeys++;
}

static void add_number(struct call *call, uint64_t number)
{
    char *digits = call->digits[call->numbers++];
    add_word(call, (struct slice){digits, number_format_u64(digits, number)});
}

static void add_identity(struct call *call, const struct shard_identity *identity)
{
    add_word(call, slice_of(identity->run_id));
    add_word(call, slice_of(identity->replid));
}

/* Runs it. *reply, unless null, is the caller's when the result is FENCE_OK. */
static enum fence_outcome run(struct shard_link *link, enum shard_script script, const char *name,
                              const struct call *call, struct shard_reply **reply,
                              struct error *err)
{
    struct error failure;
    struct shard_reply *answer =
        shard_script(link, script, call->words, call->count, call->nkeys, &failure);
    if (answer == NULL) {
        enum fence_outcome outcome = fence_outcome_of(slice_of(failure.text));
        (void)error_set(err, "%s: script %s: %s", shard_address(link), name, failure.text);
        return outcome;
    }
    if (reply != NULL) {
        *reply = answer;
    } else {
        shard_reply_free(answer);
    }
    return FENCE_OK;
}

/* --- the fence -------------------------------------------------------------- */

static bool copy_field(const struct shard_reply *fields, size_t index, char *text, size_t size)
{
    struct slice value = shard_reply_text(shard_reply_at(fields, index));
    if (value.len >= size) {
        return false;
    }
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return true;
}

static bool parse_fence(const struct shard_reply *fields, struct fence_state *state)
{
    struct slice pruned = shard_reply_text(shard_reply_at(fields, 5));
    return shard_reply_count(fields) == 6 &&
           (pruned.len == 0 || number_parse_u64(pruned, &state->pruned)) &&
           copy_field(fields, 0, state->cluster, sizeof(state->cluster)) &&
           copy_field(fields, 1, state->shard, sizeof(state->shard)) &&
           copy_field(fields, 2, state->identity.run_id, sizeof(state->identity.run_id)) &&
           copy_field(fields, 3, state->identity.replid, sizeof(state->identity.replid)) &&
           number_parse_u64(shard_reply_text(shard_reply_at(fields, 4)), &state->epoch);
}

bool fence_read(struct shard_link *link, struct fence_state *state, struct error *err)
{
    *state = (struct fence_state){0};
    struct shard_reply *fields = shard_commandf(
        link, err, "HMGET " METADATA_FENCE " cluster shard run_id replid epoch pruned");
    if (fields == NULL) {
        return false;
    }
    bool is_good = true;
    if (shard_reply_count(fields) == 6 &&
        shard_reply_type(shard_reply_at(fields, 0)) != REPLY_NIL) {
        state->exists = true;
        is_good = parse_fence(fields, state);
    }
    shard_reply_free(fields);
    if (!is_good) {
        return error_set(err,
                         "%s: the hash " METADATA_FENCE " is not one that this program wrote: "
                         "look at it with HGETALL",
                         shard_address(link));
    }
    return true;
}

/* "guard:<migration>" with "<generation>:<state>"; false for any other field. */
static bool parse_guard(struct slice name, struct slice value, struct guard_record *guard)
{
    const struct slice prefix = SLICE("guard:");
    const char *colon = value.len > 0 ? memchr(value.data, ':', value.len) : NULL;
    uint64_t state;
    if (!slice_starts_with(name, prefix) || colon == NULL) {
        return false;
    }
    size_t digits = (size_t)(colon - value.data);
    bool is_guard = number_parse_u64((struct slice){name.data + prefix.len, name.len - prefix.len},
                                     &guard->migration) &&
                    number_parse_u64((struct slice){value.data, digits}, &guard->generation) &&
                    number_parse_u64((struct slice){colon + 1, value.len - digits - 1}, &state);
    guard->state = is_guard ? (enum guard_state)state : GUARD_OPEN;
    return is_guard;
}

bool fence_guards(struct shard_link *link, struct guard_record **guards, unsigned *count,
                  struct error *err)
{
    struct shard_reply *fields = shard_commandf(link, err, "HGETALL " METADATA_FENCE);
    *guards = NULL;
    *count = 0;
    if (fields == NULL) {
        return false;
    }
    size_t nfields = shard_reply_count(fields);
    *guards = mem_alloc((nfields / 2 + 1) * sizeof(**guards));
    for (size_t i = 0; i + 1 < nfields; i += 2) {
        struct slice name = shard_reply_text(shard_reply_at(fields, i));
        *count +=
            parse_guard(name, shard_reply_text(shard_reply_at(fields, i + 1)), &(*guards)[*count]);
    }
    shard_reply_free(fields);
    return true;
}

static bool kill_type(struct shard_link *link, const char *type, struct error *err)
{
    struct shard_reply *reply = shard_commandf(link, err, "CLIENT KILL TYPE %s SKIPME yes", type);
    bool done = reply != NULL;
    shard_reply_free(reply);
    return done;
}

bool fence_kill_everybody(struct shard_link *link, struct error *err)
{
    return kill_type(link, "normal", err) && kill_type(link, "pubsub", err);
}

enum fence_outcome fence_write(struct shard_link *link, enum fence_write_mode mode,
                               const char *cluster, const char *shard, uint64_t epoch,
                               struct error *err)
{
    static const char *const modes[] = {
        [FENCE_WRITE_FIRST] = "first",
        [FENCE_WRITE_TAKEOVER] = "takeover",
        [FENCE_WRITE_ACCEPT] = "accept",
    };
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    add_identity(&call, shard_link_identity(link));
    add_word(&call, slice_of(modes[mode]));
    add_word(&call, slice_of(cluster));
    add_word(&call, slice_of(shard));
    add_number(&call, epoch);
    return run(link, SCRIPT_WRITE_FENCE, "write_fence", &call, NULL, err);
}

static void append_kills(struct shard_link *link)
{
    shard_appendf(link, "CLIENT KILL TYPE normal SKIPME yes");
    shard_appendf(link, "CLIENT KILL TYPE pubsub SKIPME yes");
}

/* Null when the connection broke. */
static struct shard_reply *take_nth(struct shard_link *link, unsigned n, struct error *err)
{
    struct shard_reply *reply = NULL;
    for (unsigned i = 0; i < n; i++) {
        shard_reply_free(reply);
        reply = shard_take(link, err);
        if (reply == NULL) {
            return NULL;
        }
    }
    return reply;
}

/* A pause holds scripts, ours too. What it held of others goes with their connections, so that
 * nothing runs between its end and the closing; all of it goes in one piece. Who is killed last
 * came while the first were. */
enum fence_outcome fence_close(struct shard_link *link, uint64_t seen, uint64_t epoch,
                               struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    add_identity(&call, shard_link_identity(link));
    add_number(&call, seen);
    add_number(&call, epoch);
    if (!shard_load_script(link, SCRIPT_CLOSE_FENCE, err)) {
        return FENCE_FAILED;
    }
    append_kills(link);
    shard_appendf(link, "CLIENT UNPAUSE"); /* without the right to it there was none of ours */
    shard_append_script(link, SCRIPT_CLOSE_FENCE, call.words, call.count, call.nkeys);
    append_kills(link);
    struct shard_reply *closed = take_nth(link, 4, err);
    struct shard_reply *killed = closed != NULL ? take_nth(link, 2, err) : NULL;
    enum fence_outcome outcome = killed != NULL ? FENCE_OK : FENCE_FAILED;
    if (killed != NULL && shard_reply_type(closed) == REPLY_ERROR) {
        struct slice why = shard_reply_text(closed);
        outcome = fence_outcome_of(why);
        (void)error_set(err, "%s: script close_fence: %.*s", shard_address(link), (int)why.len,
                        why.data);
    }
    shard_reply_free(closed);
    shard_reply_free(killed);
    return outcome;
}

/* --- the peers --------------------------------------------------------------- */

/* "<connection id>:<epoch>" */
static bool parse_peer(struct slice name, struct slice value, struct fence_peer *peer)
{
    const char *colon = memchr(value.data, ':', value.len);
    if (colon == NULL || name.len >= sizeof(peer->name)) {
        return false;
    }
    size_t before = (size_t)(colon - value.data);
    memcpy(peer->name, name.data, name.len);
    peer->name[name.len] = '\0';
    return number_parse_u64((struct slice){value.data, before}, &peer->connection_id) &&
           number_parse_u64((struct slice){colon + 1, value.len - before - 1}, &peer->epoch);
}

static bool parse_peers(const struct shard_reply *reply, struct fence_peer **peers, unsigned *count)
{
    size_t total = shard_reply_count(reply) / 2;
    *peers = mem_zalloc((total + 1) * sizeof(**peers));
    for (size_t i = 0; i < total; i++) {
        if (!parse_peer(shard_reply_text(shard_reply_at(reply, 2 * i)),
                        shard_reply_text(shard_reply_at(reply, 2 * i + 1)), &(*peers)[i])) {
            mem_free(*peers);
            *peers = NULL;
            return false;
        }
    }
    *count = (unsigned)total;
    return true;
}

enum fence_outcome fence_raise(struct shard_link *link, const struct shard_identity *identity,
                               uint64_t epoch, struct fence_peer **peers, unsigned *count,
                               struct error *err)
{
    struct call call = {.count = 0};
    struct shard_reply *reply = NULL;
    *peers = NULL;
    *count = 0;
    add_key(&call, METADATA_FENCE);
    add_identity(&call, identity);
    add_number(&call, epoch);
    enum fence_outcome outcome = run(link, SCRIPT_RAISE, "raise", &call, &reply, err);
    if (outcome != FENCE_OK) {
        return outcome;
    }
    if (!parse_peers(reply, peers, count)) {
        /* Better no barrier than one that passes over somebody. */
        outcome = FENCE_FAILED;
        (void)error_set(err,
                        "%s: a peer in " METADATA_FENCE " is malformed: look at it with "
                        "HGETALL",
                        shard_address(link));
    }
    shard_reply_free(reply);
    return outcome;
}

/* The value of " field=" in one line of CLIENT LIST. */
static bool client_field(struct slice line, const char *field, struct slice *value)
{
    size_t length = strlen(field);
    for (size_t at = 0; at + length <= line.len; at++) {
        if ((at == 0 || line.data[at - 1] == ' ') && memcmp(line.data + at, field, length) == 0) {
            value->data = line.data + at + length;
            const char *end = memchr(value->data, ' ', line.len - at - length);
            value->len = end == NULL ? line.len - at - length : (size_t)(end - value->data);
            return true;
        }
    }
    return false;
}

static bool kill_connection(struct shard_link *link, struct slice id, unsigned *killed,
                            struct error *err)
{
    struct shard_reply *reply = shard_commandf(link, err, "CLIENT KILL ID %b", id.data, id.len);
    if (reply == NULL) {
        return false;
    }
    *killed += shard_reply_integer(reply) > 0 ? 1 : 0; /* 0: it was gone by then, just as good */
    shard_reply_free(reply);
    return true;
}

/* `begins`: the name is only the beginning of theirs. Never our own connection. */
static bool kill_named(struct shard_link *link, struct slice clients, struct slice name,
                       bool begins, unsigned *killed, struct error *err)
{
    while (clients.len > 0) {
        const char *end = memchr(clients.data, '\n', clients.len);
        size_t length = end == NULL ? clients.len : (size_t)(end - clients.data);
        struct slice line = {clients.data, length};
        struct slice client_name, id;
        bool is_meant =
            client_field(line, "name=", &client_name) &&
            (begins ? slice_starts_with(client_name, name) : slice_equal(client_name, name));
        if (is_meant && client_field(line, "id=", &id) && !kill_connection(link, id, killed, err)) {
            return false;
        }
        length += end == NULL ? 0 : 1;
        clients = (struct slice){clients.data + length, clients.len - length};
    }
    return true;
}

static bool list_and_kill(struct shard_link *link, const char *name, bool begins, unsigned *killed,
                          struct error *err)
{
    struct shard_reply *clients = shard_commandf(link, err, "CLIENT LIST");
    *killed = 0;
    if (clients == NULL) {
        return false;
    }
    bool done = kill_named(link, shard_reply_text(clients), slice_of(name), begins, killed, err);
    shard_reply_free(clients);
    return done;
}

bool fence_kill_peer(struct shard_link *link, const char *peer_name, unsigned *killed,
                     struct error *err)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "sluice:%s", peer_name);
    return list_and_kill(link, name, false, killed, err);
}

bool fence_kill_programs(struct shard_link *link, struct error *err)
{
    unsigned killed;
    return list_and_kill(link, "sluice:", true, &killed, err);
}

enum fence_outcome fence_remove_peer(struct shard_link *link, const struct fence_peer *peer,
                                     struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    add_identity(&call, shard_link_identity(link));
    add_word(&call, slice_of(peer->name));
    add_number(&call, peer->connection_id);
    struct shard_reply *reply = NULL;
    enum fence_outcome outcome = run(link, SCRIPT_REMOVE_PEER, "remove_peer", &call, &reply, err);
    if (outcome != FENCE_OK) {
        return outcome;
    }
    if (shard_reply_integer(reply) != 1) {
        (void)error_set(err, "%s: peer %s has said hello again, or is gone", shard_address(link),
                        peer->name);
        outcome = FENCE_STALE;
    }
    shard_reply_free(reply);
    return outcome;
}

/* --- the guards ---------------------------------------------------------------- */

static void add_claim(struct call *call, const struct guard_claim *claim)
{
    add_identity(call, claim->identity);
    add_number(call, claim->migration);
    add_number(call, claim->generation);
}

enum fence_outcome fence_make(struct shard_link *link, const struct guard_claim *claim,
                              enum guard_state state, const struct metadata_names *names,
                              bool is_authority, struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    if (is_authority) {
        add_key(&call, names->seq);
        add_key(&call, names->dirty);
    } else {
        add_key(&call, names->ver);
    }
    add_claim(&call, claim);
    add_number(&call, state);
    return run(link, SCRIPT_MAKE, "make", &call, NULL, err);
}

enum fence_outcome fence_guard(struct shard_link *link, const struct guard_claim *claim,
                               enum guard_state state, const char *ver, int64_t evicted_keys,
                               struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    if (ver != NULL) {
        add_key(&call, ver);
    }
    add_claim(&call, claim);
    add_number(&call, state);
    if (evicted_keys >= 0) {
        add_number(&call, (uint64_t)evicted_keys);
    } else {
        add_word(&call, SLICE("-1"));
    }
    return run(link, SCRIPT_GUARD, "guard", &call, NULL, err);
}

static void add_names(struct call *call, const struct slice *names, unsigned count)
{
    ASSERT(count <= FENCE_DROP_MAX);
    for (unsigned i = 0; i < count; i++) {
        add_word(call, names[i]);
        call->nkeys++;
    }
}

enum fence_outcome fence_drop(struct shard_link *link, const struct guard_claim *claim,
                              const struct slice *names, unsigned count, struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    add_names(&call, names, count);
    add_claim(&call, claim);
    return run(link, SCRIPT_DROP, "drop", &call, NULL, err);
}

enum fence_outcome fence_forget(struct shard_link *link, const struct shard_identity *identity,
                                const struct slice *names, unsigned count, struct error *err)
{
    struct call call = {.count = 0};
    add_key(&call, METADATA_FENCE);
    add_names(&call, names, count);
    add_identity(&call, identity);
    return run(link, SCRIPT_FORGET, "forget", &call, NULL, err);
}

enum fence_outcome fence_prune(struct shard_link *link, const struct shard_identity *identity,
                               uint64_t horizon, uint64_t *removed, struct error *err)
{
    struct call call = {.count = 0};
    struct shard_reply *reply = NULL;
    add_key(&call, METADATA_FENCE);
    add_identity(&call, identity);
    add_number(&call, horizon);
    enum fence_outcome outcome = run(link, SCRIPT_PRUNE, "prune", &call, &reply, err);
    if (outcome == FENCE_OK) {
        *removed = (uint64_t)shard_reply_integer(reply);
        shard_reply_free(reply);
    }
    return outcome;
}
