/* Two stand-ins for proxies (proxy_stand_in.h) that write all the while that a rig's migrations go
 * on. Main thread. */
#ifndef TESTS_SUPPORT_WRITERS_H
#define TESTS_SUPPORT_WRITERS_H

#include "tests/support/proxy_stand_in.h"

#define WRITERS 2

/* For cmocka: *state is a rig in memory, with limits that a busy machine keeps. The stand-ins do
 * not come back when they are killed, so they must not be killed for being slow. */
int writers_set_up(void **state);
int writers_tear_down(void **state);

/* They are called p1 and p2. */
void writers_start(struct migration_rig *rig, struct proxy_stand_in *writers[WRITERS]);
/* Each has written for a while from now on: in no hold, where they would queue. */
void writers_wait(struct proxy_stand_in *writers[WRITERS]);
/* Fails the test with what went wrong for one of them. */
void writers_stop(struct proxy_stand_in *writers[WRITERS]);

#endif
