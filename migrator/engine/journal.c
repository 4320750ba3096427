#include "migrator/engine/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <xxhash.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "migrator/engine/steps.h"

#define SLOTS_A_RECORD 256u

void journal_clean(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}

/* Consumes the record. */
static bool append_record(struct store *store, json_t *record, struct error *err)
{
    char *text = json_dumps(record, JSON_COMPACT);
    json_decref(record);
    ASSERT(text != NULL);
    PASS(STEP_JOURNAL_BEFORE_APPEND);
    bool ok = store_append(store, slice_of(text), err);
    PASS(STEP_JOURNAL_AFTER_APPEND);
    free(text); /* jansson's, not ours */
    return ok;
}

static json_t *record_new(const struct journal_place *place, const char *kind)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(place->migration, id);
    json_t *record = json_pack("{s:I, s:s, s:s, s:I, s:s}", "time", (json_int_t)clock_wall_ms(),
                               "migration", id, "kind", kind, "epoch", (json_int_t)place->epoch,
                               "phase", phase_name(place->phase));
    ASSERT(record != NULL);
    return record;
}

bool journal_append(struct store *store, const struct journal_place *place, struct error *err,
                    const char *kind, const char *format, ...)
{
    json_t *record = record_new(place, kind);
    json_error_t why;
    va_list arguments;
    va_start(arguments, format);
    json_t *members = json_vpack_ex(&why, 0, format, arguments);
    va_end(arguments);
    ASSERT(members != NULL);
    (void)json_object_update(record, members);
    json_decref(members);
    return append_record(store, record, err);
}

bool journal_finding(struct store *store, const struct journal_place *place, struct slice key,
                     unsigned slot, bool only_on_copy, struct error *err)
{
    char hash[17];
    (void)snprintf(hash, sizeof(hash), "%016" PRIx64, (uint64_t)XXH3_64bits(key.data, key.len));
    return journal_append(store, place, err, "finding", "{s:i, s:I, s:s, s:b}", "slot", (int)slot,
                          "key_length", (json_int_t)key.len, "key_hash", hash, "only_on_copy",
                          (int)only_on_copy);
}

static json_t *side_json(const struct tally_side *side)
{
    char digest[33];
    value_digest_hex(&side->digest, digest);
    return json_pack("{s:I, s:I, s:s}", "keys", (json_int_t)side->keys, "bytes",
                     (json_int_t)side->bytes, "digest", digest);
}

bool journal_tally(struct store *store, const struct journal_place *place,
                   const struct tally *tally, const struct slot_set *slots, struct error *err)
{
    json_t *list = NULL;
    bool ok = true;
    for (unsigned slot = 0; ok && slot < tally->nslots; slot++) {
        if (slot_set_has(slots, slot)) {
            list = list != NULL ? list : json_array();
            (void)json_array_append_new(list,
                                        json_pack("{s:i, s:o, s:o}", "slot", (int)slot, "authority",
                                                  side_json(&tally->authority[slot]), "copy",
                                                  side_json(&tally->copy[slot])));
        }
        bool is_full = list != NULL && json_array_size(list) == SLOTS_A_RECORD;
        if (is_full || (list != NULL && slot + 1 == tally->nslots)) {
            ok = journal_append(store, place, err, "slots", "{s:o}", "slots", list);
            list = NULL;
        }
    }
    json_decref(list);
    return ok;
}

bool journal_progress(struct store *store, const struct journal_place *place,
                      const struct progress *progress, struct error *err)
{
    json_t *record = record_new(place, "progress");
#define X(field, name, kind, help)            \
    (void)json_object_set_new(record, #field, \
                              json_integer((json_int_t)counter_read(&progress->field)));
    PROGRESS_NUMBERS(X)
#undef X
    return append_record(store, record, err);
}

struct journal_checks {
    json_t *list;
};

struct journal_checks *journal_checks_new(void)
{
    struct journal_checks *checks = mem_alloc(sizeof(*checks));
    checks->list = json_array();
    return checks;
}

void journal_checks_add(struct journal_checks *checks, const char *name, bool ok, const char *note)
{
    (void)json_array_append_new(
        checks->list, json_pack("{s:s, s:b, s:s}", "check", name, "ok", (int)ok, "note", note));
}

void journal_checks_free(struct journal_checks *checks)
{
    json_decref(checks->list);
    mem_free(checks);
}

/* Memory in use and the like change with every look: that is no other finding. */
static void add_without_digits(XXH3_state_t *state, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            (void)XXH3_64bits_update(state, text, 1);
        }
    }
}

