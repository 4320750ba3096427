/* The changes of a migration that enter no phase: what the migrator has done, and what of it is
 * owed. As migration_state.h: pure functions on the next topology. */
#ifndef LIB_TOPOLOGY_MIGRATION_PROGRESS_H
#define LIB_TOPOLOGY_MIGRATION_PROGRESS_H

#include "lib/topology/topology.h"

/* The metadata of the base are on both shards. From then on what is absent there is lost. */
void migration_made(struct topology *next, struct migration *migration);
/* Every key has compared equal since the base began; the base must have been made (asserted). An
 * operator's request to verify is done with it. */
void migration_verified(struct topology *next, struct migration *migration);
/* The operator's request has been carried out. */
void migration_request_done(struct topology *next, struct migration *migration);
/* Removes the debt: its keys are purged and its guard is closed. */
void migration_debt_paid(struct topology *next, unsigned debt);

#endif
