/* One pipelined connection of one thread to one shard: requests go out in order, replies come back
 * in order and flow into each request's sink.
 *
 *   down --start--> connecting --> greeting --> ready        connecting: TCP, and TLS if asked
 *     ^                 |             |           |
 *     +-----------------+-------------+-----------+   lost, timed out, refused, or given up
 *
 * Greeting (DESIGN.md section 5): CLIENT SETNAME, CLIENT ID; then the script hello, alone, since
 * Redis runs what is pipelined behind a failed hello; then, fenced in, a MULTI/EXEC to see that it
 * works and SCRIPT LOAD of what the data path uses. A listening connection, which writes nothing,
 * needs neither; enum backend_greeting has what else needs less. Nothing of a client is sent before
 * `ready`. Reconnects by itself with back-off. In RESP3 what the shard pushes between the replies
 * is dropped. One thread. */
#ifndef PROXY_BACKEND_BACKEND_H
#define PROXY_BACKEND_BACKEND_H

#include "lib/net/loop.h"
#include "lib/net/socket.h"
#include "lib/net/tls.h"
#include "lib/topology/topology.h"
#include "proxy/request/counters.h"
#include "proxy/request/request.h"

enum backend_state {
    BACKEND_DOWN,
    BACKEND_CONNECTING,
    BACKEND_GREETING,
    BACKEND_READY
};

/* How much of it is said. */
enum backend_greeting {
    GREETING_FENCED, /* all */
    GREETING_NAMED, /* no hello, nor what comes behind it: to a replica, where nothing is written */
    GREETING_NONE,  /* for what a server answers that answers nothing else */
};

/* What hello says, and what it may hear. */
struct backend_hello {
    uint64_t (*epoch)(void *context); /* adopted now */
    /* The fence holds a larger epoch: read the store. Said again after the next adoption. */
    void (*on_fenced)(void *context);
    /* The fence is absent or names another process: take over, or wait for the operator. */
    void (*on_unfenced)(void *context, const char *shard);
    void *context;
};

/* What one thread's backends share. Filled by the owner; outlives them. */
struct backend_shared {
    struct backend_hello hello;
    struct loop *loop;
    struct request_pool *pool;
    struct counters *counters;
    char peer[160];      /* "<proxy>:<incarnation>", as in the fence */
    uint64_t timeout_us; /* the oldest request gets no further for so long: given up */
    uint64_t connect_timeout_us;
    struct tls_context *tls; /* for endpoints with TLS; null: there are none */
    char *scratch;           /* read buffer of the thread */
    size_t scratch_size;
};

struct backend;

/* How the owner hears of things; none may free the backend. */
struct backend_events {
    void (*on_ready)(void *context, struct backend *backend);
    /* Requests that were in flight have been told already. */
    void (*on_down)(void *context, struct backend *backend);
    /* A connection was closed with requests on it that a shard may still execute: they count as in
     * flight until CLIENT KILL ID of it has been answered (backend_killed). Null: nothing that goes
     * over this backend matters to a slot, and it counts no longer. */
    void (*on_given_up)(void *context, struct backend *backend, uint64_t connection_id);
    /* What there is of a begun request has been written. Null where none is begun. */
    void (*on_written)(void *context, struct backend *backend);
    void *context;
};

struct backend *backend_new(const struct backend_shared *shared,
                            const struct backend_events *events);
/* From anywhere but the other events' callbacks of a lane that is freed with it. Closes; requests
 * in flight are told OUTCOME_UNKNOWN or OUTCOME_NOT_SENT. */
void backend_free(struct backend *backend);

/* Names the shard and the process; a change of endpoint or identity closes the connection. `index`
 * is for counters. Starts to connect. */
void backend_set_target(struct backend *backend, unsigned index, const char *name,
                        const struct endpoint *endpoint, const struct shard_identity *identity);
/* Of the replies: 2, unless this is called before the first backend_set_target. */
void backend_set_protocol(struct backend *backend, unsigned char protocol);
/* Its requests may wait for hours: no time-out for their replies. */
void backend_set_patient(struct backend *backend);
/* GREETING_FENCED, unless this is called before the first target. What is no shard's primary counts
 * apart (struct replica_counters) when it is GREETING_NAMED. */
void backend_set_greeting(struct backend *backend, enum backend_greeting greeting);
/* For publish/subscribe: once ready it carries no requests. What is said on it is not in flight,
 * and each value that the shard sends is handed over whole; one of more than `value_max` bytes
 * loses the connection. Before the first target. */
typedef void backend_value_fn(void *context, struct slice value);
void backend_set_listening(struct backend *backend, backend_value_fn *on_value, size_t value_max);
/* Only when ready, and listening. Written to the socket at the end of the turn. */
void backend_say(struct backend *backend, struct slice bytes);
/* CLIENT ID of the present connection; valid when ready. */
uint64_t backend_connection_id(const struct backend *backend);
/* After an adoption: try again at once what the fence refused. */
void backend_retry(struct backend *backend);
/* The shard is known to have lost its fence, or to be another process: closes the connection;
 * nobody is to wait for it until hello has passed again. */
void backend_expel(struct backend *backend);
/* Every few tens of milliseconds: time-outs and reconnects. */
void backend_tick(struct backend *backend, uint64_t now_us);

enum backend_state backend_state(const struct backend *backend);
/* Waiting for it makes sense: it is connecting for the first time or after a short break. */
bool backend_may_come(const struct backend *backend);
/* MULTI was seen to work on this connection. */
bool backend_has_multi(const struct backend *backend);
const char *backend_name(const struct backend *backend);
unsigned backend_index(const struct backend *backend);

/* Only when ready. Write the whole request into what backend_begin returns, then backend_commit it
 * with the number of replies it will get. Written to the socket at the end of the turn. */
struct buffer *backend_begin(struct backend *backend);
void backend_commit(struct backend *backend, struct request *request, uint32_t replies);
void backend_send(struct backend *backend, struct request *request, struct slice bytes);

/* A request that comes in pieces, and has this connection for itself: the first ones, and each that
 * follows. A shard executes nothing that it does not have whole: when the connection is lost before
 * the last byte was written the outcome is OUTCOME_NOT_SENT (without its bytes), and nothing is
 * given up. If it is answered before it is whole the shard reads no further: backend_free. */
void backend_send_begun(struct backend *backend, struct request *request, struct slice bytes);
void backend_send_more(struct backend *backend, struct slice bytes, bool is_last);
/* The shard does not have all of it. */
bool backend_has_begun(const struct backend *backend);

/* The sink of a stalled request has drained, or nobody wants its reply any more: reads on. */
void backend_go_on(struct backend *backend);

/* Bytes that wait to be written: above a mark the senders' clients are not read any more. */
size_t backend_backlog(const struct backend *backend);
/* Requests that were committed and have not ended, on the present connection. */
unsigned backend_in_flight(const struct backend *backend);
/* The oldest request has got no further for so long. */
bool backend_is_stuck(const struct backend *backend, uint64_t limit_us);

/* Before an adoption changes where requests to this shard go: what was sent so far is to drain; and
 * whether it has. A given-up connection holds that back until backend_killed, once for each
 * on_given_up. */
void backend_begin_drain(struct backend *backend);
bool backend_has_drained(const struct backend *backend);
/* Does nothing for a connection that does not count here: of a shard removed and added again. */
void backend_killed(struct backend *backend, uint64_t connection_id);
/* Counts a connection that somebody else gave up to the same shard: backend_killed ends it. */
void backend_orphan(struct backend *backend, uint64_t connection_id);

#endif
