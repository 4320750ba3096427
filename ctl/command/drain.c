/* sluicectl drain: everything off one shard. */
#include "ctl/command/all.h"
#include "ctl/command/opening.h"

static enum command_result drain_run(struct command_run *run, struct error *err)
{
    return opening_run(run, planning_drain, err);
}

static const struct option_spec options[] = {OPTIONS_MIGRATION, OPTIONS_WAIT};

const struct command command_drain = {
    .name = "drain",
    .arguments = "SHARD",
    .text = "move all slots off a shard",
    .about = "Opens migrations that move every slot of a shard to the others, by the ring of the "
             "others. Prints\ntheir ids, one a line. When they are finalized, sluicectl shard "
             "remove takes the shard out.",
    COMMAND_OPTIONS(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = drain_run,
};
