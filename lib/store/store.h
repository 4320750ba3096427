/* The store: where the topology lives, and who is told when it changes. DESIGN.md section 4.
 *
 * An interface with two implementations: file_store.c (`file:DIR`) and etcd_store.c (`etcd:...`).
 * Calls block (fsync, network), for a few seconds at most while nobody answers: threads of the
 * control plane that have nothing else to do meanwhile, each with a handle of its own. */
#ifndef LIB_STORE_STORE_H
#define LIB_STORE_STORE_H

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/topology/topology.h"

struct store;

/* What became of a compare-and-swap. */
enum cas_result {
    CAS_DONE,    /* the new topology is in the store */
    CAS_LOST,    /* somebody else wrote that epoch first: read again, decide again */
    CAS_UNKNOWN, /* may or may not be: settle it by store_read before touching a shard */
    CAS_FAILED,  /* it is certainly not in the store; err says why */
};

/* A running proxy or migrator, for operators and to shorten waiting; nothing safe hangs on it. */
#define STORE_ID_MAX 63

struct store_member {
    char kind[16];             /* "proxy" or "migrator" */
    char id[STORE_ID_MAX + 1]; /* --id */
    char incarnation[17];      /* random, new at every start */
    char address[300];         /* where clients connect; empty for a migrator */
    char admin[300];
    uint64_t pid;
    uint64_t epoch;            /* adopted */
    uint64_t heartbeat_age_ms; /* filled by store_ages */
    bool is_alive;             /* lease not run out; filled by store_members */
    uint64_t lease;            /* the store's own; filled by store_members */
};

#define STORE_LEASE_MS 5000 /* a member that was not renewed for so long is not alive */
#define STORE_LEAD_MS  3000 /* a leader that was not heard of for so long leads no more */

/* "file:DIR", whose folder need not exist before store_create, or what etcd_place.h says. Nothing
 * is asked yet. Null with a message. */
struct store *store_open(const char *url, struct error *err) __attribute__((warn_unused_result));
void store_close(struct store *store);
/* What store_open would say to it. */
bool store_check_url(const char *url, struct error *err) __attribute__((warn_unused_result));
/* A member's id: 1 to STORE_ID_MAX of [A-Za-z0-9_.-], and of [:[]], so that an address is one. */
bool store_check_id(const char *id, struct error *err) __attribute__((warn_unused_result));
const char *store_url(const struct store *store);

/* Linearizable. Null with a message; when the cluster was never initialised, *is_missing (may be
 * null) is set and the message says to run `sluicectl init`. */
struct topology *store_read(struct store *store, bool *is_missing, struct error *err)
    __attribute__((warn_unused_result));
/* False with a message when this user is not allowed to write there, which only an operator
 * changes: asked by a program at its start. What may pass by itself (nobody answers, a full disk)
 * is no reason to refuse. */
bool store_may_write(struct store *store, struct error *err) __attribute__((warn_unused_result));
/* The newest epoch, cheaply: for asking "has anything changed?" between two batches. With an open
 * watch it may be what that told a moment ago; store_read tells for certain. */
bool store_epoch(struct store *store, uint64_t *epoch, struct error *err)
    __attribute__((warn_unused_result));
/* Writes epoch 1 (topology->epoch == 1); CAS_LOST when there is one already. */
enum cas_result store_create(struct store *store, const struct topology *topology,
                             struct error *err) __attribute__((warn_unused_result));
/* Makes the place, where it is not there: what an append into an empty store needs. */
bool store_prepare(struct store *store, struct error *err) __attribute__((warn_unused_result));
/* The first topology of a copy or a backup, with the epoch that it has; CAS_LOST when there is any.
 */
enum cas_result store_import(struct store *store, const struct topology *topology,
                             struct error *err) __attribute__((warn_unused_result));
/* Writes `next` if the newest epoch is next->epoch - 1. `next` must validate. */
enum cas_result store_cas(struct store *store, const struct topology *next, struct error *err)
    __attribute__((warn_unused_result));

/* A hint, before something that must be short: exactly `next` will probably be written by
 * store_cas, at once or behind changes of earlier epochs. The store does in advance what it can;
 * nobody sees anything of it, and store_cas decides alone. Only the last hint counts. */
void store_stage(struct store *store, const struct topology *next);

/* A descriptor that becomes readable when something may have changed; call store_watch_clear then
 * store_epoch. Owned by the store. -1: none, poll instead. */
int store_watch_fd(struct store *store);
void store_watch_clear(struct store *store);
/* Block until the newest epoch is above `epoch` or the time is over (false), whether the store
 * answers or not. */
bool store_wait(struct store *store, uint64_t epoch, uint64_t timeout_ms);

/* Registers or renews; called every STORE_LEASE_MS / 5. The member's name is kind/id/incarnation.
 */
bool store_renew(struct store *store, const struct store_member *member, struct error *err)
    __attribute__((warn_unused_result));
/* Logs a warning when another of its kind has its id and is alive; asked once, and not before
 * STORE_LEASE_MS: one that was killed and started again would meet its own past. */
void store_warn_of_namesake(struct store *store, const struct store_member *member);
bool store_unregister(struct store *store, const struct store_member *member, struct error *err)
    __attribute__((warn_unused_result));
/* All that are known, those long gone (10 leases) removed. *members is freed with mem_free. */
bool store_members(struct store *store, struct store_member **members, unsigned *count,
                   struct error *err) __attribute__((warn_unused_result));
/* One of each kind leads: takes the lead when nobody has it, keeps it when it is ours. Called by a
 * registered member, every STORE_LEAD_MS / 5. It keeps two from doing the same work; nothing safe
 * hangs on it, for who was stopped may believe it leads still. *leads is set when it is true. */
bool store_lead(struct store *store, const struct store_member *member, bool *leads,
                struct error *err) __attribute__((warn_unused_result));
/* Gives the lead back, if it is ours. */
bool store_yield(struct store *store, const struct store_member *member, struct error *err)
    __attribute__((warn_unused_result));
/* Fills in how long ago each was heard of; as many questions as members, so only for people. */
bool store_ages(struct store *store, struct store_member *members, unsigned count,
                struct error *err) __attribute__((warn_unused_result));

/* The journal: append-only, one JSON object a line without newlines in it. `record` is that object.
 * Durable when it returns true. */
bool store_append(struct store *store, struct slice record, struct error *err)
    __attribute__((warn_unused_result));
typedef bool journal_read_fn(void *context, struct slice record); /* false: stop */
/* Calls back for each record, oldest first; records that a crash cut short are left out. */
bool store_journal(struct store *store, journal_read_fn *read, void *context, struct error *err)
    __attribute__((warn_unused_result));
/* Only what was appended since the call that left *position as it is; 0 at first. */
bool store_journal_from(struct store *store, uint64_t *position, journal_read_fn *read,
                        void *context, struct error *err) __attribute__((warn_unused_result));

#endif
