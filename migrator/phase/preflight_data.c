#include <inttypes.h>
#include <stdio.h>

#include "lib/base/memory.h"
#include "migrator/copy/scanner.h"
#include "migrator/phase/preflight.h"
#include "migrator/value/value.h"

#define SCRATCH            "__sluice:scratch"
#define LARGE_KEYS_NAMED   8u
#define SCAN_PAGES_MAX     40u /* bounded effort: the rest are named by the backfill */
#define LEFTOVERS_NAMED_AT 1u

/* --- DUMP and RESTORE of each type, both ways ------------------------------------------------ */

/* In one MULTI on each side: nobody sees the key, two preflights at a time do not meet, and who
 * dies leaves nothing behind. */
static const char *const samples[] = {
    "SET " SCRATCH " value",    "RPUSH " SCRATCH " a b 1",    "SADD " SCRATCH " a b c",
    "HSET " SCRATCH " f v g w", "ZADD " SCRATCH " 1 a 2.5 b", "XADD " SCRATCH " 1-1 f v",
};

static bool has_error(const struct shard_reply *reply)
{
    return shard_reply_type(reply) == REPLY_ERROR;
}

/* The first of the elements, or the reply itself, that is an error; null: none. */
static const struct shard_reply *find_error(const struct shard_reply *reply)
{
    const struct shard_reply *found = has_error(reply) ? reply : NULL;
    for (size_t i = 0; found == NULL && i < shard_reply_count(reply); i++) {
        found = has_error(shard_reply_at(reply, i)) ? shard_reply_at(reply, i) : NULL;
    }
    return found;
}

/* False leaves a note. */
static bool is_good(struct preflight *preflight, enum side side, const struct shard_reply *reply)
{
    const struct shard_reply *bad = find_error(reply);
    struct slice text = bad != NULL ? shard_reply_text(bad) : SLICE("");
    return bad == NULL || preflight_note(preflight, false, "shard \"%s\": %.*s",
                                         preflight_name(preflight, side), (int)text.len, text.data);
}

/* The replies to what was queued since MULTI, so many, ended by EXEC here; null leaves a note. */
static struct shard_reply *execute(struct preflight *preflight, enum side side, unsigned queued)
{
    struct shard_link *link = preflight_link(preflight, side);
    struct shard_reply *reply = NULL;
    struct error err;
    bool ok = true;
    shard_appendf(link, "EXEC");
    for (unsigned i = 0; i < queued + 2; i++) {
        shard_reply_free(reply);
        reply = shard_take(link, &err);
        if (reply == NULL) {
            (void)preflight_note(preflight, false, "%s", err.text);
            return NULL;
        }
        /* The first: EXEC says less than what it was aborted for. */
        ok = ok && is_good(preflight, side, reply);
    }
    if (ok && shard_reply_count(reply) != queued) {
        ok = preflight_note(preflight, false, "shard \"%s\" does not know EXEC",
                            preflight_name(preflight, side));
    }
    if (!ok) {
        shard_reply_free(reply);
        return NULL;
    }
    return reply;
}

/* Made, dumped and gone: the payload is the third reply. */
static struct shard_reply *make_sample(struct preflight *preflight, enum side side,
                                       const char *make)
{
    struct shard_link *link = preflight_link(preflight, side);
    shard_appendf(link, "MULTI");
    shard_appendf(link, "UNLINK " SCRATCH);
    shard_appendf(link, make);
    shard_appendf(link, "DUMP " SCRATCH);
    shard_appendf(link, "UNLINK " SCRATCH);
    return execute(preflight, side, 4);
}

/* Restored, dumped and gone: the payload is the second reply. */
static struct shard_reply *restore_sample(struct preflight *preflight, enum side side,
                                          struct slice payload)
{
    struct shard_link *link = preflight_link(preflight, side);
    struct slice restore[] = {SLICE("RESTORE"), SLICE(SCRATCH), SLICE("0"), payload,
                              SLICE("REPLACE")};
    shard_appendf(link, "MULTI");
    shard_append(link, restore, 5);
    shard_appendf(link, "DUMP " SCRATCH);
    shard_appendf(link, "UNLINK " SCRATCH);
    return execute(preflight, side, 3);
}

