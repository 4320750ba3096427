#include "proxy/control/control.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/service.h"
#include "lib/net/lookup.h"
#include "proxy/control/control_internal.h"

#define TICK_MS       20
#define RENEW_US      ((uint64_t)STORE_LEASE_MS * 1000 / 5)
#define ASK_AGAIN_US  1000000u
#define LOOK_UP_US    2000000u
#define UNDO_AGAIN_US 250000u

/* --- adopting -------------------------------------------------------------------------------- */

struct publisher *control_publisher(const struct control *control, const char *shard)
{
    for (unsigned i = 0; i < control->npublishers; i++) {
        if (strcmp(publisher_shard(control->publishers[i]), shard) == 0) {
            return control->publishers[i];
        }
    }
    return NULL;
}

/* The endpoint that the same host and port had in the older topology; null: to be looked up. */
static const struct endpoint *known_endpoint(const struct control *control,
                                             const struct topology *older,
                                             const struct topology_shard *shard)
{
    for (unsigned i = 0; older != NULL && i < older->nshards; i++) {
        if (topology_same_place(&older->shards[i], shard) && control->endpoints[i].length > 0) {
            return &control->endpoints[i];
        }
    }
    return NULL;
}

static void name_for_tls(struct endpoint *endpoint, const struct topology_shard *shard)
{
    (void)snprintf(endpoint->tls_host, sizeof(endpoint->tls_host), "%s",
                   shard->is_tls ? shard->host : "");
}

/* A name server may be slow: only what is new is looked up, and again later what does not answer.
 */
static void resolve_all(struct control *control, const struct topology *older)
{
    const struct topology *topology = control->snapshot->topology;
    struct endpoint *endpoints = mem_zalloc(topology->nshards * sizeof(*endpoints));
    for (unsigned i = 0; i < topology->nshards; i++) {
        struct error err;
        const struct topology_shard *shard = &topology->shards[i];
        const struct endpoint *known = known_endpoint(control, older, shard);
        if (known != NULL) {
            endpoints[i] = *known;
        } else if (!endpoint_resolve(&endpoints[i], shard->host, shard->port, &err)) {
            log_error("shard has no address shard=%s why=\"%s\"", shard->name, err.text);
        } else {
            name_for_tls(&endpoints[i], shard);
        }
    }
    mem_free(control->endpoints);
    control->endpoints = endpoints;
}

static uint64_t epoch_of(void *context)
{
    const struct control *control = context;
    return control->snapshot->topology->epoch;
}

static void on_fenced(void *context)
{
    control_refresh(context);
}

static void on_unfenced(void *context, const char *shard)
{
    control_take_over(context, shard);
}

static void on_fence_lost(void *context, const char *shard)
{
    const struct control *control = context;
    log_error("shard has lost its fence shard=%s", shard);
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_expel(control->workers[i], shard);
    }
}

static void on_killed(void *context, unsigned worker, const char *shard, uint64_t connection_id)
{
    struct control *control = context;
    if (control->workers[worker] != NULL) {
        worker_killed(control->workers[worker], shard, connection_id);
    }
}

static void on_learnt(void *context, struct slice command_reply, struct slice info_reply)
{
    learning_take(context, command_reply, info_reply);
}

/* At once when a shard answers for the first time: clients that come early are told the truth. */
static void on_surveyed(void *context)
{
    struct control *control = context;
    control->is_survey_due = true;
}

static void on_replication(void *context, unsigned shard, uint64_t asked_us, struct slice reply)
{
    struct control *control = context;
    replica_watch_hear(control->replica_watch, shard, asked_us, reply);
}

static void on_replicas_found(void *context, struct replica_list *list)
{
    struct control *control = context;
    size_t size = sizeof(*list) + list->count * sizeof(list->places[0]);
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_take_replicas(control->workers[i], mem_dup(list, size));
    }
    mem_free(list);
}

static struct publisher *take_publisher(struct control *control, const char *shard)
{
    for (unsigned i = 0; i < control->npublishers; i++) {
        struct publisher *publisher = control->publishers[i];
        if (publisher != NULL && strcmp(publisher_shard(publisher), shard) == 0) {
            control->publishers[i] = NULL;
            return publisher;
        }
    }
    struct publisher_events events = {on_unfenced,    on_fence_lost, on_killed, on_learnt,
                                      on_replication, on_surveyed,   control};
    return publisher_new(&control->shared, control->nworkers, &events);
}

