#include "ctl/command/proof.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "ctl/command/migration_view.h"
#include "lib/base/memory.h"

static void copy_member(json_t *view, const char *name, const json_t *from, const char *from_name)
{
    json_t *value = json_object_get(from, from_name);
    if (value != NULL) {
        set_member(view, name, json_deep_copy(value));
    }
}

/* Who and where: from the topology while it is open, else as it was created. */
static void add_subject(json_t *view, const struct topology *topology,
                        const struct migration *migration, const json_t *history)
{
    const json_t *created = view_member(history, "created");
    const json_t *closed = view_member(history, "closed");
    static const char *const names[] = {"source", "target", "slots", "slot_count"};
    json_t *open = migration != NULL ? migration_view(topology, migration, history) : NULL;
    const json_t *subject = open != NULL ? open : created;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        copy_member(view, names[i], subject, names[i]);
    }
    copy_member(view, "phase", open, "phase");
    copy_member(view, "way_back", open, "way_back");
    copy_member(view, "options", open, "options");
    set_text(view, "state", open != NULL ? "open" : "closed");
    set_text(view, "outcome", open != NULL ? "open" : view_text(closed, "outcome"));
    copy_member(view, "opened_by", created, "author");
    copy_member(view, "command", created, "command");
    copy_member(view, "opened_at", created, "time");
    copy_member(view, "closed_at", closed, "time");
    json_decref(open);
}

static json_t *phase_view(const char *phase, uint64_t since_ms)
{
    json_t *view = json_object();
    set_text(view, "phase", phase);
    set_number(view, "since", since_ms);
    return view;
}

static void end_phase(json_t *phases, uint64_t at_ms)
{
    size_t count = json_array_size(phases);
    json_t *last = count > 0 ? json_array_get(phases, count - 1) : NULL;
    if (last != NULL) {
        uint64_t since = view_number(last, "since");
        set_number(last, "ms", at_ms > since ? at_ms - since : 0);
    }
}

/* The same phase told twice (as it was opened, and as the migrator found it) is one. */
static void add_phase(json_t *phases, const char *phase, uint64_t at_ms)
{
    size_t count = json_array_size(phases);
    const json_t *last = count > 0 ? json_array_get(phases, count - 1) : NULL;
    if (strcmp(view_text(last, "phase"), phase) != 0) {
        end_phase(phases, at_ms);
        (void)json_array_append_new(phases, phase_view(phase, at_ms));
    }
}

/* Every phase it went through, since when and for how long. */
static json_t *phases_view(const json_t *history, uint64_t now_ms)
{
    json_t *phases = json_array();
    const json_t *created = view_member(history, "created");
    const json_t *closed = view_member(history, "closed");
    if (created != NULL) {
        add_phase(phases, phase_name(PHASE_PLANNED), view_number(created, "time"));
    }
    size_t i;
    json_t *record;
    json_array_foreach(view_member(history, "phases"), i, record)
    {
        add_phase(phases, view_text(record, "to"), view_number(record, "time"));
    }
    end_phase(phases, closed != NULL ? view_number(closed, "time") : now_ms);
    return phases;
}

static json_t *verify_view(const json_t *history)
{
    const json_t *passes = view_member(history, "verifies");
    const json_t *progress = view_member(history, "progress");
    size_t count = json_array_size(passes);
    const json_t *last = count > 0 ? json_array_get(passes, count - 1) : NULL;
    json_t *view = json_object();
    set_number(view, "pass_count", count);
    set_number(view, "keys", view_number(last, "keys"));
    set_number(view, "bytes", view_number(last, "bytes"));
    uint64_t findings = view_number(history, "findings");
    uint64_t told = view_number(progress, "findings");
    set_number(view, "findings", findings > told ? findings : told);
    uint64_t repairs = view_number(history, "repairs");
    told = view_number(progress, "repairs");
    set_number(view, "repairs", repairs > told ? repairs : told);
    copy_member(view, "passes", history, "verifies");
    copy_member(view, "finding_list", history, "finding_list");
    return view;
}

/* {count, longest_ms, list}, and how many peers were killed. */
static json_t *lengths_view(const json_t *records)
{
    json_t *view = json_object();
    double longest_ms = 0;
    uint64_t killed = 0;
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        double ms = json_number_value(json_object_get(record, "ms"));
        longest_ms = ms > longest_ms ? ms : longest_ms;
        killed += view_number(record, "killed");
    }
    set_number(view, "count", json_array_size(records));
    set_member(view, "longest_ms", json_real(longest_ms));
    set_number(view, "killed_peers", killed);
    set_member(view, "list", records != NULL ? json_deep_copy(records) : json_array());
    return view;
}

