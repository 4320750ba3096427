/* A key's type, value and expiry as bytes that are equal exactly when they are, read by the type's
 * own commands and not by DUMP. Uses nothing of lib/: what proves the migrator right may not share
 * its mistakes. One thread. */
#ifndef TESTS_SUPPORT_COMPARE_COPY_H
#define TESTS_SUPPORT_COMPARE_COPY_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#define COPY_TYPE_MAX 32

struct key {
    char *data; /* zero-terminated too; owned by whoever collected it */
    size_t length;
    unsigned slot;
};

struct copy {
    char type[COPY_TYPE_MAX]; /* as TYPE says; "none": the key is absent */
    long long expires_ms;     /* as PEXPIRETIME says: -1 none, -2 absent */
    char *data;               /* canonical bytes; freed with copy_fini */
    size_t length;
};

/* Reads the values of `count` keys, pipelined. False, with a message on standard error, when the
 * shard does not answer. Each is to be freed with copy_fini in either case. */
bool copy_read(redisContext *shard, const struct key *const *keys, size_t count,
               struct copy *values);
void copy_fini(struct copy *value);
bool copy_equal(const struct copy *a, const struct copy *b);

#endif
