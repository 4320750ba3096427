/* Is what clients saw of one key what one Redis server could have shown them?
 *
 * The search of Wing and Gong (Testing and verifying concurrent objects, 1993) with the memory of
 * visited configurations of Lowe (Testing for linearizability, 2017), written from the papers: an
 * operation may be put next in the order if it was called before every operation that is still to
 * be put has returned, and if the model gives it the result that its client saw.
 *
 * An operation whose outcome is unknown may be put at any place behind its call, or never, with any
 * result. One that is known not to have happened does not belong into a history. */
#ifndef TESTS_SUPPORT_HISTORY_LINEARIZABLE_H
#define TESTS_SUPPORT_HISTORY_LINEARIZABLE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"

struct operation {
    uint64_t called_us;
    uint64_t returned_us; /* of a clock that all clients share; unused when unknown */
    const char *command;  /* as tests/support/history/model.h */
    const char *result;   /* null: unknown */
    unsigned client;      /* for the report */
};

enum verdict {
    VERDICT_LINEARIZABLE,
    VERDICT_BROKEN,
    VERDICT_UNDECIDED /* more than `steps_max` configurations */
};

/* `operations` are sorted by called_us in place. When it is not linearizable, *why (may be null)
 * gets the longest order that was found and what could not follow it. */
enum verdict linearizable_check(struct operation *operations, size_t count, uint64_t steps_max,
                                struct buffer *why) __attribute__((warn_unused_result));

#endif
