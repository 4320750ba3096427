/* A thread that pays purge debts: copies left on a shard that was dead when its migration ended. It
 * asks the topology now and then, and purges when the shard is back. */
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
