/* Closes former primaries that could not be reached when another server took their place, or whose
 * closing a crash prevented: one at a time, again and again, as long as the topology remembers them
 * (lib/cluster/former.h). The thread of debts.c. */
#ifndef MIGRATOR_RUN_FORMERS_H
#define MIGRATOR_RUN_FORMERS_H

#include "lib/store/store.h"

/* Tries the next one after *turn, which counts the tries. Blocking, about half a second at most
 * where the server does not answer. */
void formers_try_next(struct store *store, const struct topology *topology, unsigned *turn);

#endif
