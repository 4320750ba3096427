#include "lib/base/log.h"
#include "lib/shard/shard.h"
#include "proxy/control/control_internal.h"

static bool load_client_side(struct control *control, struct error *err)
{
    const struct proxy_config *config = control->config;
    if (config->tls_listen == NULL) {
        return true;
    }
    struct tls_options options = {.prefix = "tls-",
                                  .cert_file = config->tls_cert_file,
                                  .key_file = config->tls_key_file,
                                  .ca_cert_file = config->tls_ca_cert_file,
                                  .ciphers = config->tls_ciphers,
                                  .ciphersuites = config->tls_ciphersuites,
                                  .is_server = true,
                                  .auth_clients = config->auth_clients};
    control->client_tls = tls_context_new(&options, err);
    return control->client_tls != NULL;
}

bool certificates_load(struct control *control, struct error *err)
{
    control->shard_tls = shard_tls_new(&control->config->shard_tls, err);
    shard_use_tls(control->shard_tls);
    return control->shard_tls != NULL && load_client_side(control, err);
}

void certificates_reload(struct control *control)
{
    struct error err;
    if (tls_context_reload(control->client_tls, &err) &&
        tls_context_reload(control->shard_tls, &err)) {
        log_info("certificates read again");
    } else {
        log_error("certificates cannot be read again, the old ones stay why=\"%s\"", err.text);
    }
}

void certificates_free(struct control *control)
{
    shard_use_tls(NULL);
    tls_context_free(control->client_tls);
    tls_context_free(control->shard_tls);
}
