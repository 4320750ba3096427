/* Sluice's Lua scripts: their texts (lua/common.lua before each) and SHA-1 names. DESIGN.md
 * sections 5 and 6; KEYS and ARGV of each are listed in docs/internals/on-shard.md.
 * Built once by script_init, read by any thread afterwards. */
#ifndef LIB_SHARD_SCRIPT_H
#define LIB_SHARD_SCRIPT_H

#include "lib/base/slice.h"

/* X(ENUM, file name without .lua, shebang line) */
#define SHARD_SCRIPTS(X)                                            \
    X(SCRIPT_HELLO, hello, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_PUBLISH, publish, "#!lua flags=allow-oom\n")           \
    X(SCRIPT_RAISE, raise, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_REMOVE_PEER, remove_peer, "#!lua flags=allow-oom\n")   \
    X(SCRIPT_WRITE_FENCE, write_fence, "#!lua flags=allow-oom\n")   \
    X(SCRIPT_CLOSE_FENCE, close_fence, "#!lua flags=allow-oom\n")   \
    X(SCRIPT_MAKE, make, "#!lua\n")                                 \
    X(SCRIPT_GUARD, guard, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_APPLY, apply, "#!lua\n")                               \
    X(SCRIPT_FILL, fill, "#!lua\n")                                 \
    X(SCRIPT_RENUMBER, renumber, "#!lua flags=allow-oom\n")         \
    X(SCRIPT_CLEAR, clear, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_PURGE, purge, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_DROP, drop, "#!lua flags=allow-oom\n")                 \
    X(SCRIPT_FORGET, forget, "#!lua flags=allow-oom\n")             \
    X(SCRIPT_PRUNE, prune, "#!lua flags=allow-oom\n")               \
    X(SCRIPT_MARKED_WRITE, marked_write, "#!lua flags=allow-oom\n") \
    /* As the client's own, whatever that one says. */              \
    X(SCRIPT_MARKED_SCRIPT, marked_script, "")                      \
    X(SCRIPT_FLUSH, flush, "#!lua flags=allow-oom\n")

enum shard_script {
#define X(symbol, name, shebang) symbol,
    SHARD_SCRIPTS(X)
#undef X
    SCRIPT_COUNT
};

/* Once, before other threads start. */
void script_init(void);
struct slice script_text(enum shard_script script);
struct slice script_sha(enum shard_script script); /* 40 lower-case hex digits */

#endif
