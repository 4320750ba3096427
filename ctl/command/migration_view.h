/* A migration as status shows it: what the topology says, and the migrator's last words. */
#ifndef CTL_COMMAND_MIGRATION_VIEW_H
#define CTL_COMMAND_MIGRATION_VIEW_H

#include "ctl/command/command.h"

/* {id, source, target, slots, slot_count, phase, direction, authority, copy, ..., progress,
 * last_error}. `history` is its object in the journal's history, or null. Owned by the caller. */
json_t *migration_view(const struct topology *topology, const struct migration *migration,
                       const json_t *history);

/* In words: what happens in its phase, and what the operator may do. */
const char *migration_advice(const struct migration *migration);

#endif
