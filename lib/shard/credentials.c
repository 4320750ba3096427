#include "lib/shard/credentials.h"

#include <stdlib.h>

#include "lib/base/file.h"

#define PASSWORD_MAX 4096u

/* Lives as long as the process: written by shard_credentials_init, only read afterwards. */
static struct shard_credentials credentials;
static char user_text[256], password_text[PASSWORD_MAX];

static bool set_password(struct slice password, struct error *err)
{
    if (password.len >= sizeof(password_text)) {
        return error_set(err, "the shards' password has more than %zu bytes",
                         sizeof(password_text) - 1);
    }
    memcpy(password_text, password.data, password.len);
    credentials.password = (struct slice){password_text, password.len};
    return true;
}

static bool read_password(const char *path, struct error *err)
{
    struct buffer content;
    buffer_init(&content, (size_t)1 << 20);
    bool is_read = file_read(path, &content, NULL, err);
    if (is_read) {
        struct slice line = buffer_slice(&content);
        const char *end = memchr(line.data, '\n', line.len);
        line.len = end != NULL ? (size_t)(end - line.data) : line.len;
        line.len -= line.len > 0 && line.data[line.len - 1] == '\r' ? 1 : 0;
        is_read = line.len > 0 ? set_password(line, err)
                               : error_set(err, "\"%s\" has no password in its first line", path);
    }
    buffer_fini(&content);
    return is_read;
}

bool shard_credentials_init(const struct shard_login *login, struct error *err)
{
    const char *user = login != NULL ? login->user : NULL;
    const char *file = login != NULL ? login->password_file : NULL;
    const char *value = getenv("SLUICE_SHARD_PASSWORD");
    user = user != NULL ? user : getenv("SLUICE_SHARD_USER");
    struct slice name = user != NULL ? slice_of(user) : SLICE("default");
    if (name.len >= sizeof(user_text)) {
        return error_set(err, "\"shard-user\" has more than %zu bytes", sizeof(user_text) - 1);
    }
    memcpy(user_text, name.data, name.len);
    credentials.user = (struct slice){user_text, name.len};
    if (file != NULL) {
        return read_password(file, err) || error_prefix(err, "\"shard-password-file\"");
    }
    if (value != NULL && !set_password(slice_of(value), err)) {
        return error_prefix(err, "SLUICE_SHARD_PASSWORD");
    }
    if (user != NULL && credentials.password.len == 0) {
        return error_set(err, "a user for the shards is given without a password: give "
                              "\"shard-password-file\" or set SLUICE_SHARD_PASSWORD");
    }
    return true;
}

const struct shard_credentials *shard_credentials(void)
{
    return &credentials;
}
