/* The shape of a command that waits (BLPOP and its kin, XREAD and XREADGROUP with BLOCK): where its
 * keys, ids and time-out stand, and how it is written anew, with the time that is left or for one
 * of its keys alone. Pure. */
#ifndef PROXY_ROUTING_WAIT_COMMAND_H
#define PROXY_ROUTING_WAIT_COMMAND_H

#include "lib/base/buffer.h"
#include "lib/command/command.h"
#include "lib/resp/command_parser.h"

#define WAIT_FOR_EVER UINT64_MAX

/* What it waits for in its keys; what is given to one is gone for the others, but for a stream's
 * entries. */
enum awaited {
    AWAITED_LIST,
    AWAITED_SORTED_SET,
    AWAITED_GROUP, /* XREADGROUP */
    AWAITED_STREAM /* XREAD */
};

/* Positions in argv; 0: it has none of that. */
struct wait_command {
    enum awaited awaited;
    unsigned first_key, nkeys; /* where elements come from */
    unsigned first_id;         /* one a key */
    unsigned numkeys;
    unsigned group;
    unsigned timeout; /* of streams: behind the word BLOCK */
};

/* False: its arguments do not fit, and the shard knows the words for that. */
bool wait_command_read(const struct command_info *info, const struct slice *argv, unsigned argc,
                       struct wait_command *form) __attribute__((warn_unused_result));
/* In microseconds, or WAIT_FOR_EVER. False: no time-out, or one that the shard may refuse. */
bool wait_command_timeout(const struct wait_command *form, const struct slice *argv,
                          uint64_t *timeout_us) __attribute__((warn_unused_result));
/* It waits for what is gone for all others once one has it, and only for that: XREADGROUP with
 * another id than ">" is answered at once. */
bool wait_command_takes_turns(const struct wait_command *form, const struct slice *argv);
/* The key's id is one that is only known when the command runs: XREAD's "$". */
bool wait_command_is_open(const struct wait_command *form, const struct slice *argv, unsigned key);

#define ALL_KEYS UINT32_MAX

struct wait_variant {
    unsigned key;         /* 0 .. nkeys - 1, or ALL_KEYS */
    uint64_t timeout_us;  /* WAIT_FOR_EVER: as it stands in argv */
    bool is_without_wait; /* of streams: BLOCK is left out */
};

void wait_command_write(const struct wait_command *form, const struct slice *argv, unsigned argc,
                        const struct wait_variant *variant, struct buffer *out);

#endif
