/* The admin endpoint's routes. */
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

bool admin_open(struct control *control, struct error *err)
{
    control->http = http_server_open(control->loop, control->config->admin, err);
    if (control->http == NULL) {
        return error_prefix(err, "--admin");
    }
    http_server_route(control->http, "/metrics", EXPOSITION_CONTENT_TYPE, get_metrics, control);
    http_server_route(control->http, "/stats", "application/json", get_stats, control);
    http_server_route(control->http, "/topology", "application/json", get_topology, control);
    http_server_route(control->http, "/healthz", "text/plain", get_healthz, control);
    http_server_route(control->http, "/readyz", "text/plain", get_readyz, control);
    http_server_route(control->http, "/", "text/html; charset=utf-8", get_dashboard, control);
    return true;
}
