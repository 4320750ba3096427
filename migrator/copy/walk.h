/* Walks the keys of the migration's slots on the authority and reads their states: page after page
 * of SCAN, strings first and quickly, then in full what that left unread. One thread. */
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
    /* Takes what the visits left outstanding on the copy's link; also after a failure. May be null.
     */
    walk_step_fn *settle;
    /* A page has been visited, and nothing is outstanding. May be null. */
    walk_step_fn *end_page;
    void *context;
};

/* Goes on from where `scanner` stands to the end. After anything but COPY_OK the scanner stands so
 * that nothing is left out when it is called again: the page at hand is walked again. */
enum copy_status walk_run(const struct walk *walk, struct scanner *scanner);

#endif
