/* Finds the replicas of all shards, how far behind they are and how soon they answer, while the
 * option read-from wants to know.
 *
 *   publisher --- INFO replication ---> primary: its replicas, and the offset O of what it wrote
 *   a connection of our own --- INFO replication ---> each replica: the offset it has carried out
 *
 * A replica that has carried out O was level with the primary when the primary was asked: that
 * time, on our own clock, is what workers are told. It needs nobody else's clock, and an idle
 * primary, a cut link and a hanging replica are all the same to it. Everything is forgotten with
 * each epoch: see proxy/routing/replica_reads.h. One thread: the control thread. */
#ifndef PROXY_CONTROL_REPLICA_WATCH_H
#define PROXY_CONTROL_REPLICA_WATCH_H

#include "lib/net/address.h"
#include "lib/topology/topology.h"
#include "proxy/config/read_policy.h"
#include "proxy/control/publisher.h"
#include "proxy/control/replica_names.h"
#include "proxy/routing/router.h"

struct replica_watch;

struct replica_watch_events {
    void (*on_found)(void *context, struct replica_list *list); /* the receiver's to mem_free */
    replica_name_ask_fn *on_name; /* to be answered by replica_watch_locate, or not at all */
    void *context;
};

struct replica_watch *replica_watch_new(const struct backend_shared *shared,
                                        const struct replica_watch_events *events);
void replica_watch_free(struct replica_watch *watch); /* null is allowed */
void replica_watch_tune(struct replica_watch *watch, enum read_policy policy, uint64_t lag_max_us);
/* The topology must stay until the next, or the end. */
void replica_watch_adopt(struct replica_watch *watch, const struct topology *topology);
/* `publishers` by shard index, as adopted. */
void replica_watch_tick(struct replica_watch *watch, struct publisher *const *publishers,
                        uint64_t now_us);
/* What publisher_events.on_replication tells. */
void replica_watch_hear(struct replica_watch *watch, unsigned shard, uint64_t asked_us,
                        struct slice reply);

/* What the name of a replica stands for now. */
void replica_watch_locate(struct replica_watch *watch, const char *host,
                          const struct endpoint *endpoint);

struct replica_report {
    char address[ADDRESS_TEXT_MAX];
    bool is_level;       /* within the bound */
    bool is_chosen;      /* read from */
    uint64_t lag_us;     /* at most; UINT64_MAX: not known */
    uint64_t latency_us; /* 0: not known */
};

/* The next of the shard's replicas; `position` is 0 at first. False: there is none. */
bool replica_watch_report(const struct replica_watch *watch, unsigned shard, unsigned position,
                          struct replica_report *report);

#endif
