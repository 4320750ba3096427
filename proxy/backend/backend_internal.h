/* Shared by backend.c, begun.c and greeting.c only. */
#ifndef PROXY_BACKEND_BACKEND_INTERNAL_H
#define PROXY_BACKEND_BACKEND_INTERNAL_H

#include "lib/net/stream.h"
#include "lib/resp/framer.h"
#include "proxy/backend/backend.h"

/* Why the last greeting failed, if the shard itself said no. */
enum refusal {
    REFUSAL_NONE,
    REFUSAL_FENCED,
    REFUSAL_UNFENCED,
    REFUSAL_OTHER
};

struct backend {
    const struct backend_shared *shared;
    struct backend_events events;
    /* The target. */
    unsigned index;
    struct shard_counters *counters; /* of this index */
    struct histogram_run latency;    /* into its histogram */
    char name[SHARD_NAME_MAX + 1];
    struct endpoint endpoint;
    struct shard_identity identity;
    bool is_targeted;
    /* The connection. */
    enum backend_state state;
    enum refusal refusal;
    struct stream stream;
    struct io io;
    struct framer framer;
    struct buffer out;
    struct turn_task flush_task;
    uint64_t written;       /* bytes of this connection handed to the kernel */
    uint64_t appended;      /* bytes of this connection put into out, ever */
    uint64_t incarnation;   /* a new number for each connection */
    uint64_t connection_id; /* CLIENT ID, known from the greeting on */
    uint64_t started_at_us;
    uint64_t progress_us;   /* when the oldest request got on: bytes of it were written, or read */
    uint64_t stalled_at_us; /* since when it is not read, for a client that has not caught up; 0 */
    uint64_t silent_us, silent_since_us, ticked_us; /* backend.c: count_silence */
    uint64_t retry_at_us;
    unsigned failures; /* in a row, since it was last ready */
    bool has_multi;
    bool is_patient;
    enum backend_greeting greeting;
    unsigned char protocol;     /* 2 or 3: of the replies */
    bool is_in_push;            /* what the framer reads is no reply */
    backend_value_fn *on_value; /* null: it carries requests */
    struct buffer value;        /* of what a listening connection gets: not whole yet */
    bool is_freed;              /* its memory goes at the end of the turn; no more events */
    /* Requests. */
    struct request_queue in_flight;
    unsigned counted_in_flight; /* of them, in the counters of the shard */
    struct request *begun;      /* the shard does not have it whole; else null */
    bool has_begun_last;        /* its last piece is in out */
    uint64_t sent, ended;
    uint64_t drain_mark; /* requests sent up to here are older than the last change of routes */
    uint64_t *orphans;   /* ids of given-up connections whose end is not certain */
    unsigned norphans;
    size_t orphans_capacity;
};

/* backend.c */
void backend_lose(struct backend *backend, const char *why);
void backend_flush(void *backend);
void backend_become_ready(struct backend *backend);
void backend_append(struct backend *backend, struct slice bytes);
/* greeting.c: begins the greeting; ends in backend_become_ready or backend_lose. */
void backend_greet(struct backend *backend);
/* begun.c: all that there is of the begun request has been written. */
void backend_begun_is_written(struct backend *backend);
/* It is not the shard that is slow. */
bool backend_waits_for_more(const struct backend *backend);

#endif
