/* Sockets as the programs want them: non-blocking, close-on-exec, no Nagle, keep-alive. */
#ifndef LIB_NET_SOCKET_H
#define LIB_NET_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/error.h"

/* Where to connect to, resolved. */
struct endpoint {
    struct sockaddr_storage address;
    socklen_t length;   /* 0: could not be resolved */
    char tls_host[256]; /* TLS, and a certificate for this host name or number; "": plain */
};

/* Blocks for names that are not numeric, for a bounded time (lib/net/lookup.h): control plane. IPv4
 * where there is both. */
bool endpoint_resolve(struct endpoint *endpoint, const char *host, uint16_t port, struct error *err)
    __attribute__((warn_unused_result));
/* The same for a number alone: does not block. */
bool endpoint_of_number(struct endpoint *endpoint, const char *host, uint16_t port,
                        struct error *err) __attribute__((warn_unused_result));
/* Only this machine can reach it. */
bool endpoint_is_loopback(const struct endpoint *endpoint);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* An errno of bind(2) or listen(2) in words, and what to do about it. */
const char *socket_listen_failure(int why);
/* Nobody listens there. SO_REUSEPORT would let a second process share the port in silence. */
bool socket_is_free(const struct endpoint *endpoint, struct error *err)
    __attribute__((warn_unused_result));
/* The endpoint with another port. */
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);
/* With SO_REUSEPORT, so that each worker has a listener of its own. -1 with a message. */
int socket_listen(const struct endpoint *endpoint, struct error *err)
    __attribute__((warn_unused_result));
/* The port it listens on (asked for port 0). */
uint16_t socket_port(int fd);
/* -1 when there is none waiting (*is_exhausted: out of descriptors). */
int socket_accept(int listener, bool *is_exhausted);
/* Probes a silent connection after so long; 0: never. */
void socket_set_keepalive(int fd, unsigned seconds);
/* Both ends of a connection; length 0 where it is lost. */
void socket_addresses(int fd, struct endpoint *remote, struct endpoint *local);
/* "127.0.0.1:6379" or "[::1]:6379", as Redis shows it; "?:0" where it is not known. */
#define ENDPOINT_TEXT_MAX 64
void endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_MAX]);
/* Begins to connect; writable when done, then socket_error tells. -1 when it failed at once. */
int socket_connect(const struct endpoint *endpoint);
/* 0, or the errno that the connection failed with. */
int socket_error(int fd);

#endif
