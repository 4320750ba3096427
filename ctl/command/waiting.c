#include "ctl/command/waiting.h"

#include <string.h>

#include "ctl/command/history.h"
#include "ctl/command/members.h"
#include "ctl/output/progress.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define LOOK_EVERY_MS 500 /* at the journal; a change of the topology is seen at once */
/* A store that elects a leader, or comes back, is waited for so long. */
#define SILENCE_MAX_US UINT64_C(60000000)

struct waited {
    uint64_t id;
    char source[SHARD_NAME_MAX + 1];
    char target[SHARD_NAME_MAX + 1];
    unsigned slot; /* one of its slots: all of them change their owner together */
    enum phase phase;
    bool is_open;
    bool is_paused;
};

struct waiting {
    enum waiting_goal goal;
    struct waited *items;
    unsigned count;
    size_t capacity;
    struct history_feed feed; /* progress records */
    char last_error[512], last_wait[512];
    bool is_alone;            /* no migrator is alive, and that has been said */
    uint64_t silent_since_us; /* the store does not answer, and that has been said; 0: it does */
};

struct waiting *waiting_new(enum waiting_goal goal)
{
    struct waiting *waiting = mem_zalloc(sizeof(*waiting));
    waiting->goal = goal;
    waiting->feed.only_progress = true;
    return waiting;
}

void waiting_free(struct waiting *waiting)
{
    json_decref(waiting->feed.history);
    mem_free(waiting->items);
    mem_free(waiting);
}

static unsigned first_slot(const struct slot_set *slots)
{
    unsigned slot = 0;
    while (slot + 1 < slots->nslots && !slot_set_has(slots, slot)) {
        slot++;
    }
    return slot;
}

void waiting_add(struct waiting *waiting, uint64_t id, const char *source, const char *target,
                 const struct slot_set *slots)
{
    MEM_GROW(waiting->items, waiting->count, waiting->capacity);
    struct waited *item = &waiting->items[waiting->count++];
    memset(item, 0, sizeof(*item));
    item->id = id;
    item->slot = first_slot(slots);
    item->is_open = true;
    (void)snprintf(item->source, sizeof(item->source), "%s", source);
    (void)snprintf(item->target, sizeof(item->target), "%s", target);
}

static enum waiting_state fail(const struct waited *item, const char *what, struct error *err)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(item->id, id);
    (void)error_set(err, "%s %s; see sluicectl report %s", id, what, id);
    return WAITING_FAILED;
}

/* The migrator withdraws the request when it has done it. */
static enum waiting_state judge_verify(const struct waited *item, const struct migration *migration,
                                       struct error *err)
{
    if (migration->phase == PHASE_ABORTING || migration->phase == PHASE_FINALIZING) {
        return fail(item, "ends before it was verified again", err);
    }
    if (migration->request != REQUEST_VERIFY && migration->request != REQUEST_NONE) {
        return fail(item, "is asked for something else now, which verifies first", err);
    }
    return migration->request == REQUEST_NONE ? WAITING_DONE : WAITING_GOES_ON;
}

static enum waiting_state judge_open(enum waiting_goal goal, const struct waited *item,
                                     const struct migration *migration, struct error *err)
{
    enum phase phase = migration->phase;
    if (goal == WAITING_VERIFIED) {
        return judge_verify(item, migration, err);
    }
    if (goal == WAITING_UNDONE) {
        /* A hold that was undone goes back to switched; the migrator tries again by itself. */
        return phase == PHASE_FINALIZING ? fail(item, "is being finalized", err) : WAITING_GOES_ON;
    }
    if (phase == PHASE_ABORTING) {
        return fail(item, "is being undone", err);
    }
    bool has_switched = phase == PHASE_SWITCHED || phase == PHASE_FINALIZING;
    return goal == WAITING_SWITCHED && has_switched ? WAITING_DONE : WAITING_GOES_ON;
}

/* The owner of its slots tells how a closed migration ended. If a later one has moved them on
 * meanwhile, it ended as hoped: nobody can move what did not arrive. */
static enum waiting_state judge_closed(enum waiting_goal goal, const struct waited *item,
                                       const struct topology *topology, struct error *err)
{
    const char *owner = topology->shards[topology->owner[item->slot]].name;
    if (goal == WAITING_VERIFIED) {
        return fail(item, "was closed before it was verified again", err);
    }
    if (goal == WAITING_UNDONE) {
        return strcmp(owner, item->target) == 0 ? fail(item, "was finalized", err) : WAITING_DONE;
    }
    bool is_undone = strcmp(owner, item->source) == 0;
    return is_undone ? fail(item, "was aborted or rolled back", err) : WAITING_DONE;
}

