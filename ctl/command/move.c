/* sluicectl move: exactly these slots to another shard. */
#include "ctl/command/all.h"
#include "ctl/command/opening.h"

static enum command_result move_run(struct command_run *run, struct error *err)
{
    return opening_run(run, planning_move, err);
}

static const struct option_spec options[] = {OPTION_TO, OPTIONS_MIGRATION, OPTIONS_WAIT};

const struct command command_move = {
    .name = "move",
    .arguments = "SLOTS --to SHARD",
    .text = "move exactly these slots to a shard",
    .about = "Opens one migration for each shard that owns some of the slots now. Prints their "
             "ids, one a line.",
    COMMAND_OPTIONS(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = move_run,
};
