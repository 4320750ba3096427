/* From the words of split, move, rebalance and drain to a plan: shared by the commands that open
 * migrations and by their dry runs. Changes nothing. */
#ifndef CTL_COMMAND_PLANNING_H
#define CTL_COMMAND_PLANNING_H

#include "ctl/command/command.h"
#include "lib/topology/plan.h"

/* COMMAND_USAGE when the words are wrong, COMMAND_FAILED when there is no such plan. On
 * COMMAND_DONE the plan is to be freed with plan_fini; it may have no moves. */
typedef enum command_result planning_fn(const struct command_run *run,
                                        const struct topology *topology, struct plan *plan,
                                        struct error *err);

planning_fn planning_split;
planning_fn planning_move;
planning_fn planning_rebalance;
planning_fn planning_drain;

typedef enum command_result plan_use_fn(struct command_run *run, const struct topology *topology,
                                        const struct plan *plan, struct error *err);

/* Checks the words, plans on the topology that the store has, and calls `use` with the plan. */
enum command_result planning_run(struct command_run *run, planning_fn *planning, plan_use_fn *use,
                                 struct error *err);

/* "0.5" as a share: above 0, up to 1. Pure. */
bool planning_parse_share(const char *text, double *share, struct error *err)
    __attribute__((warn_unused_result));
/* The options that were given, over the defaults. Pure. */
bool planning_options(const struct settings *settings, struct migration_options *options,
                      struct error *err) __attribute__((warn_unused_result));

#endif
