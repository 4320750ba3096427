/* Groups of keys whose states are being read: while the caller works on one group, the shards read
 * the next ones. One thread. */
#ifndef MIGRATOR_COPY_STATE_STREAM_H
#define MIGRATOR_COPY_STATE_STREAM_H

#include "migrator/copy/state.h"

/* What the shards are busy with, the group in the caller's hands, and the one before, which the
 * copy may still be busy to apply. */
#define STREAM_ASKED  2u
#define STREAM_GROUPS (STREAM_ASKED + 2)

struct state_stream {
    struct copy_pair *pair;
    bool with_copy;
    struct state_both groups[STREAM_GROUPS]; /* a ring */
    unsigned first, asked;                   /* of the ring: asked for and not taken */
    struct state_both *taken, *before;       /* in the caller's hands, or null */
};

/* Without the copy only the authority's states are read. */
void state_stream_init(struct state_stream *stream, struct copy_pair *pair, bool with_copy);
/* Frees what was taken; nothing may be outstanding. */
void state_stream_fini(struct state_stream *stream);

bool state_stream_is_full(const struct state_stream *stream);
/* Asks for the states of one more group; the keys must stay where they are until it is freed. */
enum copy_status state_stream_ask(struct state_stream *stream, enum state_reading reading,
                                  const struct key_group *keys);
/* Takes the oldest group that was asked for, and not taken; there must be one. It is valid until
 * the call behind the next one. */
enum copy_status state_stream_take(struct state_stream *stream, struct state_both **group);

#endif
