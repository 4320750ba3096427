/* One migration being carried out by one thread: its view of the topology, its store handle, its
 * links to the two shards, and what it remembers. The phases (migrator/phase) are functions on it.
 *
 * A phase answers what the runner is to do next. Everything a phase does can be done again: a
 * migrator that is killed at any line starts from the topology and the shards, and from the few
 * records that journal_recall reads. */
#ifndef MIGRATOR_ENGINE_ENGINE_H
#define MIGRATOR_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "lib/base/log.h"
#include "migrator/copy/copier.h"
#include "migrator/copy/verifier.h"
#include "migrator/engine/barrier.h"
#include "migrator/engine/journal.h"
#include "migrator/engine/settings.h"
#include "migrator/engine/trouble.h"
#include "migrator/engine/view.h"

enum step_result {
    STEP_ADVANCED, /* something changed: read the topology again */
    STEP_WAIT,     /* nothing to do until the topology changes or wait_ms are over */
    STEP_RETRY     /* a failure, said in `why`: back off */
};

/* The walks over the keys, of one base and one direction; phase/catch_up.c. */
struct walks {
    uint64_t base;
    enum direction direction;
    struct scanner backfill;
    struct verifier verifier;
    bool has_verifier;
    uint64_t backfill_us, verify_us; /* that they took, interruptions left out */
};

/* How fast the copying and the purging may go; pacing.c. */
struct pacing {
    struct probe *probe; /* meanwhile, or before; null: none */
    uint64_t usual_us;   /* latency before the copying; 0: not known */
    struct pace pace;
    bool is_paced; /* `pace` has been set for this copying or purging */
};

/* When the steps of a hold were over; 0: they were not. */
struct hold_steps {
    uint64_t barrier_us;
    uint64_t drain_us;
    uint64_t guards_us;
};

/* The hold that is, if one is, and when the next one may be; phase/hold.c. */
struct hold {
    uint64_t way_back_base;  /* the base whose metadata of the way back we have made */
    uint64_t quiet_since_us; /* the dirty set has stayed below cutover_keys; 0: it has not */
    uint64_t not_before_us;  /* backing off after an undone hold */
    unsigned undone_in_a_row;
    unsigned slow_in_a_row; /* of those that came to their barrier: undone for a slow proxy */
    uint64_t began_us;      /* 0: no hold */
    uint64_t deadline_us;   /* 0: none */
    struct hold_steps steps;
};

/* Whether the owner has on disk and replicas what it was given; phase/settle.c. */
struct settling {
    uint64_t generation;   /* that the rest is of */
    uint64_t offset;       /* of replication, at its beginning */
    uint64_t seen_idle_us; /* no sync of the append-only file was running; 0: not seen yet */
    uint64_t since_us;     /* it began */
    struct error waits_for;
    bool is_over;
};

/* New bases because of evictions; eviction.c. */
struct eviction {
    unsigned in_a_row;
    uint64_t not_before_us; /* the next one */
};

/* Of the copy's memory, as it was last looked at; shards.c. */
struct room {
    uint64_t asked_us; /* 0: never */
    bool is_short;
};

/* Keys copied or compared since the rate was last told; engine.c. */
struct rate {
    uint64_t since_us;
    uint64_t keys;
};

struct engine {
    const struct migrator_settings *settings;
    const atomic_bool *is_stopping;
    struct progress *progress; /* shared: this thread writes, the admin endpoint reads */
    uint64_t id;
    struct store *store;
    struct view view;
    uint64_t epoch_asked_us;              /* when the store was last asked whether that is over */
    struct shard_link *links[SIDE_COUNT]; /* null until needed; identity as the view names it */

    /* What the last step answers beside its result. */
    struct error why; /* of STEP_RETRY */
    uint64_t wait_ms; /* of STEP_WAIT */
    bool is_closed;   /* by us, and journalled */

    /* Copying, in either direction. */
    struct copy_hooks hooks;
    struct copy_habits habits;
    struct throttle throttle;
    struct pacing pacing;
    struct room room;
    struct walks walks;
    struct trouble troubles[TROUBLES_MAX];

    /* Crossing over, and what comes after. */
    struct eviction eviction;
    uint64_t clocks_agreed_us; /* the shards' clocks, when last looked at; 0: they did not */
    struct barrier barrier; /* the last one; its record is still to be written when it has a link */
    enum side barrier_side;
    struct hold hold;
    struct settling settling;
    uint64_t unreachable_since_us; /* the shard to purge; 0: it is there */

    /* What the journal has, so that it is not written again. */
    struct recollection memory;
    uint64_t preflight_digest; /* of the findings in the last record of a preflight; 0: none */
    uint64_t progress_written_us;
    struct rate rate;
};