static void adopt_publishers(struct control *control)
{
    const struct topology *topology = control->snapshot->topology;
    struct publisher **publishers = mem_alloc(topology->nshards * sizeof(struct publisher *));
    for (unsigned i = 0; i < topology->nshards; i++) {
        publishers[i] = take_publisher(control, topology->shards[i].name);
    }
    for (unsigned i = 0; i < control->npublishers; i++) {
        if (control->publishers[i] != NULL) {
            publisher_free(control->publishers[i]);
        }
    }
    mem_free(control->publishers);
    control->publishers = publishers;
    control->npublishers = topology->nshards;
    for (unsigned i = 0; i < topology->nshards; i++) {
        publisher_set_target(publishers[i], i, &topology->shards[i], &control->endpoints[i]);
        publisher_retry(publishers[i]);
    }
}

static const struct seen_hold *find_hold(const struct control *control,
                                         const struct migration *migration)
{
    for (unsigned i = 0; i < control->nholds; i++) {
        if (control->holds[i].migration == migration->id &&
            control->holds[i].entry_epoch == migration->entry_epoch) {
            return &control->holds[i];
        }
    }
    return NULL;
}

/* Keeps the time of holds that go on, begins it for new ones, records the ended ones. */
static void adopt_holds(struct control *control)
{
    const struct topology *topology = control->snapshot->topology;
    uint64_t now = loop_now_us(control->loop);
    struct seen_hold *holds = mem_alloc((topology->nmigrations + 1) * sizeof(*holds));
    unsigned nholds = 0;
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (!phase_is_hold(migration->phase)) {
            continue;
        }
        const struct seen_hold *seen = find_hold(control, migration);
        holds[nholds++] = seen != NULL ? *seen
                                       : (struct seen_hold){.migration = migration->id,
                                                            .entry_epoch = migration->entry_epoch,
                                                            .since_us = now};
        control->holds_seen += seen != NULL ? 0 : 1;
    }
    for (unsigned i = 0; i < control->nholds; i++) {
        const struct migration *migration =
            topology_find_migration(topology, control->holds[i].migration);
        if (migration == NULL || migration->entry_epoch != control->holds[i].entry_epoch) {
            histogram_record(&control->hold_length, now - control->holds[i].since_us);
        }
    }
    mem_free(control->holds);
    control->holds = holds;
    control->nholds = nholds;
}

static void tell_workers(struct control *control)
{
    size_t size = control->snapshot->topology->nshards * sizeof(*control->endpoints);
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_adopt(control->workers[i], snapshot_ref(control->snapshot),
                     mem_dup(control->endpoints, size));
    }
}

static void adopt(struct control *control, struct topology *topology)
{
    struct snapshot *snapshot = snapshot_new(topology);
    struct snapshot *older = control->snapshot;
    control->snapshot = snapshot;
    resolve_all(control, older != NULL ? older->topology : NULL);
    replica_watch_adopt(control->replica_watch, topology);
    snapshot_unref(older);
    tell_workers(control);
    adopt_publishers(control);
    adopt_holds(control);
    sentinel_watch_adopt(control->sentinel_watch, topology);
    log_info("epoch adopted epoch=%llu shards=%u migrations=%u",
             (unsigned long long)topology->epoch, topology->nshards, topology->nmigrations);
}

static void note_store(struct control *control, const struct error *failure)
{
    if (failure != NULL && !control->store_failed) {
        log_warn("store cannot be read, serving epoch=%llu why=\"%s\"",
                 (unsigned long long)epoch_of(control), failure->text);
    }
    control->store_failed = failure != NULL;
}

void control_refresh(struct control *control)
{
    feed_ask(control->feed);
}

static void on_news(void *context)
{
    struct control *control = context;
    struct error why;
    bool has_failed = false;
    struct topology *topology = feed_take(control->feed, &has_failed, &why);
    (void)loop_update_now(control->loop);
    note_store(control, has_failed ? &why : NULL);
    if (topology != NULL && topology->epoch > epoch_of(control)) {
        adopt(control, topology);
    } else {
        topology_free(topology);
    }
}

/* --- names ------------------------------------------------------------------------------------ */

static void deliver_replica_name(struct mail *mail, void *receiver)
{
    struct lookup *lookup = (struct lookup *)mail;
    struct control *control = receiver;
    replica_watch_locate(control->replica_watch, lookup->host, &lookup->endpoint);
    mem_free(lookup);
}

static void look_up_replica(void *context, const struct address *address)
{
    struct control *control = context;
    steward_look_up(control->rescuer, address->host, address->port, control->mailbox,
                    deliver_replica_name);
}

