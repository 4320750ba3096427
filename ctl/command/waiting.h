/* --wait: watches the store until migrations have come where they should, and shows how far they
 * are. What it waits for is read from the topology alone; the journal only feeds the progress. */
#ifndef CTL_COMMAND_WAITING_H
#define CTL_COMMAND_WAITING_H

#include "ctl/command/command.h"

enum waiting_goal {
    WAITING_SWITCHED,  /* the slots have the new owner */
    WAITING_FINALIZED, /* ... and the old copies are purged */
    WAITING_UNDONE,    /* aborted or rolled back, and the copies are purged */
    WAITING_VERIFIED,  /* the pass that was asked for is done */
};

/* How a migration stands to the goal. */
enum waiting_state {
    WAITING_GOES_ON,
    WAITING_DONE,
    WAITING_FAILED /* it can no longer get there; err says what happened */
};

struct waiting;

struct waiting *waiting_new(enum waiting_goal goal);
void waiting_free(struct waiting *waiting);
/* A migration to wait for; the names and slots are copied. */
void waiting_add(struct waiting *waiting, uint64_t id, const char *source, const char *target,
                 const struct slot_set *slots);
/* How the i-th migration stands in this topology. Pure. */
enum waiting_state waiting_judge(const struct waiting *waiting, unsigned index,
                                 const struct topology *topology, struct error *err);
/* Until all are done (true), or one has failed, the time is over or the store cannot be read. */
bool waiting_run(struct waiting *waiting, struct command_run *run, struct error *err)
    __attribute__((warn_unused_result));

#endif
