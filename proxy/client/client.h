/* One client connection: reads commands, keeps their answers in order, writes them.
 *
 *   readable -> command_parser -> session_handle -> router ... -> request done -> out -> writable
 *
 * Every command becomes a request in the client's pipeline. The first request of the pipeline
 * writes straight into `out`; the others wait in their own buffers. Reading stops while too much is
 * under way or unread by the client, and goes on when it drains: back-pressure, both ways. One
 * thread. */
#ifndef PROXY_CLIENT_CLIENT_H
#define PROXY_CLIENT_CLIENT_H

#include "lib/command/command.h"
#include "lib/net/loop.h"
#include "proxy/routing/router.h"

struct client;
struct round;

/* What all clients of a worker share; kept by the worker, and outlives them. */
struct client_host {
    struct loop *loop;
    struct router *router;
    struct counters *counters;
    const struct command_table *table; /* may be replaced between two events */
    const char *server_version;        /* Redis' version as the shards report it; never null */
    char *scratch;                     /* read buffer of the thread */
    size_t scratch_size;
    uint64_t bulk_max;  /* bytes of one argument */
    size_t output_max;  /* unread reply bytes above which a client is cut off */
    size_t request_max; /* bytes of one command: a longer one is cut off, as Redis does at 1 GB */
    uint16_t port;      /* where clients connect: for INFO */
    uint64_t started_us;
    struct client *first; /* all open clients */
    unsigned count;
    struct client *paused;     /* those that are not read for the moment */
    uint64_t next_id, id_step; /* CLIENT ID: unique in the process */
    unsigned worker;           /* whose clients these are */
    /* Any worker's clients may be asked: hands the round to the next worker, who may be this one.
     * round.h */
    void (*pass_on)(void *context, struct round *round);
    void *context;
    bool is_draining; /* no new commands: the proxy stops */
};

/* Takes over the descriptor. It frees itself when the connection ends. */
void client_open(struct client_host *host, int fd);
void client_close_all(struct client_host *host);
/* Every few tens of milliseconds: those that were paused for congestion go on, those that went away
 * meanwhile are closed. */
void clients_tick(struct client_host *host);
/* Stop reading; each closes when what it asked is answered. */
void clients_drain(struct client_host *host);

#endif