/* The name's shards are at another address: the topology is the same. */
static void deliver_lookup(struct mail *mail, void *receiver)
{
    struct lookup *lookup = (struct lookup *)mail;
    struct control *control = receiver;
    const struct topology *topology = control->snapshot->topology;
    bool has_changed = false;
    for (unsigned i = 0; i < topology->nshards; i++) {
        const struct topology_shard *shard = &topology->shards[i];
        /* One that answers again by now stays where it is. */
        if (shard->port != lookup->port || strcmp(shard->host, lookup->host) != 0 ||
            publisher_is_ready(control->publishers[i])) {
            continue;
        }
        name_for_tls(&lookup->endpoint, shard);
        if (!endpoint_equal(&control->endpoints[i], &lookup->endpoint)) {
            control->endpoints[i] = lookup->endpoint;
            publisher_set_target(control->publishers[i], i, shard, &control->endpoints[i]);
            has_changed = true;
            log_info("shard is at another address shard=%s host=%s", shard->name, shard->host);
        }
    }
    if (has_changed) {
        tell_workers(control);
    }
    mem_free(lookup);
}

/* A server that was moved keeps its name, and a name server may have been away when we asked. */
static void look_up_again(struct control *control, uint64_t now)
{
    if (now < control->looked_up_us + LOOK_UP_US) {
        return;
    }
    control->looked_up_us = now;
    for (unsigned i = 0; i < control->npublishers; i++) {
        const struct topology_shard *shard = &control->snapshot->topology->shards[i];
        if (!publisher_is_ready(control->publishers[i])) {
            steward_look_up(control->rescuer, shard->host, shard->port, control->mailbox,
                            deliver_lookup);
        }
    }
}

/* --- strangers, holds, leases ---------------------------------------------------------------- */

void control_take_over(struct control *control, const char *shard)
{
    uint64_t now = loop_update_now(control->loop);
    const unsigned count = sizeof(control->strangers) / sizeof(control->strangers[0]);
    control_refresh(control); /* perhaps somebody was faster */
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(control->strangers[i].shard, shard) == 0 &&
            now < control->strangers[i].asked_at_us + ASK_AGAIN_US) {
            return;
        }
    }
    struct seen_stranger *stranger = &control->strangers[control->next_stranger++ % count];
    (void)snprintf(stranger->shard, sizeof(stranger->shard), "%s", shard);
    stranger->asked_at_us = now;
    steward_take_over(control->rescuer, shard);
}

static void undo_long_holds(struct control *control, uint64_t now)
{
    for (unsigned i = 0; i < control->nholds; i++) {
        struct seen_hold *hold = &control->holds[i];
        const struct migration *migration =
            topology_find_migration(control->snapshot->topology, hold->migration);
        ASSERT(migration != NULL);
        if (now > hold->since_us + migration->options.hold_max_ms * 1000 &&
            now > hold->asked_at_us + UNDO_AGAIN_US) {
            hold->asked_at_us = now;
            steward_undo_hold(control->steward, hold->migration, hold->entry_epoch);
        }
    }
}

static void renew_lease(struct control *control, uint64_t now)
{
    if (now < control->renewed_at_us + RENEW_US && control->renewed_at_us != 0) {
        return;
    }
    control->renewed_at_us = now;
    control->member.epoch = epoch_of(control);
    steward_renew(control->steward, &control->member);
}

static void on_tick(void *context)
{
    struct control *control = context;
    uint64_t now = loop_update_now(control->loop);
    for (unsigned i = 0; i < control->npublishers; i++) {
        publisher_tick(control->publishers[i], now);
    }
    learning_survey(control, now);
    replica_watch_tick(control->replica_watch, control->publishers, now);
    undo_long_holds(control, now);
    look_up_again(control, now);
    renew_lease(control, now);
    lifecycle_tick(control, now);
    timer_start(&control->tick, TICK_MS);
}

/* --- events ---------------------------------------------------------------------------------- */

static void never_writable(void *context)
{
    (void)context;
}

/* --- starting -------------------------------------------------------------------------------- */

