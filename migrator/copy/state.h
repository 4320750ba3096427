/* The states of a group of keys, read in one MULTI on one shard: {seq or ver, mark, value, expiry},
 * the shard's clock, and the proof that its fence and metadata are still there.
 *
 * Reading is no script; so that "absent means lost" holds here too, the same MULTI reads the fence
 * and the sentinels, and nothing of it counts when they are not what they should be.
 *
 * DUMP and PEXPIRETIME take one key a command, and DUMP compresses and sums up what it answers. So
 * the quick reading takes all strings with one MGET, and asks for no expiry where the shard has no
 * key with one. What it cannot tell is `is_unread`, and is read again in full. */
#ifndef MIGRATOR_COPY_STATE_H
#define MIGRATOR_COPY_STATE_H

#include "migrator/copy/key_list.h"
#include "migrator/copy/pair.h"

struct key_state {
    /* Absent or no string, or its expiry is not known: only READ_ALL can tell. Nothing below
     * counts then. */
    bool is_unread;
    bool is_marked; /* in dirty; on the authority only */
    bool exists;
    bool is_string;       /* the payload is the string itself, else DUMP's bytes */
    uint64_t number;      /* seq on the authority, ver on the copy; 0: none */
    int64_t expires_ms;   /* as PEXPIRETIME has it; -1: no expiry */
    struct slice payload; /* in the reply; empty also when the key does not exist */
};

struct state_group {
    struct key_group keys;
    /* Set before it is asked for: the keys were picked from the marks, so theirs are of no
     * interest. */
    bool are_marked;
    enum state_reading reading;
    bool on_copy;
    bool has_expiries; /* they were asked for */
    struct key_state states[GROUP_KEYS_MAX];
    uint64_t time_ms;          /* the shard's clock when it was read */
    struct shard_reply *reply; /* what the payloads point into */
};

/* Zeroed memory is a group without a reply. */
void state_group_free(struct state_group *group);

/* The group of a list that begins at `first`, as large as what was read before lets expect. */
struct key_group state_next_group(const struct copy_pair *pair, enum state_reading reading,
                                  const struct key_list *keys, size_t first);

/* Queues the reading; `group` holds no reply before, and it and the keys stay until state_take. */
void state_append(struct copy_pair *pair, bool on_copy, enum state_reading reading,
                  const struct key_group *keys, struct state_group *group);
/* Takes what one state_append asked for. */
enum copy_status state_take(struct copy_pair *pair, struct state_group *group);

/* The states of the same keys on both sides. The copy is asked first: when the authority shows no
 * mark, the copy has had the time to show the last write. */
struct state_both {
    struct state_group authority;
    struct state_group copy;
};

/* Both are asked, even where one cannot be reached: then both answers are to be taken. */
enum copy_status state_append_both(struct copy_pair *pair, enum state_reading reading,
                                   const struct key_group *keys, struct state_both *both);
/* Both answers, whatever comes of the first: the links stay in step. */
enum copy_status state_take_both(struct copy_pair *pair, struct state_both *both);
bool state_both_unread_at(const struct state_both *both, size_t i);
void state_both_free(struct state_both *both);

#endif
