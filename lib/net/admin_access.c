#include "lib/net/admin_access.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/net/address.h"

struct admin_access {
    struct tls_context *tls; /* null: plain */
    struct tokens *tokens;   /* null: none is asked for */
    char *token_file;        /* null: from the environment, or none */
};

static bool load_tls(struct admin_access *access, const struct tls_files *files, struct error *err)
{
    struct tls_options options = {.prefix = "admin-tls-",
                                  .cert_file = files->cert_file,
                                  .key_file = files->key_file,
                                  .ca_cert_file = files->ca_cert_file,
                                  .is_server = true,
                                  .auth_clients =
                                      files->ca_cert_file != NULL ? TLS_AUTH_YES : TLS_AUTH_NO};
    if (files->cert_file == NULL && files->key_file == NULL && files->ca_cert_file == NULL) {
        return true;
    }
    access->tls = tls_context_new(&options, err);
    return access->tls != NULL;
}

/* Keeps the old ones when it fails. */
static bool load_tokens(struct admin_access *access, struct error *err)
{
    const char *value = getenv(ADMIN_TOKEN_VARIABLE);
    if (access->token_file == NULL && value == NULL) {
        return true;
    }
    struct tokens *tokens = access->token_file != NULL ? tokens_read(access->token_file, err)
                                                       : tokens_parse(slice_of(value), err);
    if (tokens == NULL) {
        return error_prefix(err, access->token_file != NULL ? "\"admin-token-file\""
                                                            : ADMIN_TOKEN_VARIABLE);
    }
    tokens_free(access->tokens);
    access->tokens = tokens;
    return true;
}

struct admin_access *admin_access_new(const struct admin_files *files, struct error *err)
{
    struct admin_access *access = mem_zalloc(sizeof(*access));
    access->token_file = files->token_file != NULL ? mem_strdup(files->token_file) : NULL;
    if (!load_tls(access, &files->tls, err) || !load_tokens(access, err)) {
        admin_access_free(access);
        return NULL;
    }
    return access;
}

void admin_access_free(struct admin_access *access)
{
    if (access == NULL) {
        return;
    }
    tls_context_free(access->tls);
    tokens_free(access->tokens);
    mem_free(access->token_file);
    mem_free(access);
}

bool admin_access_reload(struct admin_access *access, struct error *err)
{
    bool has_certificates = tls_context_reload(access->tls, err);
    return load_tokens(access, has_certificates ? err : NULL) && has_certificates;
}

bool admin_access_is_safe(const struct admin_access *access, const char *address, struct error *err)
{
    bool is_public = false;
    if (access->tokens != NULL) {
        return true;
    }
    if (!address_is_public(slice_of(address), &is_public, err)) {
        return error_prefix(err, "the admin address");
    }
    return !is_public ||
           error_set(
               err,
               "\"admin\" is %s, which others can reach, and the endpoint asks for no token: "
               "give \"admin-token-file\" or set " ADMIN_TOKEN_VARIABLE
               ", or listen on 127.0.0.1, or say \"protected-mode\" = no if the network keeps "
               "strangers out",
               address);
}

struct tls_context *admin_access_tls(const struct admin_access *access)
{
    return access->tls;
}

bool admin_access_admits(const struct admin_access *access, struct slice token)
{
    return access->tokens == NULL || tokens_have(access->tokens, token);
}