/* Consumes nothing; `progress` must outlive it. Null with a message when the store cannot be
 * opened. */
struct engine *engine_new(const struct migrator_settings *settings, uint64_t id,
                          struct progress *progress, const atomic_bool *is_stopping,
                          struct error *err) __attribute__((warn_unused_result));
void engine_free(struct engine *engine);

/* Reads the topology. *is_gone: it has no such migration any more. */
bool engine_refresh(struct engine *engine, bool *is_gone, struct error *err)
    __attribute__((warn_unused_result));
/* Whether to go on with what the view says; asked between batches. */
bool engine_may_go_on(struct engine *engine);

/* --- results ---------------------------------------------------------------------------------- */

enum step_result engine_wait(struct engine *engine, uint64_t ms);
enum step_result engine_retry(struct engine *engine, const struct error *why);
/* What follows from a failure on a shard: an unfenced process is taken over, lost metadata begin a
 * new base, a guard that has moved on means that the topology has; all else is tried again. */
enum step_result engine_failed(struct engine *engine, enum side side, enum fence_outcome outcome,
                               const struct error *why);
enum step_result engine_copy_failed(struct engine *engine, const struct copy_pair *pair,
                                    enum copy_status status);

/* --- shards ----------------------------------------------------------------------------------- */

/* Makes sure of a link to the process that the topology names. True, or *result is what the phase
 * is to return. */
bool engine_connect(struct engine *engine, enum side side, enum step_result *result)
    __attribute__((warn_unused_result));
bool engine_connect_both(struct engine *engine, enum step_result *result)
    __attribute__((warn_unused_result));
void engine_disconnect(struct engine *engine, enum side side);
/* Links must be there. `generation` of the view; metadata of the view's base and direction. */
void engine_pair(struct engine *engine, struct copy_pair *pair);
struct guard_claim engine_claim(const struct engine *engine, enum side side);
void engine_names(const struct engine *engine, enum direction direction,
                  struct metadata_names *names);
/* Watches how long the shards take to answer, so that copying can spare their clients. Watching
 * before the copying begins tells what is usual. Neither fails: without it nothing rests. */
void engine_watch_latency(struct engine *engine);
void engine_begin_pacing(struct engine *engine);
/* The same by what was usual before the copying, and without a wait. */
void engine_go_on_pacing(struct engine *engine);
void engine_end_pacing(struct engine *engine);
/* Whether the copy is below copy_memory_limit; looked at now and then, journalled when it changes.
 */
bool engine_copy_has_room(struct engine *engine);
bool engine_evicted_keys(struct engine *engine, enum side side, int64_t *evicted, struct error *err)
    __attribute__((warn_unused_result));
/* Neither shard has evicted a key since the base began. Else a new base begins, and the journal
 * says what the operator can do. */
bool engine_nothing_was_evicted(struct engine *engine, enum step_result *result)
    __attribute__((warn_unused_result));
/* That new base; the more of them in a row, the longer it is waited for. */
enum step_result engine_begin_after_eviction(struct engine *engine, enum side side);
/* Barrier on a side for the present phase; journals what it did, in a hold only when that is over
 * (engine_note_barrier). */
bool engine_barrier(struct engine *engine, enum side side, enum step_result *result)
    __attribute__((warn_unused_result));
/* The same, with something to do meanwhile (barrier.h; its context is the engine). */
bool engine_barrier_busy(struct engine *engine, enum side side,
                         bool (*while_waiting)(void *context), enum step_result *result)
    __attribute__((warn_unused_result));
void engine_note_barrier(struct engine *engine);
/* Gives the live proxies time to hear of the view's epoch, before a hold asks them to be quick. */
bool engine_roll_call(struct engine *engine, enum side side, enum step_result *result)
    __attribute__((warn_unused_result));

/* --- journal ---------------------------------------------------------------------------------- */

/* The phase's record, unless it is there. */
void engine_note_phase(struct engine *engine, bool even_in_hold);
struct journal_place engine_place(const struct engine *engine);
/* What the migration waits for, by itself and for how long nobody knows: for status and the
 * journal, which are told only when it is another thing. Empty: for nothing any more. */
void engine_note_waiting(struct engine *engine, const char *text);
/* Writes progress if `now` or its time has come. */
void engine_publish_progress(struct engine *engine, bool now);
/* journal_append with the engine's place; a failure is logged, not returned. */
#define ENGINE_NOTE(engine, kind, ...)                                                  \
    do {                                                                                \
        struct journal_place place_ = engine_place(engine);                             \
        struct error err_;                                                              \
        if (!journal_append((engine)->store, &place_, &err_, kind, __VA_ARGS__)) {      \
            log_error("journal cannot be written kind=%s why=\"%s\"", kind, err_.text); \
        }                                                                               \
    } while (0)

#endif
