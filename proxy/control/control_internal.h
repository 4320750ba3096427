/* Shared by the files of proxy/control only. Everything here belongs to the control
 * thread; what workers report comes by mail. */
#ifndef PROXY_CONTROL_CONTROL_INTERNAL_H
#define PROXY_CONTROL_CONTROL_INTERNAL_H

#include "lib/cluster/feed.h"
#include "lib/net/http.h"
#include "lib/net/mailbox.h"
#include "proxy/control/control.h"
#include "proxy/control/publisher.h"
#include "proxy/control/replica_watch.h"
#include "proxy/control/sentinel_watch.h"
#include "proxy/control/steward.h"
#include "proxy/worker/worker.h"

#define ACL_TEXT_MAX          ((size_t)16 << 20)
#define CONTROL_SCRATCH_BYTES ((size_t)64 << 10)

/* A hold that this proxy has adopted. */
struct seen_hold {
    uint64_t migration, entry_epoch;
    uint64_t since_us;
    uint64_t asked_at_us; /* when the steward was asked to undo it; 0: not yet */
};

/* A shard that is not the process the topology names. */
struct seen_stranger {
    char shard[SHARD_NAME_MAX + 1];
    uint64_t asked_at_us;
};

struct control {
    struct proxy_config *config;
    struct loop *loop;
    struct mailbox *mailbox;
    struct timer tick;
    struct io feed_io, signal_io;
    int signal_fd;
    uint64_t started_us;
    /* The store and what it said. */
    struct store *store; /* until the feed has it */
    struct feed *feed;
    struct steward *steward; /* leases, undoing holds: quick */
    struct steward *rescuer; /* takeovers, which may hang on a shard */
    struct sentinel_watch *sentinel_watch;
    struct replica_watch *replica_watch;
    struct snapshot *snapshot;
    struct endpoint *endpoints; /* by shard index */
    uint64_t looked_up_us;      /* when names were asked for again */
    uint64_t renewed_at_us;
    bool store_failed;
    struct seen_hold *holds; /* one a held migration of the snapshot */
    unsigned nholds;
    struct seen_stranger strangers[16]; /* a ring: forgetting one only asks again */
    unsigned next_stranger;
    uint64_t holds_seen; /* counters for /metrics */
    struct histogram hold_length;
    /* The data plane. */
    struct worker **workers;
    struct counters *worker_counters; /* by worker */
    unsigned nworkers, nidle;
    struct acl *acl;          /* whom the workers know */
    struct buffer acl_text;   /* of the file, as it was read last */
    struct fleet_facts facts; /* as told to the workers last */
    uint64_t surveyed_us;
    bool is_survey_due;
    uint64_t surveyed_commands;
    struct publisher **publishers; /* by shard index */
    unsigned npublishers;
    struct backend_shared shared; /* of the publishers */
    struct request_pool pool;
    struct counters counters;
    const struct command_table *table;
    struct command_table **learnt_tables; /* kept: workers may still look at an older one */
    unsigned nlearnt;
    char **versions; /* likewise */
    unsigned nversions;
    /* Clients and operators. */
    char listen_address[300], tls_address[300]; /* tls: "none" without such a listener */
    uint16_t port;
    struct tls_context *client_tls, *shard_tls; /* client_tls null: all clients are plain */
    struct admin_access *admin_access;
    struct http_server *http;
    struct store_member member;
    bool is_draining;
    uint64_t drain_until_us;
    uint64_t alive_period_us; /* 0: no service manager watches */
    uint64_t said_alive_us;
    uint64_t *seen_ticks; /* of the workers, when that was said last */
    char scratch[CONTROL_SCRATCH_BYTES];
};

/* control.c */
void control_refresh(struct control *control);
void control_take_over(struct control *control, const char *shard);
/* The configuration has changed: tells the workers. */
void control_tune(struct control *control);
struct publisher *control_publisher(const struct control *control, const char *shard);

/* lifecycle.c: signals, and what a service manager is told. */
void lifecycle_open(struct control *control);
void lifecycle_close(struct control *control);
void lifecycle_tick(struct control *control, uint64_t now);

/* reports.c: what workers say, handed to the control thread. */
struct worker_reports reports_of(struct control *control);

/* learning.c */
void learning_take(struct control *control, struct slice command_reply, struct slice info_reply);
void learning_survey(struct control *control, uint64_t now);
void learning_fini(struct control *control);

/* users.c: reads the users again and hands them to the workers, as SIGHUP and ACL LOAD ask. False:
 * they stay as they are. */
bool users_load(struct control *control, struct error *err) __attribute__((warn_unused_result));
/* The same users by the commands of another table, for the workers to take both at once: rules
 * count by a table's ids, and one with those of another would be judged as other commands'. */
bool users_learn(struct control *control, const struct command_table *table, struct error *err)
    __attribute__((warn_unused_result));
void users_fini(struct control *control);
/* listening.c: the listeners, by worker. Null with a message; the caller's to close
 * until the workers have them, and to free with mem_free. */
struct listeners *listening_open(struct control *control, struct error *err)
    __attribute__((warn_unused_result));
void listening_close(const struct control *control,
                     const struct listeners *listeners); /* or null */

/* certificates.c: the TLS contexts, from files. */
bool certificates_load(struct control *control, struct error *err)
    __attribute__((warn_unused_result));
void certificates_reload(struct control *control); /* what is wrong is logged, and the old kept */
void certificates_free(struct control *control);

/* admin.c: who may ask, which is settled first; then the endpoint. */
bool admin_load(struct control *control, struct error *err) __attribute__((warn_unused_result));
void admin_reload(struct control *control); /* what is wrong is logged, and the old kept */
bool admin_open(struct control *control, struct error *err) __attribute__((warn_unused_result));
void admin_close(struct control *control);

/* stats.c */
void stats_write_metrics(const struct control *control, struct buffer *text);
void stats_write_json(const struct control *control, struct buffer *text);

#endif
