/* Threads of their own that change keys of every type at random in a cluster. The calls are for the
 * main thread. */
#ifndef TESTS_SUPPORT_CHURN_H
#define TESTS_SUPPORT_CHURN_H

#include <stdint.h>

#include "tests/support/cluster.h"

struct churn;

/* `threads` connections, spread over the proxies, that change keys of every type: writes, deletes,
 * expiries, renames. */
struct churn *churn_start(struct cluster *cluster, unsigned threads, uint64_t seed);
/* Returns when none of its commands is under way. */
void churn_pause(struct churn *churn);
void churn_resume(struct churn *churn);
/* Ends and frees it. *refused: -UNAVAILABLE and -UNKNOWN replies and lost connections. Returns how
 * many commands were answered. */
uint64_t churn_end(struct churn *churn, uint64_t *refused);

#endif
