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

#include "lib/acl/acl.h"
#include "lib/command/command.h"
#include "lib/net/loop.h"
#include "lib/net/stream.h"
#include "proxy/client/fleet_facts.h"
#include "proxy/config/limits.h"
#include "proxy/routing/router.h"

struct client;
struct round;

/* CLIENT PAUSE: until then commands, or those that write, wait. */
struct client_pause {
    uint64_t until_us; /* 0: none */
    bool is_of_writes;
};

/* What all clients of a worker share; kept by the worker, and outlives them. */
struct client_host {
    struct loop *loop;
    struct router *router;
    struct counters *counters;
    struct histogram_run latency;      /* into counters->latency; ended with a client's turn */
    const struct command_table *table; /* may be replaced between two events */
    const char *server_version;        /* Redis' version as the shards report it; never null */
    char *scratch;                     /* read buffer of the thread */
    size_t scratch_size;
    const struct client_limits *limits;
    struct acl *acl;         /* never null; replaced between two events */
    struct acl_log *acl_log; /* who was denied what; owned */
    uint16_t port;           /* where clients connect: for INFO */
    /* Of every worker, this one's among them, to be read. */
    const struct counters *all_counters;
    unsigned nworkers;
    struct fleet_facts facts; /* replaced between two events */
    uint64_t started_us;
    struct client *first; /* all open clients */
    unsigned count;
    struct client *paused;     /* those that are not read for the moment */
    uint64_t next_id, id_step; /* CLIENT ID: unique in the process */
    unsigned worker;           /* whose clients these are */
    /* Any worker's clients may be asked: hands the round to the next worker, who may be this one.
     * round.h */
    void (*pass_on)(void *context, struct round *round);
    /* Reads the users' file again: then the round goes on to the next worker, with `text` saying
     * what is wrong, or empty when all workers have the new users. */
    void (*reload_users)(void *context, struct round *round);
    void *context;
    struct client_pause pause;
    uint64_t swept_us; /* when idle clients were last looked for */
    bool is_draining;  /* no new commands: the proxy stops */
};

/* Takes over the stream, which is ready for data. It frees itself when the connection ends. */
void client_open(struct client_host *host, const struct stream *stream);
/* Of all workers, now. */
uint64_t clients_open(const struct client_host *host);
void client_close_all(struct client_host *host);
/* Every few tens of milliseconds: those that were paused for congestion go on, those that went away
 * meanwhile are closed, and now and then idle ones. */
void clients_tick(struct client_host *host);
/* Other users: clients of those that are gone or changed are closed. Consumes the reference. */
void clients_adopt_users(struct client_host *host, struct acl *acl);
/* Stop reading; each closes when what it asked is answered. */
void clients_drain(struct client_host *host);

#endif