static json_t *holds_view(const json_t *history)
{
    const json_t *progress = view_member(history, "progress");
    json_t *view = lengths_view(view_member(history, "holds"));
    json_object_del(view, "killed_peers");
    double told_ms = (double)view_number(progress, "hold_us_max") / 1000;
    if (told_ms > json_real_value(json_object_get(view, "longest_ms"))) {
        set_member(view, "longest_ms", json_real(told_ms));
    }
    if (view_number(progress, "holds") > view_number(view, "count")) {
        set_number(view, "count", view_number(progress, "holds"));
    }
    set_number(view, "undone", view_number(progress, "holds_undone"));
    return view;
}

/* --- both sides ------------------------------------------------------------------------------- */

struct side_total {
    uint64_t keys;
    uint64_t bytes;
    XXH3_state_t *digest; /* over "slot:digest\n" in the slots' order */
};

static void add_to_total(struct side_total *total, uint64_t slot, const json_t *side)
{
    char text[80];
    int length = snprintf(text, sizeof(text), "%llu:%s\n", (unsigned long long)slot,
                          view_text(side, "digest"));
    (void)XXH3_128bits_update(total->digest, text, (size_t)length);
    total->keys += view_number(side, "keys");
    total->bytes += view_number(side, "bytes");
}

static json_t *total_view(const struct side_total *total)
{
    char text[33];
    XXH128_hash_t hash = XXH3_128bits_digest(total->digest);
    (void)snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    json_t *view = json_object();
    set_number(view, "keys", total->keys);
    set_number(view, "bytes", total->bytes);
    set_text(view, "digest", text);
    return view;
}

static int compare_slots(const void *a, const void *b)
{
    uint64_t left = view_number(*(json_t *const *)a, "slot");
    uint64_t right = view_number(*(json_t *const *)b, "slot");
    return left < right ? -1 : left > right;
}

/* The slots' lines in their order. Owned by the caller. */
static json_t *sorted_slots(const json_t *history)
{
    const json_t *slots = view_member(history, "slots");
    size_t count = json_object_size(slots);
    json_t **lines = mem_alloc((count + 1) * sizeof(json_t *));
    size_t filled = 0;
    const char *name;
    json_t *line;
    json_object_foreach(json_object_get(history, "slots"), name, line)
    {
        lines[filled++] = line;
    }
    qsort(lines, filled, sizeof(json_t *), compare_slots);
    json_t *sorted = json_array();
    for (size_t i = 0; i < filled; i++) {
        (void)json_array_append(sorted, lines[i]);
    }
    mem_free(lines);
    return sorted;
}

static bool is_equal_slot(const json_t *line)
{
    const json_t *source = view_member(line, "source");
    const json_t *target = view_member(line, "target");
    return view_number(source, "keys") == view_number(target, "keys") &&
           strcmp(view_text(source, "digest"), view_text(target, "digest")) == 0;
}

/* Sums and one digest a side, from the last report of each slot. */
static json_t *totals_view(const json_t *sorted)
{
    struct side_total source = {.digest = XXH3_createState()};
    struct side_total target = {.digest = XXH3_createState()};
    uint64_t equal = 0;
    (void)XXH3_128bits_reset(source.digest);
    (void)XXH3_128bits_reset(target.digest);
    size_t i;
    json_t *line;
    json_array_foreach(sorted, i, line)
    {
        uint64_t slot = view_number(line, "slot");
        add_to_total(&source, slot, view_member(line, "source"));
        add_to_total(&target, slot, view_member(line, "target"));
        equal += is_equal_slot(line) ? 1 : 0;
    }
    json_t *view = json_object();
    set_number(view, "slots_compared", json_array_size(sorted));
    set_number(view, "slots_equal", equal);
    set_member(view, "source", total_view(&source));
    set_member(view, "target", total_view(&target));
    (void)XXH3_freeState(source.digest);
    (void)XXH3_freeState(target.digest);
    return view;
}

json_t *proof_view(uint64_t id, const struct topology *topology, const struct migration *migration,
                   const json_t *history, uint64_t now_ms)
{
    const json_t *progress = view_member(history, "progress");
    char text[MIGRATION_ID_TEXT_MAX];
    migration_id_format(id, text);
    json_t *view = json_object();
    set_text(view, "id", text);
    add_subject(view, topology, migration, history);
    set_number(view, "keys_copied", view_number(progress, "keys_copied"));
    set_number(view, "bytes_copied", view_number(progress, "bytes_copied"));
    set_number(view, "large_keys", view_number(progress, "large_keys"));
    uint64_t purged = view_number(history, "purged_keys");
    set_number(view, "purged_keys", purged > 0 ? purged : view_number(progress, "purged"));
    set_member(view, "phases", phases_view(history, now_ms));
    set_member(view, "verify", verify_view(history));
    set_member(view, "holds", holds_view(history));
    set_member(view, "barriers", lengths_view(view_member(history, "barriers")));
    json_t *sorted = sorted_slots(history);
    set_member(view, "totals", totals_view(sorted));
    set_member(view, "slot_table", sorted);
    static const char *const rest[] = {"preflight", "bases",      "backfills", "cutover",
                                       "requests",  "last_error", "errors"};
    for (unsigned i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        copy_member(view, rest[i], history, rest[i]);
    }
    return view;
}
