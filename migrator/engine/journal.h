/* The migrator's journal records: one-line JSON objects in the store, and what is recalled of them
 * after a restart. The only place of the migrator's engine that knows JSON. One thread. */
#ifndef MIGRATOR_ENGINE_JOURNAL_H
#define MIGRATOR_ENGINE_JOURNAL_H

#include "lib/store/store.h"
#include "lib/topology/topology.h"
#include "migrator/copy/tally.h"
#include "migrator/engine/progress.h"

/* Which migration and phase a record is about. */
struct journal_place {
    uint64_t migration;
    uint64_t epoch;
    enum phase phase;
};

/* {"time", "migration", "kind", "epoch", "phase"} and the members that `format` describes, as
 * jansson's json_pack reads them ("{s:s, s:I}"). */
typedef long long journal_int; /* the integers of `format` (jansson: json_int_t) */

bool journal_append(struct store *store, const struct journal_place *place, struct error *err,
                    const char *kind, const char *format, ...) __attribute__((warn_unused_result));

/* Makes bytes that came from outside (error texts, key names) fit for a record: what is no
 * printable ASCII becomes '?'. */
void journal_clean(char *text);

/* A key that cannot be named: its length, its XXH3, its slot. */
bool journal_finding(struct store *store, const struct journal_place *place, struct slice key,
                     unsigned slot, bool only_on_copy, struct error *err)
    __attribute__((warn_unused_result));

/* The per-slot counts and digests, 256 slots a record ("kind": "slots"). */
bool journal_tally(struct store *store, const struct journal_place *place,
                   const struct tally *tally, const struct slot_set *slots, struct error *err)
    __attribute__((warn_unused_result));

bool journal_progress(struct store *store, const struct journal_place *place,
                      const struct progress *progress, struct error *err)
    __attribute__((warn_unused_result));

/* A list of {"check", "ok", "note"} made bit by bit, for the record of a preflight. */
struct journal_checks;
struct journal_checks *journal_checks_new(void);
void journal_checks_add(struct journal_checks *checks, const char *name, bool ok, const char *note);
void journal_checks_free(struct journal_checks *checks);
/* A number for what they found: which failed and why, whatever figures the notes give. */
uint64_t journal_checks_digest(const struct journal_checks *checks);
/* Appends the record and frees the list. */
bool journal_checks_append(struct journal_checks *checks, struct store *store,
                           const struct journal_place *place, bool ok, struct error *err)
    __attribute__((warn_unused_result));

#define JOURNAL_WAIT_MAX 256

/* What a restarted migrator has to know and the topology does not say. */
struct recollection {
    uint64_t entry_epoch; /* of the newest phase record */
    uint64_t base;        /* of the newest base record; 0: none */
    uint64_t former_base; /* of the one before it, whose metadata may be there; 0: none */
    int64_t evicted[2];   /* then, on source and target */
    uint64_t backfilled;  /* the base whose backfill is done */
    uint64_t switched_at_ms;
    uint64_t created_at_ms; /* of the first record; 0: none */
#define X(field, name, kind, help) uint64_t field;
    PROGRESS_RECALLED(X)
#undef X
    char waits_for[JOURNAL_WAIT_MAX]; /* of the newest waiting record; empty: nothing */
    bool was_switched;
    /* The operator's switch or rollback, from when it was begun: the hold clears it in the
     * topology, and an undone hold is begun again without it. Never goes back to less. */
    enum migration_request requested;
};

bool journal_recall(struct store *store, uint64_t migration, struct recollection *recollection,
                    struct error *err) __attribute__((warn_unused_result));

#endif
