/* A subscribed client for tests, which reads its messages one by one. Fails the test when it cannot
 * go on. Main thread. */
#ifndef TESTS_SUPPORT_LISTENER_H
#define TESTS_SUPPORT_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

struct listener;

/* To 127.0.0.1; sends `command` ("SUBSCRIBE a b", words split at spaces) and waits for as many
 * confirmations as it has arguments. */
struct listener *listener_open(uint16_t port, const char *command)
    __attribute__((warn_unused_result));
void listener_close(struct listener *listener); /* null is allowed */

/* The next message: the last two elements, for any kind of message. They hold until the next call.
 */
struct heard {
    const char *channel, *text;
};
struct heard listener_next(struct listener *listener);
/* Whether something has come that was not read yet, or comes within `ms`. */
bool listener_has_more(struct listener *listener, int ms);

#endif
