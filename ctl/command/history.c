#include "ctl/command/history.h"

#include <string.h>

static json_t *member_array(json_t *object, const char *name)
{
    json_t *array = json_object_get(object, name);
    if (array == NULL) {
        array = json_array();
        set_member(object, name, array);
    }
    return array;
}

/* Appended as it is. */
static void append_record(json_t *entry, const char *name, const json_t *record)
{
    (void)json_array_append_new(member_array(entry, name), json_deep_copy(record));
}

static void count_up(json_t *entry, const char *name, uint64_t number)
{
    set_number(entry, name, view_number(entry, name) + number);
}

/* The migrator tells of authority and copy; the phase says which of them is the source. */
static void add_side(json_t *line, const char *name, const json_t *side)
{
    json_t *view = json_object();
    set_number(view, "keys", view_number(side, "keys"));
    set_number(view, "bytes", view_number(side, "bytes"));
    set_text(view, "digest", view_text(side, "digest"));
    set_member(line, name, view);
}

/* A slot that is reported again was verified again: the later line counts. */
static void add_slots(json_t *entry, const json_t *record)
{
    enum phase phase;
    bool is_reverse = phase_parse(view_text(record, "phase"), &phase) &&
                      phase_direction(phase) == DIRECTION_REVERSE;
    json_t *slots = json_object_get(entry, "slots");
    if (slots == NULL) {
        slots = json_object();
        set_member(entry, "slots", slots);
    }
    const json_t *lines = view_member(record, "slots");
    size_t i;
    json_t *from;
    json_array_foreach(lines, i, from)
    {
        char name[24];
        json_t *line = json_object();
        set_number(line, "slot", view_number(from, "slot"));
        add_side(line, is_reverse ? "target" : "source", view_member(from, "authority"));
        add_side(line, is_reverse ? "source" : "target", view_member(from, "copy"));
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)view_number(from, "slot"));
        set_member(slots, name, line);
    }
}

static void add_finding(json_t *entry, const json_t *record)
{
    if (json_array_size(member_array(entry, "finding_list")) < HISTORY_LIST_MAX) {
        append_record(entry, "finding_list", record);
    }
}

static void add_verify(json_t *entry, const json_t *record)
{
    append_record(entry, "verifies", record);
    count_up(entry, "findings", view_number(record, "findings"));
    count_up(entry, "repairs", view_number(record, "repairs"));
}

/* Where a kind of record is kept. */
static const struct {
    const char *kind;
    const char *name;
    bool is_list;
} kept[] = {
    {"created", "created", false},   {"preflight", "preflight", false},
    {"progress", "progress", false}, {"cutover", "cutover", false},
    {"closed", "closed", false},     {"error", "last_error", false},
    {"waiting", "waiting", false},   {"phase", "phases", true},
    {"base", "bases", true},         {"barrier", "barriers", true},
    {"hold", "holds", true},         {"backfill", "backfills", true},
    {"request", "requests", true},
};

static void keep(json_t *entry, const char *kind, const json_t *record)
{
    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (strcmp(kept[i].kind, kind) != 0) {
            continue;
        }
        if (kept[i].is_list) {
            append_record(entry, kept[i].name, record);
        } else {
            set_member(entry, kept[i].name, json_deep_copy(record));
        }
    }
}

void history_add(json_t *history, const json_t *record)
{
    const char *id = view_text(record, "migration");
    const char *kind = view_text(record, "kind");
    if (id[0] == '\0') {
        return;
    }
    json_t *entry = json_object_get(history, id);
    if (entry == NULL) {
        entry = json_object();
        set_member(history, id, entry);
    }
    keep(entry, kind, record);
    if (strcmp(kind, "verify") == 0) {
        add_verify(entry, record);
    } else if (strcmp(kind, "finding") == 0) {
        add_finding(entry, record);
    } else if (strcmp(kind, "slots") == 0) {
        add_slots(entry, record);
    } else if (strcmp(kind, "purge") == 0) {
        count_up(entry, "purged_keys", view_number(record, "keys"));
    } else if (strcmp(kind, "error") == 0) {
        count_up(entry, "errors", 1);
    }
}

struct reading {
    json_t *history;
    char id[MIGRATION_ID_TEXT_MAX]; /* empty: all */
    bool only_progress;
};

static bool contains(struct slice text, const char *word)
{
    return memmem(text.data, text.len, word, strlen(word)) != NULL;
}

static bool on_record(void *context, struct slice text)
{
    struct reading *reading = context;
    /* Parsing is most of the work, and slot reports are long: first see whether it can matter. */
    bool may_matter = reading->only_progress
                          ? contains(text, "\"progress\"") || contains(text, "\"error\"") ||
                                contains(text, "\"preflight\"") || contains(text, "\"waiting\"")
                          : reading->id[0] == '\0' || contains(text, reading->id);
    json_t *record = may_matter ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    if (record == NULL) {
        return true; /* not ours, or cut short */
    }
    bool is_wanted =
        reading->id[0] == '\0' || strcmp(view_text(record, "migration"), reading->id) == 0;
    if (is_wanted) {
        history_add(reading->history, record);
    }
    json_decref(record);
    return true;
}

json_t *history_read(struct store *store, uint64_t migration, struct error *err)
{
    struct reading reading = {.history = json_object()};
    if (migration != 0) {
        migration_id_format(migration, reading.id);
    }
    if (!store_journal(store, on_record, &reading, err)) {
        json_decref(reading.history);
        return NULL;
    }
    return reading.history;
}

bool history_read_on(struct history_feed *feed, struct store *store, struct error *err)
{
    if (feed->history == NULL) {
        feed->history = json_object();
    }
    struct reading reading = {.history = feed->history, .only_progress = feed->only_progress};
    return store_journal_from(store, &feed->position, on_record, &reading, err);
}

const json_t *history_of(const json_t *history, uint64_t migration)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(migration, id);
    return json_object_get(history, id);
}