static bool came_back(struct preflight *preflight, const char *make, struct slice payload,
                      struct slice back)
{
    struct error err;
    bool equal = false;
    bool ok = value_equal(payload, back, &equal, &err);
    return (ok && equal) || preflight_note(preflight, false, "what %s makes came back changed%s%s",
                                           make, ok ? "" : ": ", ok ? "" : err.text);
}

/* The payload from one side is restored on the other and must come back equal. */
static bool try_sample(struct preflight *preflight, const char *make, enum side from)
{
    struct shard_reply *made = make_sample(preflight, from, make);
    if (made == NULL) {
        return false;
    }
    struct slice payload = shard_reply_text(shard_reply_at(made, 2));
    struct shard_reply *restored = restore_sample(preflight, side_other(from), payload);
    bool ok = restored != NULL &&
              came_back(preflight, make, payload, shard_reply_text(shard_reply_at(restored, 1)));
    shard_reply_free(restored);
    shard_reply_free(made);
    return ok;
}

bool preflight_payloads(struct preflight *preflight)
{
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        if (!try_sample(preflight, samples[i], SIDE_SOURCE) ||
            !try_sample(preflight, samples[i], SIDE_TARGET)) {
            return false;
        }
    }
    return true;
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool walk_failed(struct preflight *preflight, const struct copy_pair *pair,
                        enum copy_status status)
{
    preflight->is_interrupted = status == COPY_INTERRUPTED;
    return preflight_note(preflight, false, "%s",
                          status == COPY_FAILED ? pair->failure.why.text : "interrupted");
}

/* A leftover of another migration would be taken for a copy, or overwritten. */
bool preflight_target_empty(struct preflight *preflight)
{
    struct copy_pair pair;
    struct scanner scanner;
    struct key_list keys;
    uint64_t found = 0;
    engine_pair(preflight->engine, &pair);
    scanner_init(&scanner);
    key_list_init(&keys);
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && !scanner.is_done && found < LEFTOVERS_NAMED_AT) {
        status = scanner_next(&scanner, &pair, true, &keys);
        found += keys.count;
        status = status == COPY_OK ? pair_check(&pair) : status;
    }
    key_list_fini(&keys);
    if (status != COPY_OK) {
        return walk_failed(preflight, &pair, status);
    }
    if (found > 0) {
        return preflight_note(preflight, false,
                              "shard \"%s\" already has keys of these slots: leftovers, or written "
                              "past the proxies; remove them first",
                              preflight_name(preflight, SIDE_TARGET));
    }
    return true;
}

struct large_keys {
    uint64_t count;
    char *text; /* "key (123 bytes), ..." */
    size_t size;
};

static void note_large(void *context, struct slice key, uint64_t size_bytes)
{
    struct large_keys *large = context;
    if (large->count++ >= LARGE_KEYS_NAMED) {
        return;
    }
    size_t used = strlen(large->text);
    int shown = key.len < 48 ? (int)key.len : 48;
    (void)snprintf(large->text + used, large->size - used, "%s%.*s (%" PRIu64 " bytes)",
                   used > 0 ? ", " : "", shown, key.data, size_bytes);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

bool preflight_large_keys(struct preflight *preflight)
{
    struct copy_pair pair;
    struct scanner scanner;
    struct key_list keys;
    char text[PREFLIGHT_NOTE_MAX - 96] = "";
    struct large_keys large = {.text = text, .size = sizeof(text)};
    struct copy_hooks hooks = {.may_go_on = always, .large = note_large, .context = &large};
    engine_pair(preflight->engine, &pair);
    pair.hooks = &hooks;
    scanner_init(&scanner);
    key_list_init(&keys);
    enum copy_status status = COPY_OK;
    for (unsigned i = 0; status == COPY_OK && !scanner.is_done && i < SCAN_PAGES_MAX; i++) {
        status = scanner_next(&scanner, &pair, false, &keys);
        status = status == COPY_OK ? scanner_measure(&pair, false, &keys) : status;
    }
    key_list_fini(&keys);
    if (status != COPY_OK) {
        return walk_failed(preflight, &pair, status);
    }
    counter_set(&preflight->engine->progress->large_keys, large.count);
    return preflight_note(preflight, true, "%" PRIu64 " large%s%s%s", large.count,
                          scanner.is_done ? "" : " among the first looked at",
                          large.count > 0 ? ": " : "", text);
}

/* --- functions and scripts ------------------------------------------------------------------- */

/* The value behind a name in a reply that is a map written as a flat array. */
static struct slice field(const struct shard_reply *map, const char *name)
{
    for (size_t i = 0; i + 1 < shard_reply_count(map); i += 2) {
        if (slice_equal(shard_reply_text(shard_reply_at(map, i)), slice_of(name))) {
            return shard_reply_text(shard_reply_at(map, i + 1));
        }
    }
    return (struct slice){NULL, 0};
}

static bool copy_library(struct preflight *preflight, const struct shard_reply *library,
                         const struct shard_reply *there)
{
    struct slice name = field(library, "library_name");
    struct slice code = field(library, "library_code");
    struct error err;
    for (size_t i = 0; i < shard_reply_count(there); i++) {
        const struct shard_reply *other = shard_reply_at(there, i);
        if (slice_equal(field(other, "library_name"), name)) {
            return slice_equal(field(other, "library_code"), code) ||
                   preflight_note(preflight, false,
                                  "function library \"%.*s\" differs between the shards",
                                  (int)name.len, name.data);
        }
    }
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), code};
    struct shard_reply *reply =
        shard_command(preflight_link(preflight, SIDE_TARGET), argv, 3, &err);
    shard_reply_free(reply);
    return reply != NULL || preflight_note(preflight, false, "%s", err.text);
}

