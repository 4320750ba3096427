/* A worker: one thread with its listener, its clients, its router and its counters. Workers share
 * nothing; what they are told comes by mail, what they tell goes through worker_reports, what they
 * ask each other goes round (proxy/client/round.h). */
#ifndef PROXY_WORKER_WORKER_H
#define PROXY_WORKER_WORKER_H

#include "lib/acl/acl.h"
#include "lib/command/command.h"
#include "lib/net/tls.h"
#include "lib/topology/snapshot.h"
#include "proxy/client/fleet_facts.h"
#include "proxy/config/limits.h"
#include "proxy/routing/router.h"

struct worker;
struct round;

enum listener_kind {
    LISTENER_PLAIN,
    LISTENER_TLS,
    LISTENER_KINDS
};

struct listeners {
    int fds[LISTENER_KINDS]; /* -1: none */
};

/* Called on the worker's thread: they hand over to another thread and return. */
struct worker_reports {
    void (*on_fenced)(void *context);
    void (*on_unfenced)(void *context, const char *shard);
    void (*on_given_up)(void *context, unsigned worker, const char *shard,
                        const struct shard_identity *process, uint64_t connection_id);
    void (*on_drained)(void *context, unsigned worker, const char *shard, uint64_t epoch);
    void (*on_idle)(void *context, unsigned worker); /* after worker_drain: no client is left */
    /* A client asks that the users be read again; then worker_pass_on(round). */
    void (*on_reload_users)(void *context, unsigned worker, struct round *round);
    void *context;
};

/* What may change while it runs. */
struct worker_tuning {
    struct router_tuning router;
    struct client_limits clients;
};

struct worker_settings {
    unsigned index, count;
    struct worker *const *workers; /* all of them, once the first adopts; outlives their threads */
    struct listeners listeners;    /* the worker's own; taken over */
    uint16_t port;
    struct tls_context *client_tls, *shard_tls; /* all workers'; null: none */
    char peer[160];
    struct worker_tuning tuning;
    struct acl *acl;               /* the worker's own reference */
    struct counters *all_counters; /* by worker; written by each its own */
};

/* Starts the thread; it accepts clients after its first worker_adopt. */
struct worker *worker_start(const struct worker_settings *settings,
                            const struct worker_reports *reports);
/* Ends the thread. Others may still send mail to the worker. */
void worker_stop(struct worker *worker);
/* When all workers have been stopped. */
void worker_free(struct worker *worker);

/* Any thread. The snapshot's reference and the endpoints (mem_alloc) are consumed. */
void worker_adopt(struct worker *worker, struct snapshot *snapshot, struct endpoint *endpoints);
void worker_tune(struct worker *worker, const struct worker_tuning *tuning);
/* What is known of the replicas now; the list (mem_alloc) is consumed. */
void worker_take_replicas(struct worker *worker, struct replica_list *list);
/* A given-up connection to this shard is certainly dead. */
void worker_killed(struct worker *worker, const char *shard, uint64_t connection_id);
/* The shard has lost its fence: its connections are closed. */
void worker_expel(struct worker *worker, const char *shard);
/* The table and the text live as long as the worker; the users, whose rules are by this table, are
 * consumed. */
void worker_learn(struct worker *worker, const struct command_table *table, const char *version,
                  struct acl *acl);
/* Other users; the reference is consumed. */
void worker_take_users(struct worker *worker, struct acl *acl);
/* The round of on_reload_users goes on; `error` null: the users were read, and sent to all. */
void worker_pass_on(struct worker *worker, struct round *round, const char *error);
/* Accept nobody any more, answer what was asked, then on_idle. */
void worker_drain(struct worker *worker);
/* What the shards say of themselves now. */
void worker_tell(struct worker *worker, const struct fleet_facts *facts);

#endif
