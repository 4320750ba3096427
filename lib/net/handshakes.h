/* The accepted connections of one listener whose TLS handshake is under way: bounded in number and
 * in time, so that those who only connect, and those who do not speak TLS, cost little. One thread.
 */
#ifndef LIB_NET_HANDSHAKES_H
#define LIB_NET_HANDSHAKES_H

#include "lib/net/loop.h"
#include "lib/net/tls.h"

#define HANDSHAKE_TIMEOUT_MS 10000

struct handshakes;

struct handshake_events {
    /* The stream is handed over. */
    void (*on_done)(void *context, struct stream *stream);
    /* It failed, took too long, or gave way to a newer one; it is closed behind this. */
    void (*on_failed)(void *context, const char *why);
    void *context;
};

/* At most `max` at a time: a newer one takes the place of the oldest. The context is borrowed. */
struct handshakes *handshakes_new(struct loop *loop, struct tls_context *context, unsigned max,
                                  const struct handshake_events *events);
/* Closes what is under way, without a word; null is allowed. */
void handshakes_free(struct handshakes *handshakes);
/* Takes over the descriptor. May call the events before it returns. */
void handshakes_start(struct handshakes *handshakes, int fd);

#endif
