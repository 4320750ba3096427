#include "lib/net/tokens.h"

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/net/secret.h"

#define FILE_MAX ((size_t)1 << 20)

struct tokens {
    char hashes[TOKENS_MAX][SECRET_HASH_LENGTH];
    unsigned count;
};

static struct slice trim(struct slice line)
{
    while (line.len > 0 && strchr(" \t\r", line.data[line.len - 1]) != NULL) {
        line.len--;
    }
    while (line.len > 0 && (*line.data == ' ' || *line.data == '\t')) {
        line = (struct slice){line.data + 1, line.len - 1};
    }
    return line;
}

/* As RFC 6750 wants it: anything else would never match what a header can hold. */
static bool is_token(struct slice text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-._~+/";
    while (text.len > 0 && text.data[text.len - 1] == '=') {
        text.len--;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(letters, text.data[i], sizeof(letters) - 1) == NULL) {
            return false;
        }
    }
    return text.len > 0;
}

static bool add(struct tokens *tokens, struct slice token, struct error *err)
{
    if (token.len < TOKEN_MIN || token.len > TOKEN_MAX) {
        return error_set(err,
                         "a token must have %d to %d letters; `openssl rand -hex 32` makes one",
                         TOKEN_MIN, TOKEN_MAX);
    }
    if (!is_token(token)) {
        return error_set(err, "a token has only the letters A-Z a-z 0-9 - . _ ~ + / and = at its "
                              "end; `openssl rand -hex 32` makes one");
    }
    if (tokens->count == TOKENS_MAX) {
        return error_set(err, "more than %d tokens", TOKENS_MAX);
    }
    secret_hash(token, tokens->hashes[tokens->count++]);
    return true;
}

static bool read_lines(struct tokens *tokens, struct slice text, struct error *err)
{
    for (unsigned number = 1; text.len > 0; number++) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t length = end != NULL ? (size_t)(end - text.data) : text.len;
        size_t step = end != NULL ? length + 1 : length;
        struct slice line = trim((struct slice){text.data, length});
        if (line.len > 0 && *line.data != '#' && !add(tokens, line, err)) {
            return error_prefix(err, "line %u", number);
        }
        text = (struct slice){text.data + step, text.len - step};
    }
    return tokens->count > 0 || error_set(err, "there is no token");
}

struct tokens *tokens_parse(struct slice text, struct error *err)
{
    struct tokens *tokens = mem_zalloc(sizeof(*tokens));
    if (!read_lines(tokens, text, err)) {
        tokens_free(tokens);
        return NULL;
    }
    return tokens;
}

struct tokens *tokens_read(const char *path, struct error *err)
{
    struct buffer content;
    struct tokens *tokens = NULL;
    buffer_init(&content, FILE_MAX);
    if (file_read(path, &content, NULL, err)) {
        tokens = tokens_parse(buffer_slice(&content), err);
        if (tokens == NULL) {
            (void)error_prefix(err, "%s", path);
        }
    }
    buffer_fini(&content);
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    mem_free(tokens);
}

bool tokens_have(const struct tokens *tokens, struct slice token)
{
    char hash[SECRET_HASH_LENGTH];
    bool is_found = false;
    secret_hash(token, hash);
    for (unsigned i = 0; i < tokens->count; i++) {
        struct slice known = {tokens->hashes[i], SECRET_HASH_LENGTH};
        is_found = secret_equal(known, (struct slice){hash, sizeof(hash)}) || is_found;
    }
    return is_found;
}
