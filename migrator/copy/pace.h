/* How much the backfill, the verification and the purge rest, so that clients do not feel them:
 * a part of the time always, more while the shards answer slower than before, less again when they
 * do not. Pure; one thread. */
#ifndef MIGRATOR_COPY_PACE_H
#define MIGRATOR_COPY_PACE_H

#include <stdint.h>

struct pace {
    uint64_t limit_us;      /* slower answers mean that clients feel it; 0: learn nothing */
    uint64_t rest_permille; /* of the time worked */
    uint64_t owed_us;       /* rest that is too short to be taken yet */
};

/* Clients may wait twice as long as before, and in any case so long. */
#define PACE_LIMIT_LEAST_US 500u
/* At the fastest two thirds of the time are worked: whoever comes meanwhile finds a core sooner. */
#define PACE_REST_LEAST_PERMILLE 500u
/* At the slowest a tenth of the time is worked: a migration must come to its end. */
#define PACE_REST_MAX_PERMILLE 9000u

/* `usual_us`: what answers took before the copying began. */
void pace_init(struct pace *pace, uint64_t usual_us);
/* What they take now, over some time; called once for each such time. */
void pace_learn(struct pace *pace, uint64_t latency_us);
/* What took longer than this was no work, but a wait for memory, or for a shard that hung. */
#define PACE_WORK_MOST_US UINT64_C(1000000)
/* For how long to rest after so much work, in whole milliseconds: 0 until it is worth a sleep. */
uint64_t pace_rest_us(struct pace *pace, uint64_t worked_us);

#endif
