/* Who Sluice's programs are to the shards, and to their Sentinels. Told once, before the first
 * thread starts; afterwards only read, by any thread. */
#ifndef LIB_SHARD_CREDENTIALS_H
#define LIB_SHARD_CREDENTIALS_H

#include "lib/base/error.h"
#include "lib/base/slice.h"

struct credentials {
    struct slice user;
    struct slice password; /* empty: none is known, and no AUTH is sent */
};

/* The password is the first line of the file; where `user` or `file` is null, SLUICE_SHARD_USER or
 * SLUICE_SHARD_PASSWORD stands in for it. Without a user's name: the default user. Keeps copies. */
bool shard_credentials_init(const char *user, const char *file, struct error *err)
    __attribute__((warn_unused_result));
const struct credentials *shard_credentials(void);

/* The same with SLUICE_SENTINEL_USER and SLUICE_SENTINEL_PASSWORD. */
bool sentinel_credentials_init(const char *user, const char *file, struct error *err)
    __attribute__((warn_unused_result));
const struct credentials *sentinel_credentials(void);

#endif
