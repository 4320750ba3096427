/* Who may ask an admin endpoint, and how: the same options in every program. With a certificate it
 * speaks TLS; with tokens it asks for one of them, but for health.
 *
 *   options -> admin_access_new -> http_server_open -> every request
 *                   ^ SIGHUP: admin_access_reload
 *
 * One thread: that of the server. */
#ifndef LIB_NET_ADMIN_ACCESS_H
#define LIB_NET_ADMIN_ACCESS_H

#include "lib/net/tls_files.h"
#include "lib/net/tokens.h"

/* Stands in for the file of tokens. */
#define ADMIN_TOKEN_VARIABLE "SLUICE_ADMIN_TOKEN"

/* A field of the settings; texts owned by them, null: not given. */
struct admin_files {
    struct tls_files tls;
    char *token_file;
};

// clang-format off
/* X(name, offset, text): `base` is the offset of the struct admin_files. */
#define ADMIN_OPTIONS(X, base)                                                                \
    X("admin-tls-cert-file", (base) + offsetof(struct admin_files, tls.cert_file),            \
      "certificate of the admin endpoint, which then speaks TLS; read again on SIGHUP")       \
    X("admin-tls-key-file", (base) + offsetof(struct admin_files, tls.key_file),              \
      "its private key, not encrypted")                                                       \
    X("admin-tls-ca-cert-file", (base) + offsetof(struct admin_files, tls.ca_cert_file),      \
      "whose client certificates are good; without it none is asked for")                     \
    X("admin-token-file", (base) + offsetof(struct admin_files, token_file),                  \
      "bearer tokens, a line each, for all but health; or " ADMIN_TOKEN_VARIABLE              \
      "; read again on SIGHUP")

// clang-format on

struct admin_access;

/* Reads the files. Null with a message that names the option and the file. */
struct admin_access *admin_access_new(const struct admin_files *files, struct error *err)
    __attribute__((warn_unused_result));
/* When the server is closed. Null is allowed. */
void admin_access_free(struct admin_access *access);
/* Reads the files again: for connections, and requests, from now on. False with a message: what
 * could not be read stays as it was. */
bool admin_access_reload(struct admin_access *access, struct error *err)
    __attribute__((warn_unused_result));

/* False with a message when others can reach this address and nobody is asked for a token. */
bool admin_access_is_safe(const struct admin_access *access, const char *address, struct error *err)
    __attribute__((warn_unused_result));
/* Null: it is plain. */
struct tls_context *admin_access_tls(const struct admin_access *access);
/* Whether that token is good; any is, and none, where no token is asked for. */
bool admin_access_admits(const struct admin_access *access, struct slice token)
    __attribute__((warn_unused_result));

#endif
