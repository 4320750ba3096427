/* Redis' patterns for keys and channels: * ? [a-z] [^a-z] and \ before a letter. Pure. */
#ifndef LIB_ACL_GLOB_H
#define LIB_ACL_GLOB_H

#include <stdbool.h>

#include "lib/base/slice.h"

/* Bytes of any value in either; takes at most pattern.len * text.len steps. */
bool glob_matches(struct slice pattern, struct slice text) __attribute__((warn_unused_result));

#endif
