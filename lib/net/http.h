/* The admin endpoint: a small HTTP/1.1 server for GET and HEAD. Not for the internet.
 *
 *   accept -> handshake (TLS) -> reading the head -> handler -> writing the reply -> draining ->
 * closed
 *
 * One request to a connection. Whatever a client does is bounded: the number of connections (more
 * wait in the listener's backlog), the bytes of a head, and the time from accept to close. A body
 * is read and dropped. One thread: the loop's. */
#ifndef LIB_NET_HTTP_H
#define LIB_NET_HTTP_H

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/net/admin_access.h"
#include "lib/net/loop.h"

#define HTTP_OK             200
#define HTTP_INTERNAL_ERROR 500
#define HTTP_UNAVAILABLE    503

struct http_server;

/* Appends the reply's body, which it bounds itself, and returns its status, one of the above. */
typedef int http_handler_fn(void *context, struct buffer *body);

struct http_limits {
    unsigned connections; /* open at once; 64 */
    size_t head_bytes;    /* of the request line and the header fields; 8 kB */
    uint64_t time_ms;     /* from accept to close; 10 s */
};

/* Listens on "host:port"; port 0 takes a free one. `access` must outlive it. `limits` null: the
 * numbers above. Null with a message that names the address. */
struct http_server *http_server_open(struct loop *loop, const char *address,
                                     const struct admin_access *access,
                                     const struct http_limits *limits, struct error *err)
    __attribute__((warn_unused_result));
/* Closes all connections; replies under way are cut off. Null is allowed. Not from a handler. */
void http_server_close(struct http_server *server);

/* Who is told, where `access` has tokens. */
enum http_audience {
    HTTP_FOR_TOKENS,
    HTTP_STATUS_FOR_ALL, /* the handler's text only to those who show a token: health */
    HTTP_FOR_ALL         /* what tells nothing */
};

/* Texts must outlive the server. At most 16 routes; a path must not come twice. */
void http_server_route(struct http_server *server, const char *path, const char *content_type,
                       enum http_audience audience, http_handler_fn *handler, void *context);

/* Where it listens, with the port it got. Owned by the server. */
const char *http_server_address(const struct http_server *server);
/* Open now. */
unsigned http_server_connections(const struct http_server *server);
/* TLS: connections so far that were closed before they could ask. */
uint64_t http_server_failed_handshakes(const struct http_server *server);
/* Requests so far that were refused for want of a good token. */
uint64_t http_server_denials(const struct http_server *server);

#endif
