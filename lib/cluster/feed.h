/* The newest topology, followed on a thread of its own: the store may not answer for seconds, and
 * who has anything else to do must not wait for it.
 *
 *   feed's thread: watch, or ask every FEED_POLL_MS -> read -> keep the newest -> feed_fd readable
 *   owner's thread: feed_take
 */
#ifndef LIB_CLUSTER_FEED_H
#define LIB_CLUSTER_FEED_H

#include "lib/store/store.h"

struct feed;

#define FEED_POLL_MS 1000 /* the watch may miss a change */

/* Tells of what is newer than `epoch`. Consumes the store's handle. */
struct feed *feed_start(struct store *store, uint64_t epoch);
/* Waits until its thread has ended: as long as a call of the store takes at most. */
void feed_stop(struct feed *feed);
/* Look at once. */
void feed_ask(struct feed *feed);
/* Readable when feed_take has something to tell. */
int feed_fd(const struct feed *feed);
/* The newest that was not taken yet, or null; *failed says whether the store could not be read when
 * that was tried last, `why` (not null) for what reason. The caller owns the topology. */
struct topology *feed_take(struct feed *feed, bool *failed, struct error *why)
    __attribute__((warn_unused_result));

#endif
