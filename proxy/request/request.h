/* One unit of work on its way: from a client's command, or a part of one, to a shard and back.
 *
 *   client -> router -> backend -> (shard) -> backend: bytes into *sink, then on_reply
 *                                          -> router: done -> client
 *
 * It stands in one queue at a time (`next`): a backend's, a waiting list, or the pool's. The reply
 * flows into `sink` as it arrives: the client's output when the request is the first of its client,
 * its own `reply` otherwise. One thread: requests belong to their worker's pool. */
#ifndef PROXY_REQUEST_REQUEST_H
#define PROXY_REQUEST_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/command/command.h"

enum outcome {
    OUTCOME_PENDING,
    OUTCOME_REPLY,    /* the whole reply went into the sink */
    OUTCOME_NOT_SENT, /* no byte of it was sent: safe to send elsewhere */
    OUTCOME_UNKNOWN,  /* the connection was lost behind it: it may have been executed, never resent
                       */
};

#define SLOT_NONE UINT32_MAX

struct backend;
struct request;
typedef void request_fn(struct request *request);

/* A client's transaction: request->bytes are its commands, one behind the other, and they go to the
 * shard as one MULTI ... EXEC. */
struct unit {
    const struct command_info **commands;
    unsigned count, capacity;
};

struct request {
    struct request *next;

    /* Reply; written by backend.c, or by whoever answers. */
    struct buffer *sink;   /* null: nobody wants the bytes */
    uint32_t replies_left; /* top-level replies still to come */
    enum outcome outcome;
    request_fn *on_reply; /* set by who hands it to a backend; called once, with an outcome */
    uint64_t sent_at_us;
    uint64_t begin_offset; /* in the byte stream of the connection */

    /* What is asked; set by who makes the request. */
    const struct command_info *command;
    struct private_lane *private_lane; /* null: a shared connection; else borrowed */
    struct unit *unit;                 /* null: one command. Owned: freed by request_give */
    unsigned slot;                     /* or SLOT_NONE: it goes to the shard, whatever is there */
    unsigned shard;                    /* index in the adopted topology, for SLOT_NONE */
    uint64_t cut_epoch; /* not 0: it has keys of several slots, which had one shard in that epoch */
    void *sender;       /* the router that dispatches it */
    uint64_t arrived_us;

    /* Who waits for it; set by its owner. */
    void *owner;                   /* null: nobody any more */
    request_fn *done;              /* called once, when the reply is complete */
    request_fn *progress;          /* may be null: part of a large reply went into the sink */
    struct request *pipeline_next; /* in the order of the client's commands */
    size_t size_bytes;             /* of the client's command */
    struct backend *stalled;       /* is not read until the sink has drained; else null */
    const struct request *origin;  /* of a part: the client's request; else null */
    request_fn *cancel; /* may be null: nobody waits any more, and the shard should not either */
    void *work;         /* of whoever makes the answer from parts */

    /* Facts about the reply, ... */
    bool is_error;    /* it (the first of them) is an error */
    bool has_begun;   /* bytes of it are in the sink */
    bool is_outdated; /* lost, and handed over before an adoption changed its shard's routes */
    /* ... what is asked, ... */
    bool has_written_keys; /* to be marked and mirrored while its slot has a copy */
    bool may_lag;          /* only reads, and a replica's answer would do */
    uint8_t attempts;      /* how often it was dispatched */
    uint8_t protocol;      /* 3: its reply is RESP3; else RESP2 */
    /* ... and who waits for it. */
    bool is_complete;
    bool is_barrier;     /* nothing of its client behind it is dispatched until it is answered */
    bool is_read_slowly; /* its client does not catch up: not stalled again */
    bool is_muted;       /* the client wants no reply: sink is null */

    /* Kept, empty, from one use to the next: request_take clears only what is above. */
    struct buffer reply;
    struct buffer bytes; /* the command as RESP, while it may have to be sent later */
};

/* Its client has sent more behind it: that may be with a shard already. */
bool request_has_followers(const struct request *request);

/* `count` times `command`; null: reads of our own, which no marks are asked for. */
struct unit *unit_new(unsigned count, const struct command_info *command);
void unit_free(struct unit *unit); /* null is allowed */

/* Recycled requests of one worker. */
struct request_pool {
    struct request *free;
    unsigned nfree;
    uint64_t taken; /* in use now */
};

void request_pool_fini(struct request_pool *pool);
/* Zeroed but for empty buffers; sink is its own reply. */
struct request *request_take(struct request_pool *pool);
void request_give(struct request_pool *pool, struct request *request);

/* A queue of requests through `next`. */
struct request_queue {
    struct request *first, *last;
    unsigned count;
};

void request_queue_push(struct request_queue *queue, struct request *request);
struct request *request_queue_pop(struct request_queue *queue); /* null when empty */
/* Moves all of `from` behind `to`. */
void request_queue_append(struct request_queue *to, struct request_queue *from);

/* Where this request's answer is to be written by those who write it themselves. */
static inline struct buffer *request_answer(struct request *request)
{
    return request->sink != NULL ? request->sink : &request->reply;
}

#endif
