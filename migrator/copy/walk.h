/* Walks the keys of the migration's slots on the authority and reads their states: strings first
 * and quickly, then in full what that left unread. SCAN finds the next keys while the shards read
 * the states of those before, so that neither waits for the other. One thread. */
#ifndef MIGRATOR_COPY_WALK_H
#define MIGRATOR_COPY_WALK_H

#include "migrator/copy/scanner.h"
#include "migrator/copy/state_stream.h"

/* A group in which every state has been read, but for those with is_unread on either side, which
 * come again. `states` is valid until the call behind the next one. */
typedef enum copy_status walk_visit_fn(void *context, const struct state_both *states);
typedef enum copy_status walk_step_fn(void *context);

struct walk {
    struct copy_pair *pair;
    bool with_copy; /* read the copy's states too */
    walk_visit_fn *visit;
    /* Takes what the last visit left outstanding on the copy's link; also after a failure. Null
     * with_copy, for the answers would be out of order. May be null. */
    walk_step_fn *settle;
    /* Whether the visits have left something that needs the links for itself; then nothing more is
     * asked for until `pause` has done all of it. Both may be null. */
    bool (*wants_pause)(void *context);
    walk_step_fn *pause;
    void *context;
};

/* Goes on from where `scanner` stands to the end. After anything but COPY_OK the scanner stands so
 * that nothing is left out when it is called again: the pages at hand are walked again. */
enum copy_status walk_run(const struct walk *walk, struct scanner *scanner);

#endif
