/* What one thread of the proxy counts: written by that thread alone, read by the control thread
 * for /metrics and /stats (lib/metrics/counter.h). */
#ifndef PROXY_REQUEST_COUNTERS_H
#define PROXY_REQUEST_COUNTERS_H

#include "lib/metrics/counter.h"
#include "lib/metrics/histogram.h"
#include "lib/topology/topology.h"

#define COUNTED_COMMANDS 512 /* ids above share the last place */
#define COUNTED_SHARDS   64  /* shard indexes above share the last place */

/* X(field, "label value"): errors that clients were given, by kind. */
#define COUNTED_ERRORS(X)                                                                \
    X(unavailable, "unavailable") /* -UNAVAILABLE: not executed */                       \
    X(unknown, "unknown")         /* -UNKNOWN: may have been executed */                 \
    X(protocol, "protocol")       /* malformed bytes, connection closed */               \
    X(refused, "refused")         /* not supported, CROSSSLOT, unknown command, arity */ \
    X(shard, "shard")             /* an error reply of a shard, passed on */

struct shard_counters {
    struct counter requests;
    struct counter bytes_out; /* to the shard */
    struct counter bytes_in;
    struct counter in_flight; /* gauge */
    struct counter waiting;   /* gauge: requests that wait for the connection */
    struct counter connects;
    struct counter failures;   /* connections lost or refused */
    struct counter overloaded; /* requests refused since too much was under way */
    struct histogram latency;
};

/* Of all replicas of a shard. */
struct replica_counters {
    struct counter answered; /* reads */
    struct counter resent;   /* reads that the primary had to answer after all */
    struct shard_counters connections;
};

struct counters {
    struct counter commands[COUNTED_COMMANDS];
    struct shard_counters shards[COUNTED_SHARDS];
    struct replica_counters replicas[COUNTED_SHARDS];
    struct counter ticks;   /* of its timer: the thread is alive */
    struct counter clients; /* gauge */
    struct counter blocked; /* gauge: clients that wait for an element */
    struct counter accepted;
    struct counter rejected;          /* connections above maxclients */
    struct counter handshakes_failed; /* of TLS, by clients */
    struct counter timed_out;         /* idle clients closed */
    struct counter denied;            /* commands and log-ins, by the rules about users */
    struct counter bytes_in;          /* from clients */
    struct counter bytes_out;
    struct counter slow_readers; /* clients cut off */
    struct counter dual_writes;
    struct counter mirrors_failed;      /* the mark stays: the migrator repairs */
    struct counter mirrors_late;        /* answered the client before the mirror had */
    struct counter held;                /* requests that waited in a hold */
    struct counter held_now;            /* gauge */
    struct counter epoch;               /* gauge: adopted */
    struct counter subscribers;         /* gauge: clients with subscriptions */
    struct counter subscriptions;       /* gauge: theirs, patterns too */
    struct counter messages;            /* handed to subscribers */
    struct counter subscription_breaks; /* connections for subscriptions that were lost */
    struct histogram latency;           /* of all client commands */
    struct histogram hold_wait;         /* of held requests */
#define X(field, label) struct counter errors_##field;
    COUNTED_ERRORS(X)
#undef X
};

static inline unsigned counters_place(unsigned shard)
{
    return shard < COUNTED_SHARDS ? shard : COUNTED_SHARDS - 1;
}

static inline struct shard_counters *counters_of_shard(struct counters *counters, unsigned shard)
{
    return &counters->shards[counters_place(shard)];
}

static inline struct replica_counters *counters_of_replicas(struct counters *counters,
                                                            unsigned shard)
{
    return &counters->replicas[counters_place(shard)];
}

static inline void counters_command(struct counters *counters, unsigned id)
{
    counter_add(&counters->commands[id < COUNTED_COMMANDS ? id : COUNTED_COMMANDS - 1], 1);
}

#endif
