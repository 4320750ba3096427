/* Clients that read and write keys of four families through all proxies, and remember every call
 * and reply: the history that tests/support/history judges.
 *
 * Several clients share each key. A key is retired after some two hundred operations, so that its
 * history stays small, but stays in the database and is read once more at the end. Threads of its
 * own; the functions are for the main thread. */
#ifndef TESTS_SUPPORT_CHAOS_TRAFFIC_H
#define TESTS_SUPPORT_CHAOS_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

#define TRAFFIC_CLIENTS_MAX 16

struct traffic;

/* `rate`: operations per second of all clients together. */
struct traffic *traffic_start(struct cluster *cluster, unsigned clients, unsigned rate,
                              uint64_t seed) __attribute__((warn_unused_result));

/* What clients saw in a stretch of time. */
struct traffic_view {
    uint64_t answered;
    uint64_t refused;                /* -UNAVAILABLE, -OOM and the like, and connections refused */
    uint64_t unknown;                /* -UNKNOWN, closed connections, time-outs */
    uint64_t p50_us, p99_us, max_us; /* of those that were answered */
    uint64_t last_trouble_us;        /* when the last error came, or the last answer slower than
                                      * TRAFFIC_SLOW_US; 0: none */
};

#define TRAFFIC_SLOW_US 500000

/* Of the operations that were called from..until, by clock_now_us. */
struct traffic_view traffic_look(struct traffic *traffic, uint64_t from_us, uint64_t until_us);
/* How many operations were answered so far: for waiting until it rises. */
uint64_t traffic_answered(struct traffic *traffic);

struct traffic_result {
    uint64_t operations, refused, unknown;
    uint64_t given_up; /* of the unknown: the client waited no longer */
    unsigned keys, broken, undecided;
    uint64_t strange; /* errors that the test did not expect; the first is printed */
    uint64_t unread;  /* keys that could not be read at the end */
};

/* Ends the clients, reads every key once more, checks every history. Prints what is broken on
 * standard error. Frees it. */
struct traffic_result traffic_end(struct traffic *traffic);
/* The same, and deletes its keys: for runs so long that they would fill the shards. */
struct traffic_result traffic_end_and_remove(struct traffic *traffic);

#endif
