/* Whether two replies, RESP2 or RESP3, say the same. Pure. */
#ifndef TESTS_SUPPORT_DIFFERENTIAL_COMPARE_H
#define TESTS_SUPPORT_DIFFERENTIAL_COMPARE_H

#include <stdbool.h>

#include "lib/base/slice.h"

/* Each is one whole reply; `comparison`: bits of enum comparison. */
bool replies_agree(struct slice a, struct slice b, unsigned comparison);

#endif
