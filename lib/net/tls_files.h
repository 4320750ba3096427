/* The options by which every program is told how to prove itself to shards, and whom to trust:
 * three rows of its table, and where they lie in its settings. */
#ifndef LIB_NET_TLS_FILES_H
#define LIB_NET_TLS_FILES_H

#include <stddef.h>

#include "lib/net/tls.h"

/* A field of the settings; texts owned by them, null: not given. */
struct tls_files {
    char *ca_cert_file, *cert_file, *key_file;
};

// clang-format off
/* X(name, offset, text): `base` is the offset of the struct tls_files. */
#define SHARD_TLS_OPTIONS(X, base)                                                          \
    X("shard-tls-ca-cert-file", (base) + offsetof(struct tls_files, ca_cert_file),          \
      "whom to trust for shards named tls:HOST:PORT; default: whom the system trusts")      \
    X("shard-tls-cert-file", (base) + offsetof(struct tls_files, cert_file),                \
      "certificate to show to such shards")                                                 \
    X("shard-tls-key-file", (base) + offsetof(struct tls_files, key_file),                  \
      "its private key")

// clang-format on

/* For connecting to shards. Null with a message. */
static inline struct tls_context *shard_tls_new(const struct tls_files *files, struct error *err)
{
    struct tls_options options = {.prefix = "shard-tls-",
                                  .ca_cert_file = files->ca_cert_file,
                                  .cert_file = files->cert_file,
                                  .key_file = files->key_file};
    return tls_context_new(&options, err);
}

#endif
