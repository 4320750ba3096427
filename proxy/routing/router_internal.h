/* Shared by the files of proxy/routing only. */
#ifndef PROXY_ROUTING_ROUTER_INTERNAL_H
#define PROXY_ROUTING_ROUTER_INTERNAL_H

#include "lib/resp/command_parser.h"
#include "lib/shard/metadata.h"
#include "proxy/routing/router.h"
#include "proxy/routing/waiters.h"

struct dual_write;
struct split;
struct subscriber;
struct aside;
struct replica_reads;

/* The way to one shard, in one protocol. */
struct lane {
    struct router *router;
    struct backend *backend;
    struct lane
        *resp3; /* of RESP2's lane: the other one to its shard, null until a client needs it */
    struct shard_identity process;
    struct endpoint endpoint;
    struct request_queue waiting; /* for the backend to become ready */
    uint64_t drained_epoch;       /* both lanes have drained for it; of RESP2's lane */
};

/* The names of the metadata that were used last. No migration has the id 0. */
struct named_base {
    uint64_t migration, base;
    enum direction direction;
    struct metadata_names names;
};

struct router {
    struct router_settings settings;
    struct router_events events;
    struct snapshot *snapshot;
    struct lane **lanes; /* RESP2's, by shard index of the snapshot */
    unsigned nlanes;
    bool has_resp3; /* some lane to a shard has, or had, one of RESP3 beside it */
    struct request_queue held;
    struct split *splits; /* recycled */
    unsigned nsplits;
    struct private_lane *private_lanes;         /* all open ones */
    struct private_lane *next_private_lane;     /* of the walk over them; else null */
    unsigned nuploads;                          /* of all clients, whose shard lacks the end */
    struct subscriber *subscribers;             /* all clients' */
    struct blocking *blockings, *last_blocking; /* all clients' blocked commands, oldest first */
    struct aside *asides;                       /* all clients' */
    struct replica_reads *replica_reads;        /* null: only primaries are read */
    struct script_memory *scripts;              /* null until a client uses scripts */
    struct waiters waiters;                     /* the same, by the keys they take elements from */
    struct blocking *promoted; /* whose turn has come since promotion_task was put down */
    struct turn_task promotion_task;
    struct turn_task drain_task;
    bool is_draining; /* some lane's drained_epoch is behind */
    /* Dual writes whose client waits for the mirror, oldest first. */
    struct dual_write *mirrors_first, **mirrors_last;
    uint64_t breaker_until_us;      /* until then nobody waits for a mirror */
    uint64_t memory_short_until_us; /* until then what needs no memory goes by marked_write */
    struct command_parser parser;
    struct named_base last_named;
};

static inline uint64_t router_now_us(const struct router *router)
{
    return loop_now_us(router->settings.backend.loop);
}

/* router.c */
void router_answer_unavailable(struct router *router, struct request *request, const char *why);
void router_answer_unknown(struct router *router, struct request *request);
/* It was handed over, and not a byte of it was sent; or it only reads. */
void router_redispatch(struct router *router, struct request *request);
/* Those that have to wait again go behind in the same order. */
void router_redispatch_all(struct router *router, struct request_queue *queue);
void router_keep_bytes(struct request *request, struct slice bytes);
/* After any reply: a lane may have drained. */
void router_reply_seen(struct router *router);

/* A connection to this shard was given up elsewhere: it counts as in flight. False: unknown shard.
 */
bool router_orphan(struct router *router, const char *shard, uint64_t connection_id);

/* lane.c */
struct lane *lane_new(struct router *router, unsigned char protocol);
/* Both of a shard, given RESP2's. What waits on them goes to the end of `orphaned`: dispatch tells
 * where it belongs now. */
void lane_free_both(struct lane *lane, struct request_queue *orphaned);
/* To the shard of the adopted topology, at lane->endpoint. */
void lane_point(struct lane *lane, unsigned shard);
/* The lane for requests of this protocol. */
struct lane *lane_to(struct router *router, unsigned shard, unsigned char protocol);
/* RESP2's; null: the topology has no such shard any more. */
struct lane *lane_find(const struct router *router, const char *shard);

/* private_lane.c: before the newer snapshot rules, and after. */
void private_lanes_mark(struct router *router, const struct snapshot *newer);
void private_lanes_adopt(struct router *router, const struct snapshot *older);
bool private_lanes_have_ended(const struct router *router, const char *shard);
void private_lanes_tick(struct router *router);
void private_lanes_expel(struct router *router, const char *shard);
/* On router_free: what is whole, and whose clients are gone, has not been waited for. */
void private_lanes_end_uploads(struct router *router);

/* subscriber.c: after the newer snapshot rules. */
void subscribers_adopt(struct router *router);
bool subscribers_have_caught_up(const struct router *router);
void subscribers_tick(struct router *router);
void subscribers_expel(struct router *router, const char *shard);

/* split.c */
void splits_fini(struct router *router);

/* blocking.c */
void blocking_init(struct router *router);
void blocking_fini(struct router *router);
void blocking_tick(struct router *router);

/* aside.c */
void asides_tick(struct router *router);
void asides_forget_all(struct router *router);

/* dual_write.c: a write to a slot that has a copy, or a client's transaction anywhere. `entry` is
 * null when the request has no slot. */
void dual_write_start(struct router *router, struct backend *authority, struct request *request,
                      const struct slot_entry *entry, struct slice bytes);
void dual_write_tick(struct router *router);
/* On router_free, after the backends are gone. */
void dual_write_forget_all(struct router *router);

#endif
