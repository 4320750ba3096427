/* Drains the dirty set: reads marked keys on both shards, repairs what differs, and clears a mark
 * only under the rule of DESIGN.md section 6, "Clearing a mark". */
#ifndef MIGRATOR_COPY_DRAINER_H
#define MIGRATOR_COPY_DRAINER_H

#include "migrator/copy/pair.h"

struct drain {
    uint64_t cleared;
    uint64_t repaired;   /* states applied because the copy was behind */
    uint64_t renumbered; /* copies that were not behind and yet unequal */
    uint64_t remaining;  /* marks beside the sentinel at the end of the last pass */
};

/* One pass over at most some hundred marks, then counts those that remain; adds to the other
 * numbers of `drain`. */
enum copy_status drain_pass(struct copy_pair *pair, struct drain *drain);

#endif
