/* The states of all keys of a list, group after group, read ahead: while the caller works on one
 * group, the shards read the next ones. One thread. */
#ifndef MIGRATOR_COPY_STATE_STREAM_H
#define MIGRATOR_COPY_STATE_STREAM_H

#include "migrator/copy/state.h"

/* What the shards are busy with, the group in the caller's hands, and the one before, which the
 * copy may still be busy to apply. */
#define STREAM_ASKED  2u
#define STREAM_GROUPS (STREAM_ASKED + 2)

struct state_stream {
    struct copy_pair *pair;
    const struct key_list *keys;
    enum state_reading reading;
    bool with_copy;
    size_t next;                             /* of the keys: the first that was not asked for */
    struct state_both groups[STREAM_GROUPS]; /* a ring */
    unsigned first, asked;                   /* of the ring: asked for and not taken */
    struct state_both *taken, *before;       /* in the caller's hands, or null */
};

/* Zeroed memory is a stream at its end; one is used again and again. */

/* Asks for the first groups; `keys` must stay as they are until the stream is stopped. Without the
 * copy only the authority's states are read. */
enum copy_status state_stream_start(struct state_stream *stream, struct copy_pair *pair,
                                    const struct key_list *keys, enum state_reading reading,
                                    bool with_copy);
/* The next group, valid until the call behind the next one; null at the end. */
enum copy_status state_stream_next(struct state_stream *stream, struct state_both **group);
/* Frees what was taken and takes what is outstanding, so that the links can be used again. Must be
 * called, whatever happened, and leaves the pair's failure as it is. */
void state_stream_stop(struct state_stream *stream);

#endif
