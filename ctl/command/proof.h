/* The report of a migration: the journal's history and the topology, as one JSON object. */
#ifndef CTL_COMMAND_PROOF_H
#define CTL_COMMAND_PROOF_H

#include "ctl/command/command.h"

/* {id, state, outcome, source, target, slots, phases, verify, holds, barriers, totals, ...}.
 * `migration` is null when it is closed, `history` when the journal knows nothing of it; not both.
 * `now_ms` ends what has not ended. Pure. Owned by the caller. */
json_t *proof_view(uint64_t id, const struct topology *topology, const struct migration *migration,
                   const json_t *history, uint64_t now_ms);
void proof_print(const json_t *proof, bool has_per_slot, FILE *out);

#endif
