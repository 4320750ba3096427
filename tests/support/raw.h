/* A socket and RESP replies as bytes, for tests that look at the very bytes. Blocking, with a
 * time-out of 60 seconds a read. */
#ifndef TESTS_SUPPORT_RAW_H
#define TESTS_SUPPORT_RAW_H

#include <stdint.h>

#include "lib/base/buffer.h"

/* A connection to 127.0.0.1, or -1. */
int raw_connect(uint16_t port);
bool raw_send(int fd, struct slice bytes);
/* Appends until the other side closes, or for the time-out. True when it closed: by a reset, too,
 * which is what a closed socket answers with that still had bytes to read. */
bool raw_read_to_end(int fd, struct buffer *bytes);

/* Length of the one whole RESP2 or RESP3 reply that `bytes` begins with; 0: not all of it is there.
 */
size_t raw_reply_length(struct slice bytes);
/* Moves exactly one reply to the end of `reply`; `pending` keeps what was read behind it. False
 * when the connection ended first. */
bool raw_read_reply(int fd, struct buffer *pending, struct buffer *reply);

/* Appends a command as an array of bulks. */
void raw_add_command(struct buffer *bytes, int argc, const struct slice *argv);

#endif
