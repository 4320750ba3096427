#include "migrator/run/admin.h"

#include <stdlib.h>

#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/metrics/exposition.h"
#include "lib/net/http.h"
#include "lib/topology/document.h"

struct admin {
    struct http_server *server;
    const struct admin_view *view;
};

static bool leads(const struct admin_view *view)
{
    return view->lease == LEASE_LEADS;
}

static int serve_health(void *context, struct buffer *body)
{
    (void)context;
    buffer_add_text(body, "ok\n");
    return HTTP_OK;
}

static int serve_ready(void *context, struct buffer *body)
{
    const struct admin_view *view = ((const struct admin *)context)->view;
    if (!view->is_ready) {
        buffer_add_text(body, "the store does not answer\n");
        return HTTP_UNAVAILABLE;
    }
    switch (view->lease) {
    case LEASE_LEADS:
        buffer_add_text(body, "ready\n");
        return HTTP_OK;
    case LEASE_IN_RESERVE:
        buffer_add_text(body, "ready, in reserve: another migrator leads\n");
        return HTTP_OK;
    case LEASE_LOST:
        break;
    }
    buffer_printf(body, "the lease cannot be renewed: %s\n", view->lease_failure.text);
    return HTTP_UNAVAILABLE;
}

static int serve_topology(void *context, struct buffer *body)
{
    const struct admin *admin = context;
    if (admin->view->topology == NULL) {
        buffer_add_text(body, "{\"error\": \"the store does not answer\"}\n");
        return HTTP_UNAVAILABLE;
    }
    document_format_readable(admin->view->topology, body);
    return HTTP_OK;
}

static json_t *migration_json(const struct runner *runner)
{
    const struct progress *progress = runner_progress(runner);
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(runner_migration(runner), id);
    json_t *object = json_object();
    (void)json_object_set_new(object, "id", json_string(id));
#define X(field, name, kind, help)            \
    (void)json_object_set_new(object, #field, \
                              json_integer((json_int_t)counter_read(&progress->field)));
    PROGRESS_NUMBERS(X)
#undef X
    enum phase phase = (enum phase)counter_read(&progress->phase);
    (void)json_object_set_new(object, "phase", json_string(phase_name(phase)));
    return object;
}

static int serve_stats(void *context, struct buffer *body)
{
    const struct admin *admin = context;
    const struct roster *roster = admin->view->roster;
    json_t *list = json_array();
    for (unsigned i = 0; i < roster->count; i++) {
        (void)json_array_append_new(list, migration_json(roster->entries[i].runner));
    }
    json_int_t epoch = admin->view->topology != NULL ? (json_int_t)admin->view->topology->epoch : 0;
    json_t *stats =
        json_pack("{s:s, s:s, s:I, s:b, s:b, s:o}", "id", admin->view->settings->id, "version",
                  VERSION, "epoch", epoch, "ready", (int)admin->view->is_ready, "leads",
                  (int)leads(admin->view), "migrations", list);
    if (stats == NULL) {
        return HTTP_INTERNAL_ERROR;
    }
    char *text = json_dumps(stats, JSON_INDENT(2));
    json_decref(stats);
    ASSERT(text != NULL);
    buffer_printf(body, "%s\n", text);
    free(text);
    return HTTP_OK;
}

struct progress_metric {
    const char *name, *help;
    enum progress_kind kind;
    size_t offset; /* in struct progress */
};