static struct shard_reply *libraries(struct preflight *preflight, enum side side)
{
    struct error err;
    struct shard_reply *reply =
        shard_commandf(preflight_link(preflight, side), &err, "FUNCTION LIST WITHCODE");
    if (reply == NULL) {
        (void)preflight_note(preflight, false, "%s", err.text);
    }
    return reply;
}

static bool copy_libraries(struct preflight *preflight, const struct shard_reply *here)
{
    struct shard_reply *there = libraries(preflight, SIDE_TARGET);
    bool ok = there != NULL;
    for (size_t i = 0; ok && i < shard_reply_count(here); i++) {
        ok = copy_library(preflight, shard_reply_at(here, i), there);
    }
    shard_reply_free(there);
    return ok;
}

/* Twice: between the look and the loading somebody else may have loaded the same. */
bool preflight_functions(struct preflight *preflight)
{
    struct shard_reply *here = libraries(preflight, SIDE_SOURCE);
    if (here == NULL) {
        return false;
    }
    size_t count = shard_reply_count(here);
    bool ok = copy_libraries(preflight, here) || copy_libraries(preflight, here);
    shard_reply_free(here);
    return ok ? preflight_note(preflight, true, "%zu libraries", count) : false;
}

static bool copy_script(struct preflight *preflight, struct slice sha, struct slice body)
{
    struct shard_link *link = preflight_link(preflight, SIDE_TARGET);
    struct error err;
    struct slice load[] = {SLICE("SCRIPT"), SLICE("LOAD"), body};
    struct slice keep[] = {SLICE("HSET"), SLICE("__sluice:scripts"), sha, body};
    struct shard_reply *loaded = shard_command(link, load, 3, &err);
    shard_reply_free(loaded);
    if (loaded == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    struct shard_reply *kept = shard_command(link, keep, 4, &err);
    shard_reply_free(kept);
    return kept != NULL || preflight_note(preflight, false, "%s", err.text);
}

/* Bodies that clients gave to SCRIPT LOAD through the proxies: EVALSHA goes on on the target. */
bool preflight_scripts(struct preflight *preflight)
{
    struct error err;
    struct shard_reply *bodies =
        shard_commandf(preflight_link(preflight, SIDE_SOURCE), &err, "HGETALL __sluice:scripts");
    if (bodies == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    bool ok = true;
    size_t count = shard_reply_count(bodies) / 2;
    for (size_t i = 0; ok && i < count; i++) {
        ok = copy_script(preflight, shard_reply_text(shard_reply_at(bodies, 2 * i)),
                         shard_reply_text(shard_reply_at(bodies, 2 * i + 1)));
    }
    shard_reply_free(bodies);
    return ok ? preflight_note(preflight, true, "%zu scripts", count) : false;
}
