/* The fence and the guards of a shard, from the control plane's side: one function a script.
 * DESIGN.md sections 5 and 6; docs/internals/on-shard.md. Blocking; the link's thread.
 *
 * All fail with a message; what the caller must tell apart is the outcome. */
#ifndef LIB_SHARD_FENCE_H
#define LIB_SHARD_FENCE_H

#include "lib/shard/metadata.h"
#include "lib/shard/shard.h"

enum fence_outcome {
    FENCE_OK,
    FENCE_UNFENCED, /* the fence is absent or names another process, cluster or shard */
    FENCE_STALE, /* a guard is larger, or a peer said hello again: read the store, or look, again */
    FENCE_LOST,  /* metadata or a sentinel are gone, or keys were evicted: a new base is needed */
    FENCE_OOM,   /* the shard refused for memory: try later */
    FENCE_FAILED, /* connection, BUSY, LOADING, ACL: err says; try again */
};

/* What the fence of a shard says; all empty and 0 when it is absent. */
struct fence_state {
    bool exists;
    char cluster[33];
    char shard[SHARD_NAME_MAX + 1];
    struct shard_identity identity; /* that the fence names */
    uint64_t epoch;
    uint64_t
        pruned; /* the largest generation of the guards that fence_prune has removed; 0: none */
};

bool fence_read(struct shard_link *link, struct fence_state *state, struct error *err)
    __attribute__((warn_unused_result));

/* What one guard of a shard says. */
struct guard_record {
    uint64_t migration, generation;
    enum guard_state state;
};

/* All guards of the shard: of each migration that touched it and is not pruned. *guards is freed
 * with mem_free. */
bool fence_guards(struct shard_link *link, struct guard_record **guards, unsigned *count,
                  struct error *err) __attribute__((warn_unused_result));

/* When a fence may be written. */
enum fence_write_mode {
    FENCE_WRITE_FIRST,    /* init, shard add: only where there is none */
    FENCE_WRITE_TAKEOVER, /* only over one of this cluster and shard; guards are kept */
    FENCE_WRITE_ACCEPT,   /* absent or of this cluster and shard (`shard accept`, empty=serve) */
};

/* CLIENT KILL of every other normal and subscribed connection: one from before says no hello again,
 * and the peers that would lead to it are gone with the fence. */
bool fence_kill_everybody(struct shard_link *link, struct error *err)
    __attribute__((warn_unused_result));

/* Writes {cluster, shard, identity of the link's process, epoch} and empties the peers. The epoch
 * never goes down. The caller has killed the connections. Where there was none, guards of
 * generations below `epoch` are refused from then on, so it must not be above the generation of any
 * migration, or debt, that is open on the shard. */
enum fence_outcome fence_write(struct shard_link *link, enum fence_write_mode mode,
                               const char *cluster, const char *shard, uint64_t epoch,
                               struct error *err) __attribute__((warn_unused_result));

/* Closes the link's process, which is a shard's no more, to all proxies for good, and ends their
 * connections: its fence names no process then, and is raised to `epoch`. `seen` is the fence's
 * epoch, as read before the caller made sure of that; STALE: the fence has been written since. Ends
 * a CLIENT PAUSE, too. */
enum fence_outcome fence_close(struct shard_link *link, uint64_t seen, uint64_t epoch,
                               struct error *err) __attribute__((warn_unused_result));

/* A proxy process that said hello to this shard. */
struct fence_peer {
    char name[192];         /* "<proxy>:<incarnation>" */
    uint64_t connection_id; /* of its newest connection */
    uint64_t epoch;         /* that it has published here; 0: none yet */
};

/* Raises the fence to max(epoch), then reads the peers, in one script. *peers: mem_free. */
enum fence_outcome fence_raise(struct shard_link *link, const struct shard_identity *identity,
                               uint64_t epoch, struct fence_peer **peers, unsigned *count,
                               struct error *err) __attribute__((warn_unused_result));
/* CLIENT LIST, then CLIENT KILL ID each connection named "sluice:<peer name>". */
bool fence_kill_peer(struct shard_link *link, const char *peer_name, unsigned *killed,
                     struct error *err) __attribute__((warn_unused_result));
/* The same of all connections of Sluice's programs but this one: those of operators stay. */
bool fence_kill_programs(struct shard_link *link, struct error *err)
    __attribute__((warn_unused_result));
/* Forgets the peer if its newest connection is still the one given. */
enum fence_outcome fence_remove_peer(struct shard_link *link, const struct fence_peer *peer,
                                     struct error *err) __attribute__((warn_unused_result));

/* Everything below: `identity` is what the topology names; the script checks that the fence names
 * it too. */
struct guard_claim {
    const struct shard_identity *identity;
    uint64_t migration;
    uint64_t generation;
};

/* Makes a base's metadata on one shard, with sentinels, and its guard at (generation, state):
 * seq and dirty where `is_authority`, else ver. Resets nothing that is there. */
enum fence_outcome fence_make(struct shard_link *link, const struct guard_claim *claim,
                              enum guard_state state, const struct metadata_names *names,
                              bool is_authority, struct error *err)
    __attribute__((warn_unused_result));

/* Moves the guard to (generation, state) if that is not smaller than what stands. With `ver` not
 * null, only while ver's sentinel is there; with evicted_keys >= 0 only while the server's
 * evicted_keys is still that (the owner script). */
enum fence_outcome fence_guard(struct shard_link *link, const struct guard_claim *claim,
                               enum guard_state state, const char *ver, int64_t evicted_keys,
                               struct error *err) __attribute__((warn_unused_result));

#define FENCE_DROP_MAX 8

/* Drops the named metadata, at most FENCE_DROP_MAX of them, once the guard is closed for this
 * generation. */
enum fence_outcome fence_drop(struct shard_link *link, const struct guard_claim *claim,
                              const struct slice *names, unsigned count, struct error *err)
    __attribute__((warn_unused_result));

/* Drops the named metadata, at most FENCE_DROP_MAX of them, of a base that is over. */
enum fence_outcome fence_forget(struct shard_link *link, const struct shard_identity *identity,
                                const struct slice *names, unsigned count, struct error *err)
    __attribute__((warn_unused_result));

/* Removes the guards that are closed at generations below the horizon, and refuses such generations
 * altogether where there is no guard. No migration, and no debt, that is open on the shard may have
 * one below it, nor any that begins later. */
enum fence_outcome fence_prune(struct shard_link *link, const struct shard_identity *identity,
                               uint64_t horizon, uint64_t *removed, struct error *err)
    __attribute__((warn_unused_result));

/* The outcome that a script's error reply means ("STALE ..." -> FENCE_STALE, ...). */
enum fence_outcome fence_outcome_of(struct slice error_text);

#endif
