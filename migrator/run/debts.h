/* A thread for what is owed to servers that were dead when it was due, and looks now and then
 * whether they are back: purges of copies left on a shard whose migration has ended, and the
 * closing of former primaries (formers.h). */
#ifndef MIGRATOR_RUN_DEBTS_H
#define MIGRATOR_RUN_DEBTS_H

#include <stdatomic.h>

#include "lib/base/error.h"
#include "migrator/engine/settings.h"
#include "migrator/run/lease.h"

struct debts;

/* It works while `lease` leads. */
struct debts *debts_start(const struct migrator_settings *settings, const struct lease *lease,
                          const atomic_bool *is_stopping, struct error *err)
    __attribute__((warn_unused_result));
/* As runner_end. */
bool debts_end(struct debts *debts, uint64_t deadline_us);

#endif
