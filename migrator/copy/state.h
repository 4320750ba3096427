/* The states of a group of keys, read in one MULTI on one shard: {seq or ver, mark, DUMP,
 * PEXPIRETIME}, the shard's clock, and the proof that its fence and metadata are still there.
 *
 * Reading is no script; so that "absent means lost" holds here too, the same MULTI reads the fence
 * and the sentinels, and nothing of it counts when they are not what they should be. */
#ifndef MIGRATOR_COPY_STATE_H
#define MIGRATOR_COPY_STATE_H

#include "migrator/copy/key_list.h"
#include "migrator/copy/pair.h"

struct key_state {
    uint64_t number; /* seq on the authority, ver on the copy; 0: none */
    bool has_number; /* the field is there */
    bool is_marked;  /* in dirty; on the authority only */
    bool exists;
    int64_t expires_ms;   /* PEXPIRETIME; -1: no expiry */
    struct slice payload; /* DUMP's bytes, in the reply; empty: the key does not exist */
};

struct state_group {
    struct key_group keys;
    struct key_state states[GROUP_KEYS_MAX];
    uint64_t time_ms;          /* the shard's clock when it was read */
    struct shard_reply *reply; /* what the payloads point into */
};

/* Zeroed memory is a group without a reply. */
void state_group_free(struct state_group *group);

/* Queues the reading; the keys must stay until state_take. */
void state_append(struct copy_pair *pair, bool on_copy, const struct key_group *keys);
/* Takes what one state_append asked for. `group` holds no reply before. */
enum copy_status state_take(struct copy_pair *pair, bool on_copy, const struct key_group *keys,
                            struct state_group *group);

/* Both sides in one round trip each, the copy first: when the authority shows no mark, the copy's
 * state has had the time to be that of the last write. */
enum copy_status state_read_both(struct copy_pair *pair, const struct key_group *keys,
                                 struct state_group *authority, struct state_group *copy);

#endif
