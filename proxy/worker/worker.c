/* Used by two threads: its own, and the control thread, which posts mail and reads counters. */
#include "proxy/worker/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/net/handshakes.h"
#include "lib/net/mailbox.h"
#include "proxy/client/acl_log.h"
#include "proxy/client/client.h"
#include "proxy/client/round.h"

#define SCRATCH_BYTES    ((size_t)64 << 10)
#define TICK_MS          20
#define ACCEPTS_PER_TURN 64

/* Half-open connections of one worker; far more than come at once in good faith. */
#define HANDSHAKES_MAX 1024

struct listener {
    struct worker *worker;
    int fd;                        /* -1: there is none */
    struct handshakes *handshakes; /* null: clients are plain */
    struct io io;
};

struct worker {
    struct worker_settings settings;
    struct worker_reports reports;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct timer tick;
    struct listener listeners[LISTENER_KINDS];
    struct log_pause handshake_pause; /* between two lines about failed ones */
    bool is_listening, is_draining, is_idle_told;
    struct request_pool pool;
    struct counters *counters; /* read by other threads */
    struct router *router;
    struct client_host clients;
    char scratch[SCRATCH_BYTES];
};

/* --- accepting ------------------------------------------------------------------------------- */

static void greet_client(struct worker *worker, struct stream *stream)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    if (clients_open(&worker->clients) < worker->settings.tuning.clients.clients_max) {
        client_open(&worker->clients, stream);
        return;
    }
    size_t count;
    counter_add(&worker->counters->rejected, 1);
    (void)stream_write(stream, text, sizeof(text) - 1, &count); /* it is closed anyway */
    stream_close(stream);
}

static void on_handshake_done(void *context, struct stream *stream)
{
    greet_client(context, stream);
}

static void on_handshake_failed(void *context, const char *why)
{
    struct worker *worker = context;
    counter_add(&worker->counters->handshakes_failed, 1);
    if (log_pause_is_over(&worker->handshake_pause, loop_now_us(worker->loop))) {
        log_warn("client refused why=\"%s\"", why);
    }
}

static void accept_client(struct listener *listener, int fd)
{
    if (listener->handshakes != NULL) {
        handshakes_start(listener->handshakes, fd);
    } else {
        struct stream stream;
        stream_open_plain(&stream, fd);
        greet_client(listener->worker, &stream);
    }
}

static void on_connection(void *context)
{
    struct listener *listener = context;
    bool is_exhausted = false;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = socket_accept(listener->fd, &is_exhausted);
        if (fd < 0) {
            break;
        }
        accept_client(listener, fd);
    }
    if (is_exhausted) {
        /* The tick tries again: without the pause this would spin. */
        io_pause_reading(&listener->io);
    }
}

static void never_writable(void *context)
{
    (void)context;
}

static void start_listening(struct worker *worker)
{
    if (!worker->is_listening && !worker->is_draining) {
        worker->is_listening = true;
        for (unsigned i = 0; i < LISTENER_KINDS; i++) {
            struct listener *listener = &worker->listeners[i];
            if (listener->fd >= 0) {
                io_start(&listener->io, worker->loop, listener->fd, on_connection, never_writable,
                         listener);
            }
        }
    }
}

static void stop_listening(struct worker *worker)
{
    if (worker->is_listening) {
        worker->is_listening = false;
        for (unsigned i = 0; i < LISTENER_KINDS; i++) {
            if (worker->listeners[i].fd >= 0) {
                io_stop(&worker->listeners[i].io);
            }
        }
    }
}

/* After a pause, when there were no descriptors left. */
static void listen_on(struct worker *worker)
{
    for (unsigned i = 0; worker->is_listening && i < LISTENER_KINDS; i++) {
        if (worker->listeners[i].fd >= 0) {
            io_resume_reading(&worker->listeners[i].io);
        }
    }
}

