/* Queues, counters and transfers at work in a cluster: producers push unique numbers to lists and
 * sorted sets, consumers pop them with commands that block, counters are raised under WATCH, and
 * money moves between two keys in MULTI. They know what must be there in the end. Main thread, but
 * for its own threads. */
#ifndef TESTS_SUPPORT_QUEUES_H
#define TESTS_SUPPORT_QUEUES_H

#include <stdint.h>

#include "tests/support/cluster.h"

struct queues;

/* Over all proxies, each of them used by every kind of thread. */
struct queues *queues_start(struct cluster *cluster) __attribute__((warn_unused_result));
/* Elements popped so far. */
uint64_t queues_popped(struct queues *queues);

/* Ends and frees it. Fails the test when a number was popped twice or never, a counter is not what
 * its EXECs have made it, a transfer was seen half done, or any client saw an error. */
void queues_end(struct queues *queues);

#endif
