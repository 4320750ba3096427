/* Sends requests where the adopted topology says, for one worker: one backend a shard, requests
 * that have to wait, dual writes. What it must never do: dispatch under an older epoch than the one
 * it has told as drained. One thread. DESIGN.md sections 3, 4 and 6. */
#ifndef PROXY_ROUTING_ROUTER_H
#define PROXY_ROUTING_ROUTER_H

#include "lib/topology/snapshot.h"
#include "proxy/backend/backend.h"

struct router;

/* The control thread's side; called on the worker's thread, must not block. */
struct router_events {
    void (*on_fenced)(void *context);                      /* read the store again */
    void (*on_unfenced)(void *context, const char *shard); /* another process, or no fence */
    /* CLIENT KILL ID there, then router_killed. */
    void (*on_given_up)(void *context, const char *shard, const struct shard_identity *process,
                        uint64_t connection_id);
    /* Nothing dispatched under an epoch older than this to a slot that changed is in flight on the
     * shard any more. */
    void (*on_drained)(void *context, const char *shard, uint64_t epoch);
    void *context;
};

enum dual_write_ack {
    ACK_BOTH,
    ACK_SOURCE
};

/* What may change while it runs. */
struct router_tuning {
    uint64_t shard_timeout_us;   /* the oldest request gets no further for so long: given up */
    uint64_t connect_timeout_us; /* for a connection, and for being let in */
    uint64_t wait_max_us;        /* for a connection that may come */
    uint64_t store_timeout_us;   /* added to a migration's hold_max for held requests */
    uint64_t mirror_timeout_us;  /* answer the client without the copy after that */
    uint64_t queue_max;          /* requests under way to one shard; more are refused */
    enum dual_write_ack ack;
    uint64_t replica_lag_max_us; /* above it a replica is not read; 0: none is */
};

/* A replica of a shard, as the control thread has found it. */
struct replica_place {
    unsigned shard;
    struct endpoint endpoint;
    /* It had then all that the primary had: on the clock of clock_now_us; 0: not known to have. */
    uint64_t level_us;
    bool is_chosen; /* by the policy, to be read from */
};

/* All of them, found while this epoch was adopted. */
struct replica_list {
    uint64_t epoch;
    unsigned count;
    struct replica_place places[];
};

struct router_settings {
    struct backend_shared backend; /* loop, pool, counters, scratch, peer; not its time-outs */
    struct router_tuning tuning;
};

/* `settings` is copied. */
struct router *router_new(const struct router_settings *settings,
                          const struct router_events *events);
void router_free(struct router *router);
void router_tune(struct router *router, const struct router_tuning *tuning);

/* Takes over to a newer snapshot (its own reference) and resolved addresses, one a shard. */
void router_adopt(struct router *router, struct snapshot *snapshot,
                  const struct endpoint *endpoints);
const struct snapshot *router_snapshot(const struct router *router); /* null before the first */
/* The list (mem_alloc) is consumed. Until one of the adopted epoch has come no replica is read. */
void router_take_replicas(struct router *router, struct replica_list *list);
void router_killed(struct router *router, const char *shard, uint64_t connection_id);
/* The shard has lost its fence: closes what is open to it. */
void router_expel(struct router *router, const char *shard);
/* Every few tens of milliseconds. */
void router_tick(struct router *router);
struct request_pool *router_pool(struct router *router);
struct counters *router_counters(struct router *router);

/* Sends the request by its slot, or to its shard. `bytes` is the command as RESP, borrowed for the
 * call (it may be the request's own). request->done is called exactly once: perhaps at once. */
void router_dispatch(struct router *router, struct request *request, struct slice bytes);

/* Index of a shard that can be used now; 0 when there is none. */
unsigned router_usable_shard(const struct router *router);
/* Some shard that gets on has so much waiting to be written that senders should pause. */
bool router_is_congested(const struct router *router);

/* For requests that never reach a shard: write the answer and call done. */
void router_answer_error(struct request *request, const char *error);
void router_answer(struct request *request);

#endif
