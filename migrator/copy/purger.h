/* Removes the keys of the migration's slots from the shard that lost them. The script deletes only
 * while the shard's guard says `purge` for this generation. */
#ifndef MIGRATOR_COPY_PURGER_H
#define MIGRATOR_COPY_PURGER_H

#include "migrator/copy/pair.h"

/* Here pair->copy is the shard to purge. Walks it until a whole walk has found nothing. Before each
 * page `pair->authority`, when it has a link, must still have its fence: nothing is removed from a
 * copy while the authority awaits acceptance. */
enum copy_status purge_run(struct copy_pair *pair, uint64_t *purged);

#endif
