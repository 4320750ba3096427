/* Acts like one proxy with one worker and one client, on a thread of its own: says hello, adopts
 * and publishes epochs, queues in a hold, and writes random commands as DESIGN.md section 6 wants
 * dual writes: MULTI, HINCRBY seq, SADD dirty, W, EXEC. Of the mirrors most are lost, some come
 * late. Every command also goes to the oracle. Shares the migration protocol with nobody: plain
 * hiredis but for the scripts' texts. */
#ifndef TESTS_SUPPORT_PROXY_STAND_IN_H
#define TESTS_SUPPORT_PROXY_STAND_IN_H

#include "tests/support/migration_rig.h"

struct proxy_stand_in;

/* A thread writes until proxy_stand_in_stop. Its faults (a write refused, a broken connection) end
 * the thread and are told by stop. */
struct proxy_stand_in *proxy_stand_in_start(struct migration_rig *rig, const char *name,
                                            uint64_t seed) __attribute__((warn_unused_result));
/* Ends and frees it; fails the test with the fault, if there was one. The number of writes. */
uint64_t proxy_stand_in_stop(struct proxy_stand_in *proxy);
uint64_t proxy_stand_in_writes(const struct proxy_stand_in *proxy);

/* The same for one whose connections must have been killed: fails the test unless it has met with
 * that. */
void proxy_stand_in_stop_killed(struct proxy_stand_in *proxy);

/* Stops adopting, publishing and writing, or goes on: a proxy that hangs. It keeps its lease if
 * `is_alive`. Waits until it has taken note. When it goes on, it first sends a write by the
 * topology that it knew. */
void proxy_stand_in_hang(struct proxy_stand_in *proxy, bool hangs, bool is_alive);

#endif
