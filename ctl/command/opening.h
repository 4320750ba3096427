/* Opening the migrations of a plan: what split, move, rebalance and drain have in common. */
#ifndef CTL_COMMAND_OPENING_H
#define CTL_COMMAND_OPENING_H

#include "ctl/command/planning.h"

/* Plans, refuses when a shard of the plan cannot be reached and counted, opens one migration a
 * move, prints their ids and, if asked, waits for them. */
enum command_result opening_run(struct command_run *run, planning_fn *planning, struct error *err);

/* False with a message that names the first shard of the plan that is not up. */
bool opening_check_shards(const struct topology *topology, const struct plan *plan,
                          struct error *err) __attribute__((warn_unused_result));

#endif