static void set_up_member(struct control *control)
{
    struct store_member *member = &control->member;
    (void)snprintf(member->kind, sizeof(member->kind), "proxy");
    (void)snprintf(member->id, sizeof(member->id), "%s", control->config->id);
    random_hex(member->incarnation, sizeof(member->incarnation) - 1);
    bool is_plain = strcmp(control->listen_address, LISTEN_NONE) != 0;
    (void)snprintf(member->address, sizeof(member->address), is_plain ? "%s" : "tls:%s",
                   is_plain ? control->listen_address : control->tls_address);
    (void)snprintf(member->admin, sizeof(member->admin), "%s%s",
                   admin_access_tls(control->admin_access) != NULL ? "tls:" : "",
                   http_server_address(control->http));
    member->pid = (uint64_t)getpid();
    (void)snprintf(control->shared.peer, sizeof(control->shared.peer), "%s:%s", member->id,
                   member->incarnation);
}

static void set_up_shared(struct control *control)
{
    control->shared.hello = (struct backend_hello){epoch_of, on_fenced, on_unfenced, control};
    control->shared.loop = control->loop;
    control->shared.pool = &control->pool;
    control->shared.counters = &control->counters;
    control->shared.timeout_us = control->config->shard_timeout_ms * 1000;
    control->shared.connect_timeout_us = control->config->connect_timeout_ms * 1000;
    control->shared.tls = control->shard_tls;
    control->shared.scratch = control->scratch;
    control->shared.scratch_size = sizeof(control->scratch);
}

static struct worker_tuning tuning_of(const struct proxy_config *config)
{
    return (struct worker_tuning){
        .router = {.shard_timeout_us = config->shard_timeout_ms * 1000,
                   .connect_timeout_us = config->connect_timeout_ms * 1000,
                   .wait_max_us = config->wait_max_ms * 1000,
                   .store_timeout_us = config->store_timeout_ms * 1000,
                   .mirror_timeout_us = config->mirror_timeout_ms * 1000,
                   .queue_max = config->shard_queue_max,
                   .ack = strcmp(config->dual_write_ack, "both") == 0 ? ACK_BOTH : ACK_SOURCE,
                   .replica_lag_max_us =
                       config->read_policy == READ_PRIMARY ? 0 : config->replica_lag_max_ms * 1000},
        .clients = config->limits,
    };
}

void control_tune(struct control *control)
{
    struct worker_tuning tuning = tuning_of(control->config);
    control->shared.timeout_us = tuning.router.shard_timeout_us;
    control->shared.connect_timeout_us = tuning.router.connect_timeout_us;
    replica_watch_tune(control->replica_watch, control->config->read_policy,
                       control->config->replica_lag_max_ms * 1000);
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_tune(control->workers[i], &tuning);
    }
}

static void start_worker(struct control *control, unsigned index, const struct listeners *listeners)
{
    struct worker_reports reports = reports_of(control);
    struct worker_settings settings = {
        .index = index,
        .count = control->nworkers,
        .workers = control->workers,
        .listeners = *listeners,
        .port = control->port,
        .client_tls = control->client_tls,
        .shard_tls = control->shard_tls,
        .tuning = tuning_of(control->config),
        .acl = acl_ref(control->acl),
        .all_counters = control->worker_counters,
    };
    memcpy(settings.peer, control->shared.peer, sizeof(settings.peer));
    control->workers[index] = worker_start(&settings, &reports);
}

static bool open_store(struct control *control, struct topology **topology, struct error *err)
{
    control->store = store_open(control->config->store, err);
    if (control->store == NULL || !store_may_write(control->store, err)) {
        return false;
    }
    *topology = store_read(control->store, NULL, err);
    if (*topology == NULL) {
        return false;
    }
    control->steward = steward_start(control->config->store, err);
    control->rescuer = control->steward != NULL ? steward_start(control->config->store, err) : NULL;
    if (control->rescuer == NULL) {
        topology_free(*topology);
        return false;
    }
    control->sentinel_watch = sentinel_watch_start(control->rescuer);
    return true;
}

/* From here on the handle is the feed's. */
static void follow_store(struct control *control, uint64_t epoch)
{
    control->feed = feed_start(control->store, epoch);
    control->store = NULL;
    io_start(&control->feed_io, control->loop, feed_fd(control->feed), on_news, never_writable,
             control);
}

/* Before the first hello: a barrier kills at once whom the store does not know to be alive. */
static void announce(struct control *control, const struct topology *topology)
{
    struct error err;
    control->member.epoch = topology->epoch;
    if (!store_renew(control->store, &control->member, &err)) {
        log_warn("cannot register why=\"%s\"", err.text);
    }
}