static void on_tick(void *context)
{
    struct worker *worker = context;
    (void)loop_update_now(worker->loop);
    counter_add(&worker->counters->ticks, 1);
    router_tick(worker->router);
    clients_tick(&worker->clients);
    listen_on(worker);
    if (worker->is_draining && worker->clients.count == 0 && !worker->is_idle_told) {
        worker->is_idle_told = true;
        worker->reports.on_idle(worker->reports.context, worker->settings.index);
    }
    timer_start(&worker->tick, TICK_MS);
}

/* --- mail ------------------------------------------------------------------------------------ */

struct adopt_mail {
    struct mail mail;
    struct snapshot *snapshot;
    struct endpoint *endpoints;
};

static void deliver_adopt(struct mail *mail, void *receiver)
{
    struct adopt_mail *adopt = (struct adopt_mail *)mail;
    struct worker *worker = receiver;
    router_adopt(worker->router, adopt->snapshot, adopt->endpoints);
    start_listening(worker);
    mem_free(adopt->endpoints);
    mem_free(adopt);
}

static void drop_adopt(struct mail *mail)
{
    struct adopt_mail *adopt = (struct adopt_mail *)mail;
    snapshot_unref(adopt->snapshot);
    mem_free(adopt->endpoints);
    mem_free(adopt);
}

void worker_adopt(struct worker *worker, struct snapshot *snapshot, struct endpoint *endpoints)
{
    struct adopt_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct adopt_mail){{NULL, deliver_adopt, drop_adopt}, snapshot, endpoints};
    mailbox_post(worker->mailbox, &mail->mail);
}

struct replicas_mail {
    struct mail mail;
    struct replica_list *list;
};

static void deliver_replicas(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    router_take_replicas(worker->router, ((struct replicas_mail *)mail)->list);
    mem_free(mail);
}

static void drop_replicas(struct mail *mail)
{
    mem_free(((struct replicas_mail *)mail)->list);
    mem_free(mail);
}

void worker_take_replicas(struct worker *worker, struct replica_list *list)
{
    struct replicas_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct replicas_mail){{NULL, deliver_replicas, drop_replicas}, list};
    mailbox_post(worker->mailbox, &mail->mail);
}

struct shard_mail {
    struct mail mail;
    char shard[SHARD_NAME_MAX + 1];
    uint64_t connection_id;
};

static void deliver_killed(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    const struct shard_mail *killed = (const struct shard_mail *)mail;
    router_killed(worker->router, killed->shard, killed->connection_id);
    mem_free(mail);
}

static void deliver_expel(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    router_expel(worker->router, ((struct shard_mail *)mail)->shard);
    mem_free(mail);
}

static void post_shard(struct worker *worker, const char *shard, uint64_t connection_id,
                       void (*deliver)(struct mail *mail, void *receiver))
{
    struct shard_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct shard_mail){.mail.deliver = deliver, .connection_id = connection_id};
    (void)snprintf(mail->shard, sizeof(mail->shard), "%s", shard);
    mailbox_post(worker->mailbox, &mail->mail);
}

void worker_killed(struct worker *worker, const char *shard, uint64_t connection_id)
{
    post_shard(worker, shard, connection_id, deliver_killed);
}

void worker_expel(struct worker *worker, const char *shard)
{
    post_shard(worker, shard, 0, deliver_expel);
}

struct learn_mail {
    struct mail mail;
    const struct command_table *table;
    const char *version;
    struct acl *acl;
};

static void deliver_learn(struct mail *mail, void *receiver)
{
    const struct learn_mail *learn = (const struct learn_mail *)mail;
    struct worker *worker = receiver;
    worker->clients.table = learn->table;
    worker->clients.server_version = learn->version;
    clients_adopt_users(&worker->clients, learn->acl);
    mem_free(mail);
}

static void drop_learn(struct mail *mail)
{
    acl_unref(((struct learn_mail *)mail)->acl);
    mem_free(mail);
}

void worker_learn(struct worker *worker, const struct command_table *table, const char *version,
                  struct acl *acl)
{
    struct learn_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct learn_mail){{NULL, deliver_learn, drop_learn}, table, version, acl};
    mailbox_post(worker->mailbox, &mail->mail);
}