enum waiting_state waiting_judge(const struct waiting *waiting, unsigned index,
                                 const struct topology *topology, struct error *err)
{
    const struct waited *item = &waiting->items[index];
    const struct migration *migration = topology_find_migration(topology, item->id);
    return migration != NULL ? judge_open(waiting->goal, item, migration, err)
                             : judge_closed(waiting->goal, item, topology, err);
}

/* Takes the phases over for display; WAITING_DONE when all are done. */
static enum waiting_state judge_all(struct waiting *waiting, const struct topology *topology,
                                    struct error *err)
{
    bool is_all_done = true;
    for (unsigned i = 0; i < waiting->count; i++) {
        struct waited *item = &waiting->items[i];
        const struct migration *migration = topology_find_migration(topology, item->id);
        item->is_open = migration != NULL;
        item->is_paused = migration != NULL && migration->is_paused;
        item->phase = migration != NULL ? migration->phase : item->phase;
        enum waiting_state state = waiting_judge(waiting, i, topology, err);
        if (state == WAITING_FAILED) {
            return state;
        }
        is_all_done = is_all_done && state == WAITING_DONE;
    }
    return is_all_done ? WAITING_DONE : WAITING_GOES_ON;
}

static void add_progress(struct progress_view *view, const json_t *record)
{
    if (record == NULL) {
        return;
    }
    view->has_counts = true;
    view->keys_total += view_number(record, "keys_total");
    view->keys_copied += view_number(record, "keys_copied");
    view->keys_verified += view_number(record, "keys_verified");
    view->bytes_copied += view_number(record, "bytes_copied");
    view->dirty += view_number(record, "dirty");
    if (json_object_get(record, "eta_ms") != NULL) {
        uint64_t eta_ms = view_number(record, "eta_ms");
        view->has_eta = true;
        view->eta_ms = eta_ms > view->eta_ms ? eta_ms : view->eta_ms;
    }
}

/* Several migrations are shown as one: their sums, the phase of the first that is not done. */
static void make_view(const struct waiting *waiting, struct progress_view *view)
{
    memset(view, 0, sizeof(*view));
    const struct waited *shown = &waiting->items[0];
    for (unsigned i = 0; i < waiting->count; i++) {
        const struct waited *item = &waiting->items[i];
        shown = shown->is_open && !item->is_open ? shown : item->is_open ? item : shown;
        view->is_paused = view->is_paused || item->is_paused;
        add_progress(view, view_member(history_of(waiting->feed.history, item->id), "progress"));
    }
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(shown->id, id);
    view->phase = phase_name(shown->phase);
    /* The migrator estimates the time until all is verified; afterwards nothing is left. */
    view->has_eta = view->has_eta && shown->phase <= PHASE_DUAL_WRITE;
    if (waiting->count > 1) {
        (void)snprintf(view->label, sizeof(view->label), "%s and %u more", id, waiting->count - 1);
    } else {
        (void)snprintf(view->label, sizeof(view->label), "%s", id);
    }
}

/* Once, while it is the same. */
static void note_once(struct progress *progress, const json_t *record, char *last, size_t size)
{
    const char *text = view_text(record, "text");
    if (text[0] != '\0' && strncmp(text, last, size - 1) != 0) {
        (void)snprintf(last, size, "%s", text);
        progress_note(progress, "%s: %s", view_text(record, "migration"), text);
    }
}

/* An error that the migrator has met, or what it waits for: it is why nothing goes on. */
static void note_reasons(struct waiting *waiting, struct progress *progress,
                         const struct waited *item)
{
    const json_t *history = history_of(waiting->feed.history, item->id);
    note_once(progress, view_member(history, "last_error"), waiting->last_error,
              sizeof(waiting->last_error));
    note_once(progress, view_member(history, "waiting"), waiting->last_wait,
              sizeof(waiting->last_wait));
}

static void show(struct waiting *waiting, struct progress *progress, struct store *store)
{
    bool is_read = history_read_on(&waiting->feed, store, NULL);
    (void)is_read; /* what it cannot read now, it reads the next time */
    for (unsigned i = 0; i < waiting->count; i++) {
        note_reasons(waiting, progress, &waiting->items[i]);
    }
    struct progress_view view;
    make_view(waiting, &view);
    progress_show(progress, &view);
}

