/* Opens all listeners before any thread runs: a port that is taken stops the start. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/memory.h"
#include "lib/net/address.h"
#include "proxy/control/control_internal.h"

static bool find_endpoint(const char *text, struct endpoint *endpoint, struct address *address,
                          struct error *err)
{
    return address_parse(slice_of(text), address, err) && address_resolve(address, endpoint, err) &&
           socket_is_free(endpoint, err);
}

/* One listener for each worker, at the same port. */
static bool listen_at(const struct control *control, const char *text, enum listener_kind kind,
                      struct listeners *listeners, struct address *address, struct error *err)
{
    struct endpoint endpoint;
    bool ok = find_endpoint(text, &endpoint, address, err);
    for (unsigned i = 0; ok && i < control->nworkers; i++) {
        listeners[i].fds[kind] = socket_listen(&endpoint, err);
        ok = listeners[i].fds[kind] >= 0;
        if (ok) {
            address->port = socket_port(listeners[i].fds[kind]);
            endpoint_set_port(&endpoint, address->port);
        }
    }
    return ok ||
           error_prefix(err, kind == LISTENER_TLS ? "\"tls-listen\" %s" : "\"listen\" %s", text);
}

static bool open_kind(struct control *control, enum listener_kind kind, struct listeners *listeners,
                      struct error *err)
{
    const struct proxy_config *config = control->config;
    const char *wanted = kind == LISTENER_TLS ? config->tls_listen : config->listen;
    char *shown = kind == LISTENER_TLS ? control->tls_address : control->listen_address;
    struct address address;
    if (wanted == NULL || strcmp(wanted, LISTEN_NONE) == 0) {
        (void)snprintf(shown, sizeof(control->listen_address), LISTEN_NONE);
        return true;
    }
    if (!listen_at(control, wanted, kind, listeners, &address, err)) {
        return false;
    }
    char text[ADDRESS_TEXT_MAX];
    address_format(&address, text);
    (void)snprintf(shown, sizeof(control->listen_address), "%s", text);
    control->port = control->port != 0 ? control->port : address.port;
    return true;
}

struct listeners *listening_open(struct control *control, struct error *err)
{
    size_t size = control->nworkers * sizeof(struct listeners);
    struct listeners *listeners = mem_alloc(size);
    memset(listeners, -1, size);
    if (!open_kind(control, LISTENER_PLAIN, listeners, err) ||
        !open_kind(control, LISTENER_TLS, listeners, err)) {
        listening_close(control, listeners);
        mem_free(listeners);
        return NULL;
    }
    return listeners;
}

void listening_close(const struct control *control, const struct listeners *listeners)
{
    for (unsigned i = 0; listeners != NULL && i < control->nworkers; i++) {
        for (unsigned kind = 0; kind < LISTENER_KINDS; kind++) {
            if (listeners[i].fds[kind] >= 0) {
                (void)close(listeners[i].fds[kind]);
            }
        }
    }
}
