/* Shared by the files of proxy/routing only. */
#ifndef PROXY_ROUTING_ROUTER_INTERNAL_H
#define PROXY_ROUTING_ROUTER_INTERNAL_H

#include "lib/resp/command_parser.h"
#include "lib/shard/metadata.h"
#include "proxy/routing/router.h"

struct dual_write;

/* The way to one shard. */
struct lane {
    struct router *router;
    struct backend *backend;
    struct shard_identity process;
    struct request_queue waiting; /* for the backend to become ready */
    uint64_t drain_mark;          /* requests sent up to here have to end ... */
    uint64_t drained_epoch;       /* ... before this may rise to the adopted epoch */
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
    struct lane **lanes; /* by shard index of the snapshot */
    unsigned nlanes;
    struct request_queue held;
    struct turn_task drain_task;
    bool is_draining; /* some lane's drained_epoch is behind */
    /* Dual writes whose client waits for the mirror, oldest first. */
    struct dual_write *mirrors_first, **mirrors_last;
    uint64_t breaker_until_us; /* until then nobody waits for a mirror */
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
void router_redispatch(struct router *router, struct request *request);
void router_keep_bytes(struct request *request, struct slice bytes);
/* After any reply: a lane may have drained. */
void router_reply_seen(struct router *router);

/* dual_write.c */
void dual_write_start(struct router *router, struct request *request,
                      const struct slot_entry *entry, struct slice bytes);
void dual_write_tick(struct router *router);
/* On router_free, after the backends are gone. */
void dual_write_forget_all(struct router *router);

#endif
