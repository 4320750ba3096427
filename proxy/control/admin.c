/* The admin endpoint: who may ask it, and its routes. */
#include "lib/base/log.h"
#include "lib/metrics/exposition.h"
#include "lib/topology/document.h"
#include "proxy/control/control_internal.h"

extern const char embedded_dashboard_html[]; /* dashboard/dashboard.html */

static int get_metrics(void *context, struct buffer *body)
{
    stats_write_metrics(context, body);
    return HTTP_OK;
}

static int get_stats(void *context, struct buffer *body)
{
    stats_write_json(context, body);
    return HTTP_OK;
}

static int get_topology(void *context, struct buffer *body)
{
    const struct control *control = context;
    if (control->snapshot == NULL) {
        return HTTP_UNAVAILABLE;
    }
    document_format_readable(control->snapshot->topology, body);
    return HTTP_OK;
}

static int get_healthz(void *context, struct buffer *body)
{
    (void)context;
    buffer_add_text(body, "alive\n");
    return HTTP_OK;
}

/* Ready: a topology is adopted, at least one shard lets us in, and we are not draining. What is
 * wrong is said in either case. */
static int get_readyz(void *context, struct buffer *body)
{
    const struct control *control = context;
    unsigned usable = 0;
    for (unsigned i = 0; i < control->npublishers; i++) {
        bool is_ready = publisher_is_ready(control->publishers[i]);
        usable += is_ready ? 1 : 0;
        if (!is_ready) {
            buffer_printf(body, "shard %s cannot be used now\n",
                          publisher_shard(control->publishers[i]));
        }
    }
    if (control->store_failed || !steward_store_answers(control->steward)) {
        buffer_add_text(body, "the store does not answer\n");
    }
    if (control->is_draining || usable == 0) {
        buffer_add_text(body, control->is_draining ? "draining\n" : "no shard can be used\n");
        return HTTP_UNAVAILABLE;
    }
    buffer_add_text(body, "ready\n");
    return HTTP_OK;
}

static int get_dashboard(void *context, struct buffer *body)
{
    (void)context;
    buffer_add_text(body, embedded_dashboard_html);
    return HTTP_OK;
}

static bool check_exposure(const struct control *control, struct error *err)
{
    const struct proxy_config *config = control->config;
    return !config->is_protected || admin_access_is_safe(control->admin_access, config->admin, err);
}

bool admin_load(struct control *control, struct error *err)
{
    control->admin_access = admin_access_new(&control->config->admin_files, err);
    return control->admin_access != NULL && check_exposure(control, err);
}

void admin_reload(struct control *control)
{
    struct error err;
    if (!admin_access_reload(control->admin_access, &err) || !check_exposure(control, &err)) {
        log_error("admin endpoint left as it was why=\"%s\"", err.text);
    }
}

bool admin_open(struct control *control, struct error *err)
{
    struct http_server *http =
        http_server_open(control->loop, control->config->admin, control->admin_access, NULL, err);
    if (http == NULL) {
        return false;
    }
    control->http = http;
    http_server_route(http, "/metrics", EXPOSITION_CONTENT_TYPE, HTTP_FOR_TOKENS, get_metrics,
                      control);
    http_server_route(http, "/stats", "application/json", HTTP_FOR_TOKENS, get_stats, control);
    http_server_route(http, "/topology", "application/json", HTTP_FOR_TOKENS, get_topology,
                      control);
    http_server_route(http, "/healthz", "text/plain", HTTP_FOR_ALL, get_healthz, control);
    http_server_route(http, "/readyz", "text/plain", HTTP_STATUS_FOR_ALL, get_readyz, control);
    /* The page has no data: it asks for the token, and with it for the data. */
    http_server_route(http, "/", "text/html; charset=utf-8", HTTP_FOR_ALL, get_dashboard, control);
    return true;
}

void admin_close(struct control *control)
{
    http_server_close(control->http);
    admin_access_free(control->admin_access);
}