struct facts_mail {
    struct mail mail;
    struct fleet_facts facts;
};

static void deliver_facts(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    worker->clients.facts = ((const struct facts_mail *)mail)->facts;
    mem_free(mail);
}

void worker_tell(struct worker *worker, const struct fleet_facts *facts)
{
    struct facts_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct facts_mail){{.deliver = deliver_facts}, *facts};
    mailbox_post(worker->mailbox, &mail->mail);
}

struct users_mail {
    struct mail mail;
    struct acl *acl;
};

static void deliver_users(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    clients_adopt_users(&worker->clients, ((struct users_mail *)mail)->acl);
    mem_free(mail);
}

static void drop_users(struct mail *mail)
{
    acl_unref(((struct users_mail *)mail)->acl);
    mem_free(mail);
}

void worker_take_users(struct worker *worker, struct acl *acl)
{
    struct users_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct users_mail){{NULL, deliver_users, drop_users}, acl};
    mailbox_post(worker->mailbox, &mail->mail);
}

struct tune_mail {
    struct mail mail;
    struct worker_tuning tuning;
};

static void deliver_tune(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    worker->settings.tuning = ((const struct tune_mail *)mail)->tuning;
    router_tune(worker->router, &worker->settings.tuning.router);
    mem_free(mail);
}

void worker_tune(struct worker *worker, const struct worker_tuning *tuning)
{
    struct tune_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct tune_mail){{.deliver = deliver_tune}, *tuning};
    mailbox_post(worker->mailbox, &mail->mail);
}

static void deliver_drain(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    worker->is_draining = true;
    stop_listening(worker);
    clients_drain(&worker->clients);
    mem_free(mail);
}

void worker_drain(struct worker *worker)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){.deliver = deliver_drain};
    mailbox_post(worker->mailbox, mail);
}

static void deliver_round(struct mail *mail, void *receiver)
{
    struct worker *worker = receiver;
    round_arrive((struct round *)mail, &worker->clients);
}

static void drop_round(struct mail *mail)
{
    round_drop((struct round *)mail);
}

static void pass_on(void *context, struct round *round)
{
    const struct worker *worker = context;
    unsigned next = (worker->settings.index + 1) % worker->settings.count;
    round->mail.deliver = deliver_round;
    round->mail.drop = drop_round;
    mailbox_post(worker->settings.workers[next]->mailbox, &round->mail);
}

static void tell_reload_of_users(void *context, struct round *round)
{
    const struct worker *worker = context;
    worker->reports.on_reload_users(worker->reports.context, worker->settings.index, round);
}

void worker_pass_on(struct worker *worker, struct round *round, const char *error)
{
    buffer_add_text(&round->text, error != NULL ? error : "");
    pass_on(worker, round);
}

static void deliver_stop(struct mail *mail, void *receiver)
{
    const struct worker *worker = receiver;
    loop_stop(worker->loop);
    mem_free(mail);
}

/* --- reports --------------------------------------------------------------------------------- */

static void on_fenced(void *context)
{
    const struct worker *worker = context;
    worker->reports.on_fenced(worker->reports.context);
}

static void on_unfenced(void *context, const char *shard)
{
    const struct worker *worker = context;
    worker->reports.on_unfenced(worker->reports.context, shard);
}

static void on_given_up(void *context, const char *shard, const struct shard_identity *process,
                        uint64_t connection_id)
{
    const struct worker *worker = context;
    worker->reports.on_given_up(worker->reports.context, worker->settings.index, shard, process,
                                connection_id);
}

static void on_drained(void *context, const char *shard, uint64_t epoch)
{
    const struct worker *worker = context;
    worker->reports.on_drained(worker->reports.context, worker->settings.index, shard, epoch);
}

/* --- life ------------------------------------------------------------------------------------ */

