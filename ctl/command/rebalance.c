/* sluicectl rebalance: the fewest moves that give every shard its share. */
#include "ctl/command/all.h"
#include "ctl/command/opening.h"

static enum command_result rebalance_run(struct command_run *run, struct error *err)
{
    return opening_run(run, planning_rebalance, err);
}

static const struct option_spec options[] = {OPTIONS_MIGRATION, OPTIONS_WAIT};

const struct command command_rebalance = {
    .name = "rebalance",
    .arguments = "",
    .text = "give every shard its share by weight",
    .about = "Opens the fewest migrations that bring every shard within its bound by weight, one "
             "for each pair of\nshards. Prints their ids, one a line; none when all is balanced.",
    COMMAND_OPTIONS(options),
    .run = rebalance_run,
};
