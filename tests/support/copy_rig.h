/* Two real shards with fences and the metadata of one migration (id 7, base and generation 9,
 * forward, all of 16 slots), and the pair that migrator/copy works on. Main thread. */
#ifndef TESTS_SUPPORT_COPY_RIG_H
#define TESTS_SUPPORT_COPY_RIG_H

#include "migrator/copy/pair.h"
#include "tests/support/ask.h"

#define COPY_RIG_CLUSTER "0123456789abcdef0123456789abcdef"
#define COPY_RIG_SEQ     "__sluice:m7:9:f:seq"
#define COPY_RIG_DIRTY   "__sluice:m7:9:f:dirty"
#define COPY_RIG_VER     "__sluice:m7:9:f:ver"

struct copy_rig {
    struct redis_server *servers[2];
    struct shard_link *source;
    struct shard_link *target;
    struct slot_set slots;
    struct throttle throttle;
    struct copy_habits habits;
    struct copy_hooks hooks;
    struct copy_pair pair;
    unsigned findings;
    uint64_t moved;
};

/* The one of a test program. */
extern struct copy_rig copy_rig;

/* Set-ups for cmocka: start and stop of the group, reset of each test, which empties the servers,
 * fences them and makes the metadata anew. */
int copy_rig_start(void **state);
int copy_rig_stop(void **state);
int copy_rig_reset(void **state);
/* A dual write's half on the source: marks `key`, then runs the command. */
void copy_rig_write(const char *key, const char *command);
/* Many pages and groups: strings TAGkey:0 and so on, on the source. */
void copy_rig_fill(const char *tag, unsigned keys);
/* From now on may_go_on says no, a little later each time, so that what is begun again and again is
 * interrupted everywhere and comes to its end. */
void copy_rig_interrupt(void);
/* Both links answer what they are asked, with nothing outstanding before it. */
void copy_rig_expect_in_step(void);

#endif
