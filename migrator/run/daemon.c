#include "migrator/run/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "migrator/run/admin.h"
#include "migrator/run/debts.h"

/* Threads are looked after so often: a migration that is over is noticed without a watch. */
#define TICK_MS         UINT64_C(200)
#define STOP_TIMEOUT_US UINT64_C(900000)

struct daemon {
    const struct migrator_settings *settings;
    struct loop *loop;
    struct store *store;
    struct topology *topology; /* the newest that was read */
    struct roster roster;
    struct debts *debts;
    struct admin *admin;
    struct admin_view view;
    struct store_member member;
    atomic_bool is_stopping; /* read by all threads */
    int signal_fd;
    struct io signal_io;
    struct io watch_io;
    struct timer tick;
    struct timer lease;
};

static void read_topology(struct daemon *daemon)
{
    struct error err;
    struct topology *topology = store_read(daemon->store, NULL, &err);
    daemon->view.is_ready = topology != NULL;
    if (topology == NULL) {
        log_warn("store cannot be read reason=\"%s\"", err.text);
        return;
    }
    topology_free(daemon->topology);
    daemon->topology = topology;
    daemon->view.topology = topology;
    daemon->member.epoch = topology->epoch;
}

static void look(struct daemon *daemon)
{
    uint64_t epoch = 0;
    struct error err;
    bool is_known = store_epoch(daemon->store, &epoch, &err);
    if (!is_known || daemon->topology == NULL || daemon->topology->epoch != epoch) {
        read_topology(daemon);
    }
    daemon->view.is_ready = is_known && daemon->topology != NULL;
    if (daemon->topology != NULL) {
        roster_update(&daemon->roster, daemon->topology, daemon->settings, &daemon->is_stopping);
    }
}

static void on_tick(void *context)
{
    struct daemon *daemon = context;
    look(daemon);
    timer_start(&daemon->tick, TICK_MS);
}

static void on_watch(void *context)
{
    struct daemon *daemon = context;
    store_watch_clear(daemon->store);
    look(daemon);
}

static void on_lease(void *context)
{
    struct daemon *daemon = context;
    struct error err;
    if (!store_renew(daemon->store, &daemon->member, &err)) {
        log_warn("lease cannot be renewed reason=\"%s\"", err.text);
    }
    timer_start(&daemon->lease, STORE_LEASE_MS / 5);
}

static void on_signal(void *context)
{
    struct daemon *daemon = context;
    struct signalfd_siginfo info;
    if (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        log_info("stopping signal=%u", info.ssi_signo);
        loop_stop(daemon->loop);
    }
}

static void never(void *context)
{
    (void)context;
}

static bool open_signals(struct daemon *daemon, struct error *err)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    daemon->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return daemon->signal_fd >= 0 || error_set(err, "cannot watch for signals");
}

static bool open_all(struct daemon *daemon, struct error *err)
{
    const struct migrator_settings *settings = daemon->settings;
    daemon->store = store_open(settings->store_url, err);
    if (daemon->store == NULL || !open_signals(daemon, err)) {
        return false;
    }
    daemon->topology = store_read(daemon->store, NULL, err);
    if (daemon->topology == NULL) {
        return false;
    }
    daemon->view = (struct admin_view){.settings = settings,
                                       .roster = &daemon->roster,
                                       .topology = daemon->topology,
                                       .is_ready = true};
    daemon->loop = loop_new();
    daemon->admin = admin_open(daemon->loop, settings->admin, &daemon->view, err);
    if (daemon->admin == NULL) {
        return false;
    }
    daemon->debts = debts_start(settings, &daemon->is_stopping, err);
    return daemon->debts != NULL;
}

static void fill_member(struct daemon *daemon)
{
    struct store_member *member = &daemon->member;
    *member = (struct store_member){.pid = (uint64_t)getpid(), .epoch = daemon->topology->epoch};
    (void)snprintf(member->kind, sizeof(member->kind), "migrator");
    (void)snprintf(member->id, sizeof(member->id), "%s", daemon->settings->id);
    (void)snprintf(member->admin, sizeof(member->admin), "%s", admin_address(daemon->admin));
    random_hex(member->incarnation, sizeof(member->incarnation) - 1);
}

static void begin(struct daemon *daemon)
{
    int watch_fd = store_watch_fd(daemon->store);
    io_start(&daemon->signal_io, daemon->loop, daemon->signal_fd, on_signal, never, daemon);
    if (watch_fd >= 0) {
        io_start(&daemon->watch_io, daemon->loop, watch_fd, on_watch, never, daemon);
    }
    timer_init(&daemon->tick, daemon->loop, on_tick, daemon);
    timer_init(&daemon->lease, daemon->loop, on_lease, daemon);
    log_info("started store=%s admin=%s id=%s epoch=%llu", daemon->settings->store_url,
             admin_address(daemon->admin), daemon->settings->id,
             (unsigned long long)daemon->topology->epoch);
    on_lease(daemon);
    on_tick(daemon);
}

static void end(struct daemon *daemon)
{
    struct error err;
    uint64_t deadline_us = clock_now_us() + STOP_TIMEOUT_US;
    atomic_store(&daemon->is_stopping, true);
    timer_stop(&daemon->tick);
    timer_stop(&daemon->lease);
    io_stop(&daemon->signal_io);
    if (store_watch_fd(daemon->store) >= 0) {
        io_stop(&daemon->watch_io);
    }
    bool ended = roster_end(&daemon->roster, deadline_us);
    ended = debts_end(daemon->debts, deadline_us) && ended;
    if (!store_unregister(daemon->store, &daemon->member, &err)) {
        log_warn("lease cannot be given back reason=\"%s\"", err.text);
    }
    if (!ended) {
        /* A thread waits for a shard that does not answer. Everything it does may be cut off at any
         * line, so this is no worse than kill -9, from which it also goes on. */
        log_warn("stopped while a shard did not answer");
        _exit(0);
    }
    log_info("stopped");
}

static void close_all(struct daemon *daemon)
{
    admin_close(daemon->admin);
    if (daemon->loop != NULL) {
        loop_free(daemon->loop);
    }
    if (daemon->signal_fd >= 0) {
        (void)close(daemon->signal_fd);
    }
    topology_free(daemon->topology);
    if (daemon->store != NULL) {
        store_close(daemon->store);
    }
}

bool daemon_run(const struct migrator_settings *settings, struct error *err)
{
    struct daemon daemon = {.settings = settings, .signal_fd = -1};
    roster_init(&daemon.roster);
    bool ok = open_all(&daemon, err);
    if (ok) {
        fill_member(&daemon);
        begin(&daemon);
        loop_run(daemon.loop);
        end(&daemon);
    }
    close_all(&daemon);
    return ok;
}
