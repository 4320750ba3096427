/* The threads of the open migrations, as the main thread keeps them. Main thread only. */
#ifndef MIGRATOR_RUN_ROSTER_H
#define MIGRATOR_RUN_ROSTER_H

#include "migrator/run/runner.h"

struct roster_entry {
    struct runner *runner;
};

struct roster {
    struct roster_entry *entries;
    unsigned count;
    size_t capacity;
};

void roster_init(struct roster *roster);
/* Frees those that are done; starts one for each migration of the topology that has none. */
void roster_update(struct roster *roster, const struct topology *topology,
                   const struct migrator_settings *settings, const atomic_bool *is_stopping);
/* Waits for all until the deadline; false: some thread hangs on a shard. */
bool roster_end(struct roster *roster, uint64_t deadline_us);

#endif
