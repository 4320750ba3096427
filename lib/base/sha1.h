/* SHA-1, for the names under which Redis keeps scripts (EVALSHA). Not for secrets. Pure. */
#ifndef LIB_BASE_SHA1_H
#define LIB_BASE_SHA1_H

#include "lib/base/slice.h"

#define SHA1_HEX_LENGTH 40

/* Writes 40 lower-case hex digits and a zero. */
void sha1_hex(struct slice data, char hex[SHA1_HEX_LENGTH + 1]);

#endif
