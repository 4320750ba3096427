/* Two real shards, a third server that serves as the oracle, a file store, and sluice-migrator; no
 * proxy. What a proxy would do is done by proxy_stand_in.h. Fails the test when it cannot go on.
 * Main thread. */
#ifndef TESTS_SUPPORT_MIGRATION_RIG_H
#define TESTS_SUPPORT_MIGRATION_RIG_H

#include <hiredis/hiredis.h>

#include "lib/store/store.h"
#include "lib/topology/migration_state.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"

#define RIG_NSLOTS  64u
#define RIG_LONG_MS 60000 /* for what has no other bound */

struct migration_rig {
    struct redis_server *source;
    struct redis_server *target;
    struct redis_server *oracle;
    redisContext *on_source;
    redisContext *on_target;
    redisContext *on_oracle;
    char *folder; /* of the store */
    char *url;
    struct store *store;
    struct process *migrator;
    char *migrator_log;
    bool is_to_die;     /* the migrator that runs has a fail point */
    uint64_t migration; /* id; 0: none open yet */
    struct migration_options options;
};

/* Shards "source" (owns all slots) and "target", fenced, in a new store. `redis_options`: as
 * redis_server_start. */
void rig_start(struct migration_rig *rig, const char *const *redis_options);
void rig_stop(struct migration_rig *rig);

/* Connections after a restart of the servers. */
void rig_reconnect(struct migration_rig *rig);

/* Opens the migration of every even slot with rig->options, from the shard that owns them to the
 * other. */
void rig_open_migration(struct migration_rig *rig);
/* The beginning of most stories: `count` keys of every type, a migration, the migrator. Until it
 * has switched; or, by hand, until it is verified and waits for the operator. */
void rig_run_to_switched(struct migration_rig *rig, unsigned count);
void rig_run_to_verified_by_hand(struct migration_rig *rig, unsigned count);
/* And the end of many: finalized, and the target has all. */
void rig_finalize(struct migration_rig *rig);
/* Starts sluice-migrator; `fail` is SLUICE_FAIL's value, null: none. Ends the one that runs. */
void rig_start_migrator(struct migration_rig *rig, const char *fail);
void rig_end_migrator(struct migration_rig *rig);

/* The present phase; closed: -1. */
#define RIG_CLOSED (-1)
int rig_phase(struct migration_rig *rig);
/* Waits; fails the test with the migrator's log. */
void rig_wait_phase(struct migration_rig *rig, int phase);
/* verified == base of the open migration. */
bool rig_is_verified(struct migration_rig *rig);
void rig_wait_verified(struct migration_rig *rig);
/* What sluicectl would do. */
void rig_request(struct migration_rig *rig, enum migration_request request);
void rig_pause(struct migration_rig *rig, bool is_paused);
void rig_enter(struct migration_rig *rig, enum phase to);
/* Changes the open migration as the function wants; retried until it stands. */
typedef void rig_change_fn(struct topology *next, struct migration *migration, void *context);
void rig_change(struct migration_rig *rig, rig_change_fn *change, void *context);

/* Runs one command, words split at spaces as redisCommand does, on the source and on the oracle. */
void rig_load(struct migration_rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Keys of the types whose encodings change with their size, in the encodings of large ones. */
void rig_load_large(struct migration_rig *rig, unsigned i);
/* Keys of every type, `count` of each, with and without expiry. */
void rig_load_all_types(struct migration_rig *rig, unsigned count);

/* Compares, by plain commands of each type, every key of the oracle with its owner's: target for
 * the moved slots, source for others, or the source for all when `moved` is false. Both shards must
 * have no other keys. */
void rig_expect_equal(struct migration_rig *rig, bool moved);
/* The copy too: every key of the moved slots is on both shards, and equal. */
void rig_expect_copies_equal(struct migration_rig *rig);
/* Nothing of Sluice's is left on either shard but the fence. */
void rig_expect_clean(struct migration_rig *rig);
/* Journal records of a kind of this migration. */
unsigned rig_records(struct migration_rig *rig, const char *kind);
bool rig_journal_has(struct migration_rig *rig, const char *text);

#endif
