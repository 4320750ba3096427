#include "lib/topology/migration_progress.h"

#include <string.h>

#include "lib/base/assert.h"

void migration_made(struct topology *next, struct migration *migration)
{
    ASSERT(migration->phase != PHASE_PLANNED);
    ASSERT(migration->base < next->epoch);
    migration->made = migration->base;
}

void migration_verified(struct topology *next, struct migration *migration)
{
    ASSERT(migration->made == migration->base);
    ASSERT(migration->base < next->epoch);
    migration->verified = migration->base;
    if (migration->request == REQUEST_VERIFY) {
        migration->request = REQUEST_NONE;
    }
}

void migration_request_done(struct topology *next, struct migration *migration)
{
    ASSERT(migration->entry_epoch < next->epoch);
    migration->request = REQUEST_NONE;
}

void migration_debt_paid(struct topology *next, unsigned debt)
{
    ASSERT(debt < next->ndebts);
    slot_set_fini(&next->debts[debt].slots);
    next->ndebts--;
    memmove(&next->debts[debt], &next->debts[debt + 1],
            (next->ndebts - debt) * sizeof(next->debts[0]));
}