static void set_up_router(struct worker *worker)
{
    const struct worker_settings *settings = &worker->settings;
    struct router_settings router = {
        .backend = {.loop = worker->loop,
                    .pool = &worker->pool,
                    .counters = worker->counters,
                    .tls = settings->shard_tls,
                    .scratch = worker->scratch,
                    .scratch_size = sizeof(worker->scratch)},
        .tuning = settings->tuning.router,
    };
    memcpy(router.backend.peer, settings->peer, sizeof(router.backend.peer));
    struct router_events events = {on_fenced, on_unfenced, on_given_up, on_drained, worker};
    worker->router = router_new(&router, &events);
}

static void set_up_clients(struct worker *worker)
{
    const struct worker_settings *settings = &worker->settings;
    worker->clients = (struct client_host){.loop = worker->loop,
                                           .router = worker->router,
                                           .counters = worker->counters,
                                           .latency = {.histogram = &worker->counters->latency},
                                           .table = command_table_builtin(),
                                           .server_version = "7.0.0",
                                           .scratch = worker->scratch,
                                           .scratch_size = sizeof(worker->scratch),
                                           .limits = &worker->settings.tuning.clients,
                                           .all_counters = settings->all_counters,
                                           .nworkers = settings->count,
                                           .port = settings->port,
                                           .started_us = loop_now_us(worker->loop),
                                           .next_id = settings->index + 1,
                                           .id_step = settings->count,
                                           .worker = settings->index,
                                           .acl = settings->acl,
                                           .acl_log = acl_log_new(),
                                           .reload_users = tell_reload_of_users,
                                           .pass_on = pass_on,
                                           .context = worker};
}

static void set_up_listeners(struct worker *worker)
{
    for (unsigned i = 0; i < LISTENER_KINDS; i++) {
        worker->listeners[i] =
            (struct listener){.worker = worker, .fd = worker->settings.listeners.fds[i]};
    }
    struct handshake_events events = {on_handshake_done, on_handshake_failed, worker};
    if (worker->listeners[LISTENER_TLS].fd >= 0) {
        worker->listeners[LISTENER_TLS].handshakes =
            handshakes_new(worker->loop, worker->settings.client_tls, HANDSHAKES_MAX, &events);
    }
}

static void close_listeners(struct worker *worker)
{
    stop_listening(worker);
    for (unsigned i = 0; i < LISTENER_KINDS; i++) {
        handshakes_free(worker->listeners[i].handshakes);
        if (worker->listeners[i].fd >= 0) {
            (void)close(worker->listeners[i].fd);
        }
    }
}

static void *run(void *context)
{
    struct worker *worker = context;
    char name[16]; /* the kernel's limit; for top and its like */
    (void)snprintf(name, sizeof(name), "worker %u", worker->settings.index);
    (void)pthread_setname_np(pthread_self(), name);
    timer_start(&worker->tick, TICK_MS);
    loop_run(worker->loop);
    return NULL;
}

struct worker *worker_start(const struct worker_settings *settings,
                            const struct worker_reports *reports)
{
    struct worker *worker = mem_zalloc(sizeof(*worker));
    worker->settings = *settings;
    worker->reports = *reports;
    worker->counters = &settings->all_counters[settings->index];
    worker->loop = loop_new();
    worker->mailbox = mailbox_new(worker->loop, worker);
    timer_init(&worker->tick, worker->loop, on_tick, worker);
    set_up_router(worker);
    set_up_clients(worker);
    set_up_listeners(worker);
    int failed = pthread_create(&worker->thread, NULL, run, worker);
    ASSERT(failed == 0);
    return worker;
}

void worker_stop(struct worker *worker)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){.deliver = deliver_stop};
    mailbox_post(worker->mailbox, mail);
    (void)pthread_join(worker->thread, NULL);
    /* While the others' mailboxes still are: a client that waits for them tells them. */
    client_close_all(&worker->clients);
}

void worker_free(struct worker *worker)
{
    timer_stop(&worker->tick);
    close_listeners(worker);
    acl_unref(worker->clients.acl);
    acl_log_free(worker->clients.acl_log);
    router_free(worker->router);
    mailbox_free(worker->mailbox);
    ASSERT(worker->pool.taken == 0);
    request_pool_fini(&worker->pool);
    loop_free(worker->loop);
    mem_free(worker);
}
