/* sluicectl split: part of a shard's slots to another shard. */
#include "ctl/command/all.h"
#include "ctl/command/opening.h"

static enum command_result split_run(struct command_run *run, struct error *err)
{
    return opening_run(run, planning_split, err);
}

static const struct option_spec options[] = {OPTION_TO, OPTION_SHARE, OPTIONS_MIGRATION,
                                             OPTIONS_WAIT};

const struct command command_split = {
    .name = "split",
    .arguments = "SHARD --to SHARD",
    .text = "move part of a shard's slots to another",
    .about = "Opens a migration of some of a shard's slots, those that the ring would give the "
             "other shard first.\nPrints the migration's id. It switches by itself once every key "
             "has been proven equal (unless\n--manual-switch), and can be rolled back until it is "
             "finalized.",
    COMMAND_OPTIONS(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = split_run,
};
