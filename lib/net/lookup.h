/* What host names stand for, asked of the name server by threads of their own: getaddrinfo knows no
 * time-out, and whoever asks for a name that hangs must not keep others waiting for longer than the
 * patience of this program.
 *
 * An answer that comes too late is kept for whoever asks next, for a few seconds; a name is asked
 * for once at a time, however many wait for it, and who asks for one that has been outstanding for
 * longer than the patience is not made to wait again. For the whole process, as getaddrinfo is. Any
 * thread. */
#ifndef LIB_NET_LOOKUP_H
#define LIB_NET_LOOKUP_H

#include "lib/net/socket.h"

#define LOOKUP_PATIENCE_MS       5000u /* unless lookup_set_patience has said otherwise */
#define LOOKUP_SHORT_PATIENCE_MS 500u  /* for threads that have others to serve */

/* Endpoint without a port. Blocks for as long as the patience at most. */
bool lookup_name(const char *host, struct endpoint *endpoint, struct error *err)
    __attribute__((warn_unused_result));

/* From now on. A server shortens it once it is up. */
void lookup_set_patience(unsigned ms);

#endif