/* The work goes on without us; err says why the store could not be read. */
static enum waiting_state bear_silence(struct waiting *waiting, struct progress *progress,
                                       struct error *err)
{
    uint64_t now_us = clock_now_us();
    if (waiting->silent_since_us == 0) {
        waiting->silent_since_us = now_us;
        progress_note(progress, "%s; waiting for the store", err->text);
    }
    return now_us - waiting->silent_since_us < SILENCE_MAX_US ? WAITING_GOES_ON : WAITING_FAILED;
}

/* *epoch: of what was read last; 0: nothing yet. */
static enum waiting_state look(struct waiting *waiting, const struct command_run *run,
                               struct progress *progress, uint64_t *epoch, struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return *epoch == 0 ? WAITING_FAILED : bear_silence(waiting, progress, err);
    }
    waiting->silent_since_us = 0;
    *epoch = topology->epoch;
    enum waiting_state state = judge_all(waiting, topology, err);
    topology_free(topology);
    return state;
}

/* A migration that the preflight refuses stays in planned until somebody acts: whoever waits for it
 * is to know, and not to wait for ever. */
static bool is_refused(const struct waiting *waiting, struct error *err)
{
    for (unsigned i = 0; i < waiting->count; i++) {
        const struct waited *item = &waiting->items[i];
        const json_t *history = history_of(waiting->feed.history, item->id);
        const json_t *preflight = view_member(history, "preflight");
        bool is_stuck = item->is_open && item->phase == PHASE_PLANNED && preflight != NULL &&
                        !view_flag(preflight, "ok");
        if (is_stuck) {
            char id[MIGRATION_ID_TEXT_MAX];
            const char *why = view_text(view_member(history, "last_error"), "text");
            migration_id_format(item->id, id);
            (void)error_set(err,
                            "%s cannot begin: %s; put that right and it begins by itself, or "
                            "sluicectl abort %s",
                            id, why[0] != '\0' ? why : "its preflight failed", id);
            return true;
        }
    }
    return false;
}

/* None is there, or the last one dies: said once, and the waiting goes on, for another one takes
 * the work up where it stands. */
static void note_alone(struct waiting *waiting, struct progress *progress, struct store *store)
{
    bool is_alone = !members_has_migrator(store);
    if (is_alone && !waiting->is_alone) {
        progress_note(progress,
                      "no sluice-migrator is running: start one with sluice-migrator --store %s",
                      store_url(store));
    }
    waiting->is_alone = is_alone;
}

static bool is_over(const struct command_run *run, uint64_t start_us, struct error *err)
{
    uint64_t timeout_ms = run->settings->timeout_ms;
    if (timeout_ms == 0 || clock_now_us() - start_us < timeout_ms * 1000) {
        return false;
    }
    (void)error_set(err, "gave up waiting after --timeout; the work goes on: sluicectl status");
    return true;
}

static void note_done(const struct waiting *waiting, struct progress *progress,
                      const struct waited *item)
{
    static const char *const words[] = {
        [WAITING_SWITCHED] = "has switched; sluicectl finalize makes it final, sluicectl rollback "
                             "undoes it",
        [WAITING_FINALIZED] = "is final, and the old copies are purged",
        [WAITING_UNDONE] = "is undone, and the copies are purged",
        [WAITING_VERIFIED] = "has compared every key again; sluicectl report shows what it found",
    };
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(item->id, id);
    progress_note(progress, "%s %s", id, words[waiting->goal]);
}

bool waiting_run(struct waiting *waiting, struct command_run *run, struct error *err)
{
    struct progress *progress = progress_new(run->notes);
    uint64_t start_us = clock_now_us();
    uint64_t epoch = 0;
    enum waiting_state state = look(waiting, run, progress, &epoch, err);
    while (state == WAITING_GOES_ON) {
        note_alone(waiting, progress, run->store);
        show(waiting, progress, run->store);
        if (is_refused(waiting, err) || is_over(run, start_us, err)) {
            state = WAITING_FAILED;
            break;
        }
        (void)store_wait(run->store, epoch, LOOK_EVERY_MS);
        state = look(waiting, run, progress, &epoch, err);
    }
    show(waiting, progress, run->store);
    for (unsigned i = 0; state == WAITING_DONE && i < waiting->count; i++) {
        note_done(waiting, progress, &waiting->items[i]);
    }
    progress_free(progress);
    return state == WAITING_DONE;
}
