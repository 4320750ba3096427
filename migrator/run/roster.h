/* The threads of the open migrations, as the main thread keeps them. Main thread only. */
#ifndef MIGRATOR_RUN_ROSTER_H
#define MIGRATOR_RUN_ROSTER_H

#include <stdatomic.h>

#include "migrator/run/runner.h"

struct roster_entry {
    struct runner *runner;
};

struct roster {
    atomic_bool is_stopping; /* read by the threads */
    struct roster_entry *entries;
    unsigned count;
    size_t capacity;
};

void roster_init(struct roster *roster);
/* Frees those that are done; starts one for each migration of the topology that has none. After
 * roster_stand_down it first waits, from call to call, until all of those have ended. */
void roster_update(struct roster *roster, const struct topology *topology,
                   const struct migrator_settings *settings);
/* Tells all to end at their next step; frees those that have. */
void roster_stand_down(struct roster *roster);
/* Waits for all until the deadline; false: some thread hangs on a shard. */
bool roster_end(struct roster *roster, uint64_t deadline_us);

#endif