static const struct progress_metric progress_metrics[] = {
#define X(field, name, kind, help) \
    {"sluice_migration_" name, help, PROGRESS_##kind, offsetof(struct progress, field)},
    PROGRESS_NUMBERS(X)
#undef X
};

static void expose_number(struct exposition *exposition, const struct roster *roster,
                          const struct progress_metric *metric)
{
    static const double scales[] = {[PROGRESS_COUNTER] = 1,
                                    [PROGRESS_GAUGE] = 1,
                                    [PROGRESS_MICROSECONDS] = 1e-6,
                                    [PROGRESS_MILLISECONDS] = 1e-3};
    exposition_metric(exposition, metric->name,
                      metric->kind == PROGRESS_COUNTER ? METRIC_COUNTER : METRIC_GAUGE,
                      metric->help);
    for (unsigned i = 0; i < roster->count; i++) {
        char id[MIGRATION_ID_TEXT_MAX];
        const struct runner *runner = roster->entries[i].runner;
        const struct counter *counter =
            (const void *)((const char *)runner_progress(runner) + metric->offset);
        migration_id_format(runner_migration(runner), id);
        exposition_sample(exposition, LABELS({"migration", id}),
                          (double)counter_read(counter) * scales[metric->kind]);
    }
}

/* As the proxy shows it. */
static void expose_phases(struct exposition *exposition, const struct roster *roster)
{
    exposition_metric(exposition, "sluice_migration_phase", METRIC_GAUGE,
                      "1 for the phase a migration is in.");
    for (unsigned i = 0; i < roster->count; i++) {
        char id[MIGRATION_ID_TEXT_MAX];
        const struct runner *runner = roster->entries[i].runner;
        migration_id_format(runner_migration(runner), id);
        enum phase phase = (enum phase)counter_read(&runner_progress(runner)->phase);
        exposition_sample(exposition, LABELS({"migration", id}, {"phase", phase_name(phase)}), 1);
    }
}

static void expose_migrations(struct exposition *exposition, const struct roster *roster)
{
    for (size_t i = 0; i < sizeof(progress_metrics) / sizeof(progress_metrics[0]); i++) {
        expose_number(exposition, roster, &progress_metrics[i]);
    }
    expose_phases(exposition, roster);
}

static int serve_metrics(void *context, struct buffer *body)
{
    const struct admin *admin = context;
    const struct topology *topology = admin->view->topology;
    struct exposition exposition;
    exposition_init(&exposition, body);
    exposition_metric(&exposition, "sluice_build_info", METRIC_GAUGE, "Version of the program.");
    exposition_sample(&exposition, LABELS({"version", VERSION}), 1);
    exposition_metric(&exposition, "sluice_migrator_leads", METRIC_GAUGE,
                      "It carries out the migrations; 0: it is in reserve.");
    exposition_sample(&exposition, NO_LABELS, leads(admin->view) ? 1 : 0);
    exposition_metric(&exposition, "sluice_admin_connections", METRIC_GAUGE,
                      "Connections to this endpoint that are open.");
    exposition_sample(&exposition, NO_LABELS, http_server_connections(admin->server));
    exposition_metric(&exposition, "sluice_admin_handshakes_failed_total", METRIC_COUNTER,
                      "Connections to this endpoint closed before their TLS handshake was done.");
    exposition_sample(&exposition, NO_LABELS, (double)http_server_failed_handshakes(admin->server));
    exposition_metric(&exposition, "sluice_admin_denied_total", METRIC_COUNTER,
                      "Requests to this endpoint without a good token.");
    exposition_sample(&exposition, NO_LABELS, (double)http_server_denials(admin->server));
    exposition_metric(&exposition, "sluice_log_suppressed_total", METRIC_COUNTER,
                      "Log lines left out because their message stormed.");
    exposition_sample(&exposition, NO_LABELS, (double)log_suppressed());
    exposition_metric(&exposition, "sluice_epoch", METRIC_GAUGE, "Epoch of the topology.");
    exposition_sample(&exposition, NO_LABELS, topology != NULL ? (double)topology->epoch : 0);
    exposition_metric(&exposition, "sluice_migrations", METRIC_GAUGE, "Open migrations.");
    exposition_sample(&exposition, NO_LABELS, topology != NULL ? topology->nmigrations : 0);
    exposition_metric(&exposition, "sluice_purge_debts", METRIC_GAUGE,
                      "Purges that wait for a dead shard.");
    exposition_sample(&exposition, NO_LABELS, topology != NULL ? topology->ndebts : 0);
    exposition_metric(&exposition, "sluice_former_primaries", METRIC_GAUGE,
                      "Former primaries that are not closed to proxies yet.");
    exposition_sample(&exposition, NO_LABELS, topology != NULL ? topology->nformers : 0);
    expose_migrations(&exposition, admin->view->roster);
    return HTTP_OK;
}

struct admin_access *admin_access_of(const struct migrator_settings *settings, struct error *err)
{
    struct admin_access *access = admin_access_new(&settings->admin_files, err);
    if (access != NULL && settings->is_protected &&
        !admin_access_is_safe(access, settings->admin, err)) {
        admin_access_free(access);
        return NULL;
    }
    return access;
}

struct admin *admin_open(struct loop *loop, const struct admin_access *access,
                         const struct admin_view *view, struct error *err)
{
    struct http_server *server = http_server_open(loop, view->settings->admin, access, NULL, err);
    if (server == NULL) {
        return NULL;
    }
    struct admin *admin = mem_alloc(sizeof(*admin));
    *admin = (struct admin){.server = server, .view = view};
    http_server_route(server, "/healthz", "text/plain", HTTP_FOR_ALL, serve_health, admin);
    http_server_route(server, "/readyz", "text/plain", HTTP_STATUS_FOR_ALL, serve_ready, admin);
    http_server_route(server, "/topology", "application/json", HTTP_FOR_TOKENS, serve_topology,
                      admin);
    http_server_route(server, "/stats", "application/json", HTTP_FOR_TOKENS, serve_stats, admin);
    http_server_route(server, "/metrics", EXPOSITION_CONTENT_TYPE, HTTP_FOR_TOKENS, serve_metrics,
                      admin);
    return admin;
}

void admin_close(struct admin *admin)
{
    if (admin != NULL) {
        http_server_close(admin->server);
        mem_free(admin);
    }
}

const char *admin_address(const struct admin *admin)
{
    return http_server_address(admin->server);
}
