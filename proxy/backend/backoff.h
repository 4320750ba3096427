/* How long a connection that failed waits before it is tried again. Pure. */
#ifndef PROXY_BACKEND_BACKOFF_H
#define PROXY_BACKEND_BACKOFF_H

#include <stdint.h>

/* Doubles with each failure in a row, up to a second; the upper half is left to chance, so that the
 * proxies which lost a shard together do not come back together. */
uint64_t backoff_us(unsigned failures, uint64_t random);

#endif
