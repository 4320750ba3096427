/* Migrations of a cluster, as sluicectl opens them and the store has them, which is read in this
 * process: programs would take the time that those under test need. Main thread. */
#ifndef TESTS_SUPPORT_MIGRATIONS_H
#define TESTS_SUPPORT_MIGRATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

/* The phase of a migration's name ("m42"), "closed" when it is not open; freed with mem_free. */
char *migration_phase(struct cluster *cluster, const char *id) __attribute__((warn_unused_result));
bool migration_is_in(struct cluster *cluster, const char *id, const char *phase);
/* Every key has compared equal since its base. */
bool migration_is_verified(struct cluster *cluster, const char *id);
/* The epoch that its metadata count from: what was verified before is void. 0: it is not open. */
uint64_t migration_base(struct cluster *cluster, const char *id);
/* Opens one; `words` as for sluicectl ("split s1 --to s3"). Its id, freed with mem_free. */
char *migration_open_by_ctl(struct cluster *cluster, const char *words)
    __attribute__((warn_unused_result));

#endif
