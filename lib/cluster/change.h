/* The one loop by which anybody changes the topology: read, decide, compare-and-swap, and again
 * when somebody else was faster. Blocking (store); any thread with a store handle of its own. */
#ifndef LIB_CLUSTER_CHANGE_H
#define LIB_CLUSTER_CHANGE_H

#include <stdint.h>

#include "lib/store/store.h"

enum change_verdict {
    CHANGE_WRITE,   /* `next` is what shall stand */
    CHANGE_NOTHING, /* what stands is as it should be */
    CHANGE_REFUSED, /* err says why */
};

/* Changes `next`, which is what stands now with its epoch raised by one, or says why not.
 *
 * Called once for every reading, each time with a fresh copy: it checks its own preconditions every
 * time and keeps nothing of an earlier call. That is the rule "a migrator retries a CAS only while
 * entry epoch, base and generation are unchanged": put those into `context` and refuse when they
 * differ; a hold undone and entered again meanwhile is another hold.
 *
 * After a compare-and-swap with unknown outcome that others have built upon, the function is called
 * again on a topology that may have its change in it: it must recognise that (CHANGE_NOTHING, or
 * CHANGE_REFUSED), or be harmless when done twice. */
typedef enum change_verdict cluster_change_fn(struct topology *next, void *context,
                                              struct error *err);

/* True: the change stands, or nothing was to be done; *epoch (may be null) is the epoch from which
 * that is known: of the change, or of the reading that needed none. False: refused, or the store
 * failed; err says which, and after an outcome that stayed unknown that it is unknown. */
bool cluster_change(struct store *store, cluster_change_fn *change, void *context, uint64_t *epoch,
                    struct error *err) __attribute__((warn_unused_result));

#endif
