/* Drains the dirty set: reads marked keys on both shards, repairs what differs, and clears a mark
 * only under the rule of DESIGN.md section 6, "Clearing a mark". */
#ifndef MIGRATOR_COPY_DRAINER_H
#define MIGRATOR_COPY_DRAINER_H

#include "migrator/copy/pair.h"

struct drain {
    uint64_t cleared;
    uint64_t repaired;   /* states applied because the copy was behind */
    uint64_t renumbered; /* copies that were not behind and yet unequal */
    /* Marks beside the sentinel that the last pass found and left. 0 only when it found none: what
     * was written since it looked is seen by the next one. */
    uint64_t remaining;
    /* Of the last pass: keys whose repair the copy refused, or has no memory for, or which got a
     * new number. */
    uint64_t troubled;
};

/* One pass over at most some hundred marks; adds to the numbers of `drain`. */
enum copy_status drain_pass(struct copy_pair *pair, struct drain *drain);

#endif
