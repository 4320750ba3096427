/* A question to the clients of all workers of this proxy: CLIENT UNBLOCK, KILL, LIST.
 *
 *   round_begin at the asker's worker -> by mail to the next worker: visit, pass on -> ... -> home:
 *   visit, end -> the asker's request is answered
 *
 * One letter goes round, so it has one owner at any time, no lock, and the workers answer in order.
 * What the asker sends behind the command waits until the round is over. Each worker's part runs on
 * its own thread; `end`, and the request, are the home worker's alone. */
#ifndef PROXY_CLIENT_ROUND_H
#define PROXY_CLIENT_ROUND_H

#include "lib/net/mailbox.h"
#include "proxy/client/client.h"

enum visit {
    VISIT_DONE,
    VISIT_WAITS, /* the visitor calls round_go_on later, exactly once, on this thread */
};

struct round;

/* At each worker, over host->first and on (client_internal.h): reads and writes the round's
 * `question`, `text` and `number`; keeps no pointer into them but for VISIT_WAITS. */
typedef enum visit visit_fn(struct round *round, struct client_host *host);
/* At home, after all visits: writes the answer with request_answer(request) and ends it with
 * router_answer. Not called when the asker has gone. */
typedef void round_end_fn(struct round *round, struct request *request);

struct round {
    struct mail mail; /* first: worker.c */
    visit_fn *visit;
    round_end_fn *end;
    unsigned home;           /* the asker's worker */
    struct request *request; /* home's; null: the asker has gone */
    void *question;          /* owned: one block of mem_alloc, or null */
    struct buffer text;      /* what the visits have gathered, empty at first ... */
    uint64_t number;         /* ... and counted, 0 at first */
};

/* Consumes `question`. `request` is the client's, the first of its pipeline (a command with
 * HANDLER_CLIENTS comes alone). */
void round_begin(struct client *client, struct request *request, visit_fn *visit, round_end_fn *end,
                 void *question);
/* The same, but somebody else has a look at it first, who then passes it on, with host->context. */
typedef void round_start_fn(void *context, struct round *round);
void round_begin_by(struct client *client, struct request *request, visit_fn *visit,
                    round_end_fn *end, round_start_fn *start);
/* After VISIT_WAITS. */
void round_go_on(struct round *round, struct client_host *host);

/* For worker.c: a round has come here; and one that will go nowhere any more, when all threads have
 * ended. */
void round_arrive(struct round *round, struct client_host *host);
void round_drop(struct round *round);

#endif