/* Workers, in the order that leaves nothing half-started when something fails. */
static bool start_all(struct control *control, struct error *err)
{
    struct topology *topology = NULL;
    struct listeners *listeners = users_load(control, err) ? listening_open(control, err) : NULL;
    bool ok = listeners != NULL && admin_open(control, err) && open_store(control, &topology, err);
    if (ok) {
        set_up_member(control);
        announce(control, topology);
        for (unsigned i = 0; i < control->nworkers; i++) {
            start_worker(control, i, &listeners[i]);
        }
        adopt(control, topology);
        follow_store(control, epoch_of(control));
    }
    if (!ok) {
        listening_close(control, listeners);
    }
    mem_free(listeners);
    return ok;
}

bool control_check(struct proxy_config *config, struct error *err)
{
    struct control *control = mem_zalloc(sizeof(*control));
    control->config = config;
    control->table = command_table_builtin();
    buffer_init(&control->acl_text, ACL_TEXT_MAX);
    bool is_good =
        certificates_load(control, err) && admin_load(control, err) && users_load(control, err);
    users_fini(control);
    admin_close(control);
    certificates_free(control);
    mem_free(control);
    return is_good;
}

struct control *control_start(struct proxy_config *config, struct error *err)
{
    struct control *control = mem_zalloc(sizeof(*control));
    control->config = config;
    control->loop = loop_new();
    control->mailbox = mailbox_new(control->loop, control);
    control->started_us = loop_now_us(control->loop);
    control->nworkers = (unsigned)config->threads;
    control->workers = mem_zalloc(control->nworkers * sizeof(struct worker *));
    control->worker_counters = mem_zalloc(control->nworkers * sizeof(struct counters));
    control->seen_ticks = mem_zalloc(control->nworkers * sizeof(*control->seen_ticks));
    control->table = command_table_builtin();
    timer_init(&control->tick, control->loop, on_tick, control);
    buffer_init(&control->acl_text, ACL_TEXT_MAX);
    lifecycle_open(control);
    if (!certificates_load(control, err) || !admin_load(control, err)) {
        control_free(control);
        return NULL;
    }
    set_up_shared(control);
    const struct replica_watch_events replica_events = {on_replicas_found, look_up_replica,
                                                        control};
    control->replica_watch = replica_watch_new(&control->shared, &replica_events);
    replica_watch_tune(control->replica_watch, config->read_policy,
                       config->replica_lag_max_ms * 1000);
    if (!start_all(control, err)) {
        control_free(control);
        return NULL;
    }
    timer_start(&control->tick, TICK_MS);
    return control;
}

void control_run(struct control *control)
{
    log_info("serving listen=%s tls=%s admin=%s id=%s threads=%u epoch=%llu",
             control->listen_address, control->tls_address, http_server_address(control->http),
             control->config->id, control->nworkers, (unsigned long long)epoch_of(control));
    lookup_set_patience(LOOKUP_SHORT_PATIENCE_MS);
    service_ready();
    loop_run(control->loop);
}

/* All threads first: they send each other mail. */
static void stop_workers(struct control *control)
{
    for (unsigned i = 0; i < control->nworkers; i++) {
        if (control->workers[i] != NULL) {
            worker_stop(control->workers[i]);
        }
    }
    for (unsigned i = 0; i < control->nworkers; i++) {
        struct worker *worker = control->workers[i];
        control->workers[i] = NULL;
        if (worker != NULL) {
            worker_free(worker);
        }
    }
}

void control_free(struct control *control)
{
    stop_workers(control);
    replica_watch_free(control->replica_watch);
    for (unsigned i = 0; i < control->npublishers; i++) {
        publisher_free(control->publishers[i]);
    }
    if (control->sentinel_watch != NULL) {
        sentinel_watch_stop(control->sentinel_watch); /* it tells the rescuer */
    }
    if (control->steward != NULL) {
        steward_stop(control->steward);
    }
    if (control->rescuer != NULL) {
        steward_stop(control->rescuer);
    }
    admin_close(control);
    if (control->feed != NULL) {
        io_stop(&control->feed_io);
        feed_stop(control->feed);
    }
    lifecycle_close(control);
    timer_stop(&control->tick);
    if (control->store != NULL) {
        store_close(control->store);
    }
    snapshot_unref(control->snapshot);
    learning_fini(control);
    users_fini(control);
    request_pool_fini(&control->pool);
    mailbox_free(control->mailbox);
    certificates_free(control);
    loop_free(control->loop);
    mem_free(control->publishers);
    mem_free(control->endpoints);
    mem_free(control->holds);
    mem_free(control->workers);
    mem_free(control->worker_counters);
    mem_free(control->seen_ticks);
    mem_free(control);
}
