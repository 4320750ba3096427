/* The two shards between which keys are copied, and how copying fails.
 *
 * The authority owns the slots, the copy follows it; after the switch the same two have changed
 * places. Everything in copy/ works on a pair: it reads states, applies, compares and clears marks
 * under DESIGN.md section 6, and knows nothing of phases or of the store. One thread. */
#ifndef MIGRATOR_COPY_PAIR_H
#define MIGRATOR_COPY_PAIR_H

#include "lib/shard/fence.h"
#include "migrator/copy/pace.h"
#include "migrator/copy/probe.h"
#include "migrator/copy/throttle.h"

enum copy_status {
    COPY_OK,
    COPY_INTERRUPTED, /* may_go_on said no: the topology changed, or the program is to end */
    COPY_FAILED       /* pair->failure says what and on which shard */
};

struct copy_failure {
    enum fence_outcome outcome;
    bool on_copy; /* else on the authority */
    struct error why;
};

/* A key that was unequal without a mark: what the report calls a finding. */
struct copy_finding {
    struct slice key;
    bool only_on_copy;
};

/* What copy/ asks and tells its caller. */
struct copy_hooks {
    bool (*may_go_on)(void *context); /* asked before each batch */
    void (*moved)(void *context, uint64_t keys, uint64_t bytes);
    void (*verified)(void *context, uint64_t keys);
    void (*found)(void *context, const struct copy_finding *finding);
    void (*large)(void *context, struct slice key, uint64_t size_bytes);
    /* A key whose repair was refused, or is not behind and yet unequal; may be null. */
    void (*troubled)(void *context, struct slice key, const char *why);
    /* Whether the copy has memory for more; asked before each batch, with no reply of the copy
     * outstanding; null: always. */
    bool (*has_room)(void *context);
    void *context;
};

/* How keys' states are read; see state.h. */
enum state_reading {
    READ_STRINGS, /* quick */
    READ_ALL,     /* every type */
    READINGS
};

struct copy_side {
    struct shard_link *link;
    const struct shard_identity *identity; /* that the topology names */
};

/* What the readings so far have shown, and lets the next ones ask for more at once, or for less.
 * Kept by the caller from pair to pair; each use is checked, so that it may be out of date. */
struct copy_habits {
    /* How many keys the next group of each reading may have; 0: not known yet. */
    unsigned group_keys[READINGS];
    /* No key of the authority's shard, of the copy's, when last looked at. */
    bool has_no_expiries[2];
};

/* What came of the first of two things of which both have to be done; see pair_first. */
struct copy_outcome {
    enum copy_status status;
    struct copy_failure failure;
};

struct copy_pair {
    struct copy_side authority;
    struct copy_side copy;
    struct metadata_names names; /* of (migration, base, direction) */
    uint64_t migration;
    uint64_t generation;
    const struct slot_set *slots;
    uint64_t max_skew_ms;
    uint64_t large_key_bytes;
    struct throttle *throttle;
    struct pace *pace; /* null: never rest */
    struct probe *probe;
    uint64_t working_since_us; /* since the last rest; 0: since now */
    const struct copy_hooks *hooks;
    struct copy_habits *habits;
    struct copy_failure failure;
};

/* Whether a key, as SCAN names it, is one of this migration's. */
bool pair_has_key(const struct copy_pair *pair, struct slice key);
/* Asks may_go_on. */
enum copy_status pair_check(struct copy_pair *pair);
/* Records the failure; returns COPY_FAILED, so that `return pair_fail(...)` reads well. */
enum copy_status pair_fail(struct copy_pair *pair, bool on_copy, enum fence_outcome outcome,
                           const struct error *why);
/* Of two things that are both done, whatever comes of the first, the first failure is the one that
 * counts: pair_keep keeps the first one's, pair_first returns the status of both. */
struct copy_outcome pair_keep(const struct copy_pair *pair, enum copy_status first);
enum copy_status pair_first(struct copy_pair *pair, const struct copy_outcome *first,
                            enum copy_status second);
/* Takes one reply of a side; null after a broken connection or an error reply, with the failure
 * recorded. `what` names the command in the message. */
struct shard_reply *pair_take(struct copy_pair *pair, bool on_copy, const char *what);
enum copy_status pair_flush(struct copy_pair *pair, bool on_copy);
struct copy_side *pair_side(struct copy_pair *pair, bool on_copy);
/* How many keys a shard gets in one step where it may get `most`: fewer while clients are spared,
 * for they wait behind it. */
unsigned pair_step(const struct copy_pair *pair, unsigned most);
bool pair_has_room(const struct copy_pair *pair);
/* Waits until the copy has memory for more. */
enum copy_status pair_await_room(struct copy_pair *pair);
/* Waits as the throttle and the pace want, in pieces, so that the program can end. */
enum copy_status pair_pay(struct copy_pair *pair, uint64_t keys, uint64_t bytes);
/* Of work that the operator's rate does not count: as the pace wants. */
enum copy_status pair_rest(struct copy_pair *pair);

#endif