uint64_t journal_checks_digest(const struct journal_checks *checks)
{
    XXH3_state_t *state = XXH3_createState();
    size_t i;
    json_t *check;
    ASSERT(state != NULL);
    (void)XXH3_64bits_reset(state);
    json_array_foreach(checks->list, i, check)
    {
        if (!json_is_true(json_object_get(check, "ok"))) {
            add_without_digits(state, json_string_value(json_object_get(check, "check")));
            add_without_digits(state, json_string_value(json_object_get(check, "note")));
        }
    }
    uint64_t digest = XXH3_64bits_digest(state);
    (void)XXH3_freeState(state);
    return digest;
}

bool journal_checks_append(struct journal_checks *checks, struct store *store,
                           const struct journal_place *place, bool ok, struct error *err)
{
    bool appended = journal_append(store, place, err, "preflight", "{s:b, s:o}", "ok", (int)ok,
                                   "checks", checks->list);
    mem_free(checks);
    return appended;
}

/* --- after a restart -------------------------------------------------------------------------- */

struct recalling {
    char id[MIGRATION_ID_TEXT_MAX];
    struct recollection *into;
};

static uint64_t member(const json_t *record, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(record, name));
}

/* Two migrators may be at it, and one that was stopped notes its phase or base late: what is older
 * than what has been read says nothing of the present. */
static void recall_phase(const json_t *record, struct recollection *into)
{
    const char *to = json_string_value(json_object_get(record, "to"));
    uint64_t entry_epoch = member(record, "entry_epoch");
    if (entry_epoch < into->entry_epoch) {
        return;
    }
    into->entry_epoch = entry_epoch;
    if (to != NULL && strcmp(to, phase_name(PHASE_SWITCHED)) == 0 && !into->was_switched) {
        into->was_switched = true;
        into->switched_at_ms = member(record, "time");
    }
}

static void recall_request(const json_t *record, struct recollection *into)
{
    const char *name = json_string_value(json_object_get(record, "request"));
    enum migration_request request;
    if (name != NULL && migration_request_parse(name, &request) && request > into->requested) {
        into->requested = request;
    }
}

/* The first record of a base counts: only its counters were read before anything was made. */
static void recall_base(const json_t *record, struct recollection *into)
{
    uint64_t base = member(record, "base");
    if (base <= into->base) {
        return;
    }
    into->former_base = into->base;
    into->base = base;
    into->evicted[0] = (int64_t)member(record, "evicted_source");
    into->evicted[1] = (int64_t)member(record, "evicted_target");
}

static void recall_progress(const json_t *record, struct recollection *into)
{
#define X(field, name, kind, help) into->field = member(record, #field);
    PROGRESS_RECALLED(X)
#undef X
}

static void recall_waiting(const json_t *record, struct recollection *into)
{
    const char *text = json_string_value(json_object_get(record, "text"));
    (void)snprintf(into->waits_for, sizeof(into->waits_for), "%s", text != NULL ? text : "");
}

static bool recall_record(void *context, struct slice text)
{
    struct recalling *recalling = context;
    json_t *record = json_loadb(text.data, text.len, 0, NULL);
    const char *id = json_string_value(json_object_get(record, "migration"));
    const char *kind = json_string_value(json_object_get(record, "kind"));
    if (id == NULL || kind == NULL || strcmp(id, recalling->id) != 0) {
        json_decref(record);
        return true;
    }
    struct recollection *into = recalling->into;
    if (into->created_at_ms == 0) {
        into->created_at_ms = member(record, "time");
    }
    if (strcmp(kind, "phase") == 0) {
        recall_phase(record, into);
    } else if (strcmp(kind, "base") == 0) {
        recall_base(record, into);
    } else if (strcmp(kind, "begun") == 0) {
        recall_request(record, into);
    } else if (strcmp(kind, "backfill") == 0) {
        into->backfilled = member(record, "base");
    } else if (strcmp(kind, "waiting") == 0) {
        recall_waiting(record, into);
    } else if (strcmp(kind, "progress") == 0) {
        recall_progress(record, into);
    }
    json_decref(record);
    return true;
}

bool journal_recall(struct store *store, uint64_t migration, struct recollection *recollection,
                    struct error *err)
{
    struct recalling recalling = {.into = recollection};
    migration_id_format(migration, recalling.id);
    *recollection = (struct recollection){.base = 0};
    return store_journal(store, recall_record, &recalling, err);
}
