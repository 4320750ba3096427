/* Who Sluice's programs are to the shards, and to their Sentinels. Told once, before the first
 * thread starts; afterwards only read, by any thread. */
#ifndef LIB_SHARD_CREDENTIALS_H
#define LIB_SHARD_CREDENTIALS_H

#include <stddef.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"

/* A field of the settings; texts owned by them, null: not given. */
struct login {
    char *user, *password_file;
};

// clang-format off
/* Rows of a table of options: `base` is the offset of the struct login. */
#define LOGIN_OPTIONS(user_option, user_text, file_option, file_text, base)                        \
    {user_option, OPTION_TEXT, (base) + offsetof(struct login, user), NULL, 0, 0, OPTION_AT_START, \
     user_text, "NAME"},                                                                           \
    OPTION_FILE(file_option, (base) + offsetof(struct login, password_file), file_text)

#define SHARD_LOGIN_OPTIONS(base)                                                                  \
    LOGIN_OPTIONS("shard-user",                                                                    \
                  "who we are to the shards (SLUICE_SHARD_USER); default: the default user",       \
                  "shard-password-file",                                                           \
                  "whose first line is our password for the shards; or SLUICE_SHARD_PASSWORD",     \
                  base)
#define SENTINEL_LOGIN_OPTIONS(base)                                                               \
    LOGIN_OPTIONS("sentinel-user",                                                                 \
                  "who we are to Sentinels (SLUICE_SENTINEL_USER); default: the default user",     \
                  "sentinel-password-file",                                                        \
                  "whose first line is our password for Sentinels; or SLUICE_SENTINEL_PASSWORD",   \
                  base)

// clang-format on

struct credentials {
    struct slice user;
    struct slice password; /* empty: none is known, and no AUTH is sent */
};

/* The password is the first line of the file; where `login`, or one of its texts, is null,
 * SLUICE_SHARD_USER or SLUICE_SHARD_PASSWORD stands in for it. Without a user's name: the default
 * user. Keeps copies. */
bool shard_credentials_init(const struct login *login, struct error *err)
    __attribute__((warn_unused_result));
const struct credentials *shard_credentials(void);

/* The same with SLUICE_SENTINEL_USER and SLUICE_SENTINEL_PASSWORD. */
bool sentinel_credentials_init(const struct login *login, struct error *err)
    __attribute__((warn_unused_result));
const struct credentials *sentinel_credentials(void);

#endif
