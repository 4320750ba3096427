/* Who Sluice's programs are to the shards. Told once, before the first thread starts; afterwards
 * only read, by any thread. */
#ifndef LIB_SHARD_CREDENTIALS_H
#define LIB_SHARD_CREDENTIALS_H

#include <stddef.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"

/* A field of the settings; texts owned by them, null: not given. */
struct shard_login {
    char *user, *password_file;
};

// clang-format off
/* Rows of a table of options: `base` is the offset of the struct shard_login. */
#define SHARD_LOGIN_OPTIONS(base)                                                                  \
    {"shard-user", OPTION_TEXT, (base) + offsetof(struct shard_login, user), NULL, 0, 0,           \
     OPTION_AT_START,                                                                              \
     "who we are to the shards (SLUICE_SHARD_USER); default: the default user", "NAME"},           \
    OPTION_FILE("shard-password-file", (base) + offsetof(struct shard_login, password_file),       \
                "whose first line is our password for the shards; or SLUICE_SHARD_PASSWORD")

// clang-format on

struct shard_credentials {
    struct slice user;
    struct slice password; /* empty: none is known, and no AUTH is sent */
};

/* The password is the first line of the file; where `login`, or one of its texts, is null,
 * SLUICE_SHARD_USER or SLUICE_SHARD_PASSWORD stands in for it. Without a user's name: the default
 * user. Keeps copies. */
bool shard_credentials_init(const struct shard_login *login, struct error *err)
    __attribute__((warn_unused_result));
const struct shard_credentials *shard_credentials(void);

#endif
