/* The list of subcommands, in the order of --help. Each is defined in the file of its name. */
#ifndef CTL_COMMAND_ALL_H
#define CTL_COMMAND_ALL_H

#include "ctl/command/command.h"

#define COMMANDS(X)   \
    X(init)           \
    X(shard_add)      \
    X(shard_remove)   \
    X(shard_accept)   \
    X(shard_set)      \
    X(shard_failover) \
    X(shard_list)     \
    X(plan_split)     \
    X(plan_move)      \
    X(plan_rebalance) \
    X(plan_drain)     \
    X(plan_failover)  \
    X(split)          \
    X(move)           \
    X(rebalance)      \
    X(drain)          \
    X(status)         \
    X(pause)          \
    X(resume)         \
    X(verify)         \
    X(switch)         \
    X(rollback)       \
    X(finalize)       \
    X(abort)          \
    X(explain)        \
    X(report)         \
    X(journal)        \
    X(proxies)        \
    X(store_copy)     \
    X(store_backup)   \
    X(store_restore)  \
    X(store_repair)

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X

#endif
