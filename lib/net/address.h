/* An address as operators write it: a host (a name or a number) and a port. No I/O but in
 * address_resolve. */
#ifndef LIB_NET_ADDRESS_H
#define LIB_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"
#include "lib/net/socket.h"

#define ADDRESS_HOST_MAX 255 /* bytes; a DNS name has at most 253 */
#define ADDRESS_TEXT_MAX (ADDRESS_HOST_MAX + sizeof("[]:65535"))

struct address {
    char host[ADDRESS_HOST_MAX + 1]; /* an IPv6 number stands here without its brackets */
    uint16_t port;
};

/* "HOST:PORT", "[IPV6]:PORT", or ":PORT" for 127.0.0.1: to listen to the world must be written out.
 * Port 0 is taken; it means "any free port" where one listens. */
bool address_parse(struct slice text, struct address *address, struct error *err)
    __attribute__((warn_unused_result));
/* The value of an option, named in the message. */
bool address_check(const char *option, const char *text, struct error *err)
    __attribute__((warn_unused_result));
/* The same text back, with brackets where they are needed. */
void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
/* Blocks for names that are not numeric: control plane. The message names the address. */
bool address_resolve(const struct address *address, struct endpoint *endpoint, struct error *err)
    __attribute__((warn_unused_result));
/* Whether others than this machine can reach what listens on "HOST:PORT". Blocks likewise. */
bool address_is_public(struct slice text, bool *is_public, struct error *err)
    __attribute__((warn_unused_result));

#endif
