/* What one key of a Redis server does, written anew for the checkers: no line of it is shared with
 * the programs under test. Pure.
 *
 * A state is a readable text: "" (no key), "s:VALUE", "h:FIELD=VALUE,..." (sorted by field),
 * "l:VALUE,...". Values and fields are letters, digits, '.' and '-'. A command is its words without
 * the key ("SET 17", "GET"); "INCR|GET" is a transaction of two. A result is the one-line text of
 * tests/support/client.h. */
#ifndef TESTS_SUPPORT_HISTORY_MODEL_H
#define TESTS_SUPPORT_HISTORY_MODEL_H

#include <stdbool.h>

#include "lib/base/buffer.h"

/* Replaces the contents of *next and *result, which are zero-terminated afterwards. False when the
 * command is none that the model knows: a bug of the test. */
bool model_step(const char *state, const char *command, struct buffer *next, struct buffer *result)
    __attribute__((warn_unused_result));

#endif
