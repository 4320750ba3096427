#include "lib/shard/credentials.h"

#include <stdlib.h>

#include "lib/base/file.h"

/* One identity, and by which names it is told. Lives as long as the process: written by `init`,
 * only read afterwards. */
struct identity {
    const char *user_option, *user_variable;
    const char *file_option, *password_variable;
    struct credentials credentials;
    char user[256], password[4096];
};

static struct identity for_shards = {.user_option = "shard-user",
                                     .user_variable = "SLUICE_SHARD_USER",
                                     .file_option = "shard-password-file",
                                     .password_variable = "SLUICE_SHARD_PASSWORD"};
static struct identity for_sentinels = {.user_option = "sentinel-user",
                                        .user_variable = "SLUICE_SENTINEL_USER",
                                        .file_option = "sentinel-password-file",
                                        .password_variable = "SLUICE_SENTINEL_PASSWORD"};

static bool set_password(struct identity *identity, struct slice password, struct error *err)
{
    if (password.len >= sizeof(identity->password)) {
        return error_set(err, "the password has more than %zu bytes",
                         sizeof(identity->password) - 1);
    }
    memcpy(identity->password, password.data, password.len);
    identity->credentials.password = (struct slice){identity->password, password.len};
    return true;
}

static bool read_password(struct identity *identity, const char *path, struct error *err)
{
    struct buffer content;
    buffer_init(&content, (size_t)1 << 20);
    bool is_read = file_read(path, &content, NULL, err);
    if (is_read) {
        struct slice line = buffer_slice(&content);
        const char *end = memchr(line.data, '\n', line.len);
        line.len = end != NULL ? (size_t)(end - line.data) : line.len;
        line.len -= line.len > 0 && line.data[line.len - 1] == '\r' ? 1 : 0;
        is_read = line.len > 0 ? set_password(identity, line, err)
                               : error_set(err, "\"%s\" has no password in its first line", path);
    }
    buffer_fini(&content);
    return is_read;
}

static bool set_user(struct identity *identity, const char *user, struct error *err)
{
    struct slice name = user != NULL ? slice_of(user) : SLICE("default");
    if (name.len >= sizeof(identity->user)) {
        return error_set(err, "\"%s\" has more than %zu bytes", identity->user_option,
                         sizeof(identity->user) - 1);
    }
    memcpy(identity->user, name.data, name.len);
    identity->credentials.user = (struct slice){identity->user, name.len};
    return true;
}

static bool init(struct identity *identity, const struct login *login, struct error *err)
{
    const char *user = login != NULL ? login->user : NULL;
    const char *file = login != NULL ? login->password_file : NULL;
    const char *value = getenv(identity->password_variable);
    user = user != NULL ? user : getenv(identity->user_variable);
    if (!set_user(identity, user, err)) {
        return false;
    }
    if (file != NULL) {
        return read_password(identity, file, err) ||
               error_prefix(err, "\"%s\"", identity->file_option);
    }
    if (value != NULL && !set_password(identity, slice_of(value), err)) {
        return error_prefix(err, "%s", identity->password_variable);
    }
    if (user != NULL && identity->credentials.password.len == 0) {
        return error_set(err, "\"%s\" is given without a password: give \"%s\" or set %s",
                         identity->user_option, identity->file_option, identity->password_variable);
    }
    return true;
}

bool shard_credentials_init(const struct login *login, struct error *err)
{
    return init(&for_shards, login, err);
}

const struct credentials *shard_credentials(void)
{
    return &for_shards.credentials;
}

bool sentinel_credentials_init(const struct login *login, struct error *err)
{
    return init(&for_sentinels, login, err);
}

const struct credentials *sentinel_credentials(void)
{
    return &for_sentinels.credentials;
}
