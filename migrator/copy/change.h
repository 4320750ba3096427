/* The scripts by which copy/ changes a shard, queued and taken one group at a time: apply and fill
 * on the copy; renumber and clear on the authority. Their rules are on the shard
 * (docs/internals/on-shard.md), so one that arrives late, twice or never does no harm. */
#ifndef MIGRATOR_COPY_CHANGE_H
#define MIGRATOR_COPY_CHANGE_H

#include "migrator/copy/state.h"

/* Which keys of a group, by their place in it. */
struct key_choice {
    const struct state_group *group; /* as read on the authority */
    unsigned char places[GROUP_KEYS_MAX];
    unsigned count;
};

static inline void key_choice_add(struct key_choice *choice, size_t place)
{
    choice->places[choice->count++] = (unsigned char)place;
}

/* Each append queues nothing when the choice is empty, and its take then takes nothing. The group
 * must stay until the reply has been taken. */

/* The authority's states go to the copy under the numbers they were read at. */
void change_append_apply(struct copy_pair *pair, const struct key_choice *choice);
/* *refused grows by the keys that the copy could not take; hooks->troubled is told. */
enum copy_status change_take_apply(struct copy_pair *pair, const struct key_choice *choice,
                                   uint64_t *refused);

/* Strings without expiry and without a number, of which there are many in a backfill: the same, for
 * less. */
bool change_is_plain(const struct key_state *state);
void change_append_fill(struct copy_pair *pair, const struct key_choice *choice);
enum copy_status change_take_fill(struct copy_pair *pair, const struct key_choice *choice);

/* New numbers, and marks, for keys whose copies are not behind and yet unequal. */
void change_append_renumber(struct copy_pair *pair, const struct key_choice *choice);
enum copy_status change_take_renumber(struct copy_pair *pair, const struct key_choice *choice);

/* Marks go, of those keys whose number is still the one they were compared at. */
void change_append_clear(struct copy_pair *pair, const struct key_choice *choice);
enum copy_status change_take_clear(struct copy_pair *pair, const struct key_choice *choice,
                                   uint64_t *cleared);

#endif
