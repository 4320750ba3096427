/* Passwords and tokens: hashed, and compared in a time that does not tell how much of them was
 * right. Pure; any thread. Here since only lib/net knows OpenSSL. */
#ifndef LIB_NET_SECRET_H
#define LIB_NET_SECRET_H

#include <stdbool.h>

#include "lib/base/slice.h"

#define SECRET_HASH_LENGTH 64 /* letters: SHA-256, lower-case hexadecimal */

/* Writes SECRET_HASH_LENGTH letters, and no zero behind them. */
void secret_hash(struct slice secret, char *hash);
/* Only whether the lengths differ shows in the time it takes. */
bool secret_equal(struct slice a, struct slice b) __attribute__((warn_unused_result));

#endif
