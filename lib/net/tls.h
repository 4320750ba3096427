/* TLS over a connected socket: what stands behind a stream that is not plain. TLS 1.2 and 1.3, no
 * renegotiation, no compression, no session tickets: a client that comes back proves itself anew,
 * also after the authorities were changed.
 *
 * A context is made from files and shared by all threads; its streams keep what they began with
 * when it is reloaded. A stream belongs to one thread. Programs ignore SIGPIPE: OpenSSL writes with
 * write(2). */
#ifndef LIB_NET_TLS_H
#define LIB_NET_TLS_H

#include "lib/base/error.h"
#include "lib/net/socket.h"
#include "lib/net/stream.h"

/* What a server asks of those who connect. */
enum tls_auth {
    TLS_AUTH_NO,       /* no certificate is asked for */
    TLS_AUTH_OPTIONAL, /* one that is shown must be good */
    TLS_AUTH_YES       /* one must be shown */
};

/* "no", "optional", "yes". */
bool tls_auth_parse(const char *text, enum tls_auth *auth) __attribute__((warn_unused_result));

/* Texts may be null: none, or OpenSSL's default. Borrowed for the call. */
struct tls_options {
    const char *prefix; /* of the options' names, for messages: "tls-" or "shard-tls-" */
    const char *cert_file, *key_file;
    const char *ca_cert_file; /* whom to trust; null: for a client, whom the system does */
    const char *ciphers, *ciphersuites; /* TLS 1.2; TLS 1.3 */
    bool is_server;
    enum tls_auth auth_clients; /* of a server */
};

struct tls_context;

/* Null with a message that names the option and the file. */
struct tls_context *tls_context_new(const struct tls_options *options, struct error *err)
    __attribute__((warn_unused_result));
/* When all its streams are closed. Null is allowed. */
void tls_context_free(struct tls_context *context);
/* Reads the files again, for connections from now on. False with a message: all stays as it was.
 * Any thread; null is allowed and does nothing. */
bool tls_context_reload(struct tls_context *context, struct error *err)
    __attribute__((warn_unused_result));

/* Both take over the descriptor; the handshake comes next: stream_shake_hands. */
void stream_accept_tls(struct stream *stream, int fd, struct tls_context *context);
/* To an endpoint that was just connected: TLS, if it has a name that its certificate must bear. */
void stream_open_to(struct stream *stream, int fd, const struct endpoint *endpoint,
                    struct tls_context *context);

#endif
