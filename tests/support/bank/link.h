/* The connection of one worker: to its own proxy, or to the next that accepts. Counts what goes
 * wrong with it. One thread. */
#ifndef TESTS_SUPPORT_BANK_LINK_H
#define TESTS_SUPPORT_BANK_LINK_H

#include "tests/support/bank/worker.h"

struct link {
    const struct bank *bank;
    struct worker_report *report;
    unsigned home; /* which proxy it prefers */
    unsigned tries;
    redisContext *context; /* null: not connected */
};

/* True when it is connected, after one try; waits a little when that failed. */
bool link_open(struct link *link);
void link_close(struct link *link);
/* The next reply, or null: then the connection is closed and the error counted. An error reply is
 * counted and returned. */
redisReply *link_read(struct link *link);

#endif
