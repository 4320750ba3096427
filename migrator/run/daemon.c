#include "migrator/run/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "lib/base/service.h"
#include "lib/base/signals.h"
#include "lib/cluster/feed.h"
#include "lib/net/lookup.h"
#include "lib/shard/shard.h"
#include "migrator/run/admin.h"
#include "migrator/run/debts.h"
#include "migrator/run/lease.h"

/* Threads are looked after so often: a migration that is over is noticed without a watch. */
#define TICK_MS         UINT64_C(200)
#define STOP_TIMEOUT_US UINT64_C(900000)

struct daemon {
    struct migrator_settings *settings;
    reload_fn *reload;
    struct loop *loop;
    struct feed *feed;
    struct topology *topology; /* the newest that was read */
    struct lease *lease;
    struct roster roster;
    struct debts *debts;
    struct admin_access *admin_access;
    struct admin *admin;
    struct admin_view view;
    atomic_bool is_stopping; /* read by the debts' thread */
    struct tls_context *tls; /* for shards */
    int signal_fd;
    struct io signal_io;
    uint64_t alive_period_us; /* 0: no service manager watches */
    uint64_t said_alive_us;
    struct io feed_io;
    struct timer tick;
};

/* Whoever leads carries out what is open; whoever does not, stops what it is at. */
static void look(struct daemon *daemon)
{
    daemon->view.lease = lease_state(daemon->lease, &daemon->view.lease_failure);
    if (daemon->view.lease == LEASE_LEADS) {
        roster_update(&daemon->roster, daemon->topology, daemon->settings);
    } else {
        roster_stand_down(&daemon->roster);
    }
}

static void say_alive(struct daemon *daemon)
{
    uint64_t now_us = loop_update_now(daemon->loop);
    if (daemon->alive_period_us > 0 && now_us >= daemon->said_alive_us + daemon->alive_period_us) {
        service_alive();
        daemon->said_alive_us = now_us;
    }
}

static void on_tick(void *context)
{
    struct daemon *daemon = context;
    look(daemon);
    say_alive(daemon);
    timer_start(&daemon->tick, TICK_MS);
}

static void note_store(struct daemon *daemon, bool has_failed, const struct error *why)
{
    if (has_failed && daemon->view.is_ready) {
        log_warn("store cannot be read why=\"%s\"", why->text);
    }
    daemon->view.is_ready = !has_failed;
}

static void on_news(void *context)
{
    struct daemon *daemon = context;
    struct error why;
    bool has_failed = false;
    struct topology *topology = feed_take(daemon->feed, &has_failed, &why);
    note_store(daemon, has_failed, &why);
    if (topology != NULL) {
        topology_free(daemon->topology);
        daemon->topology = topology;
        daemon->view.topology = topology;
        lease_set_epoch(daemon->lease, topology->epoch);
    }
    look(daemon);
}

static void reload_certificates(struct daemon *daemon)
{
    struct error err;
    if (tls_context_reload(daemon->tls, &err)) {
        log_info("certificates read again");
    } else {
        log_error("certificates cannot be read again, the old ones stay why=\"%s\"", err.text);
    }
    if (!admin_access_reload(daemon->admin_access, &err)) {
        log_error("admin endpoint left as it was why=\"%s\"", err.text);
    }
}

static void reload_settings(struct daemon *daemon)
{
    struct error err;
    service_reloading();
    if (daemon->reload(daemon->settings, &err)) {
        log_info("configuration reloaded");
    } else {
        log_error("configuration left as it was why=\"%s\"", err.text);
    }
    reload_certificates(daemon);
    service_ready();
}

static void on_signal(void *context)
{
    struct daemon *daemon = context;
    struct signalfd_siginfo info;
    while (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload_settings(daemon);
            continue;
        }
        log_info("stopping signal=%u", info.ssi_signo);
        service_stopping();
        loop_stop(daemon->loop);
    }
}

static void never(void *context)
{
    (void)context;
}

static bool open_files(struct daemon *daemon, struct error *err)
{
    daemon->tls = shard_tls_new(&daemon->settings->shard_tls, err);
    shard_use_tls(daemon->tls);
    daemon->admin_access = daemon->tls != NULL ? admin_access_of(daemon->settings, err) : NULL;
    return daemon->admin_access != NULL;
}

/* Reads the topology once, so that the start fails when there is none. */
static bool open_feed(struct daemon *daemon, struct error *err)
{
    struct store *store = store_open(daemon->settings->store_url, err);
    daemon->topology = store != NULL ? store_read(store, NULL, err) : NULL;
    if (daemon->topology == NULL) {
        store_close(store);
        return false;
    }
    daemon->feed = feed_start(store, daemon->topology->epoch);
    daemon->view = (struct admin_view){.settings = daemon->settings,
                                       .roster = &daemon->roster,
                                       .topology = daemon->topology,
                                       .is_ready = true};
    return true;
}

static void fill_member(const struct daemon *daemon, struct store_member *member)
{
    *member = (struct store_member){.pid = (uint64_t)getpid(), .epoch = daemon->topology->epoch};
    (void)snprintf(member->kind, sizeof(member->kind), "migrator");
    (void)snprintf(member->id, sizeof(member->id), "%s", daemon->settings->id);
    (void)snprintf(member->admin, sizeof(member->admin), "%s%s",
                   admin_access_tls(daemon->admin_access) != NULL ? "tls:" : "",
                   admin_address(daemon->admin));
    random_hex(member->incarnation, sizeof(member->incarnation) - 1);
}

static bool open_all(struct daemon *daemon, struct error *err)
{
    const struct migrator_settings *settings = daemon->settings;
    struct store_member member;
    daemon->signal_fd = signals_open();
    if (!open_files(daemon, err) || !open_feed(daemon, err)) {
        return false;
    }
    daemon->loop = loop_new();
    daemon->admin = admin_open(daemon->loop, daemon->admin_access, &daemon->view, err);
    if (daemon->admin == NULL) {
        return false;
    }
    fill_member(daemon, &member);
    daemon->lease = lease_start(settings->store_url, &member, err);
    if (daemon->lease == NULL) {
        return false;
    }
    daemon->debts = debts_start(settings, daemon->lease, &daemon->is_stopping, err);
    return daemon->debts != NULL;
}

static void begin(struct daemon *daemon)
{
    io_start(&daemon->signal_io, daemon->loop, daemon->signal_fd, on_signal, never, daemon);
    io_start(&daemon->feed_io, daemon->loop, feed_fd(daemon->feed), on_news, never, daemon);
    timer_init(&daemon->tick, daemon->loop, on_tick, daemon);
    log_info("started store=%s admin=%s id=%s epoch=%llu", daemon->settings->store_url,
             admin_address(daemon->admin), daemon->settings->id,
             (unsigned long long)daemon->topology->epoch);
    daemon->alive_period_us = service_alive_period_us();
    service_ready();
    on_tick(daemon);
}

#ifdef __SANITIZE_THREAD__
/* Threads that end() leaves behind are no finding. */
const char *__tsan_default_options(void); // NOLINT(bugprone-reserved-identifier)

const char *__tsan_default_options(void) // NOLINT(bugprone-reserved-identifier)
{
    return "report_thread_leaks=0";
}
#endif

static void end(struct daemon *daemon)
{
    uint64_t deadline_us = clock_now_us() + STOP_TIMEOUT_US;
    atomic_store(&daemon->is_stopping, true);
    timer_stop(&daemon->tick);
    io_stop(&daemon->signal_io);
    io_stop(&daemon->feed_io);
    bool ended = roster_end(&daemon->roster, deadline_us);
    ended = debts_end(daemon->debts, deadline_us) && ended;
    /* Last: whoever leads next finds nobody at work. */
    ended = lease_end(daemon->lease, deadline_us) && ended;
    if (!ended) {
        /* A thread waits for a shard, or the store, that does not answer. Everything it does may be
         * cut off at any line, so this is no worse than kill -9, from which it also goes on. */
        log_warn("stopped while a shard or the store did not answer");
        _exit(0);
    }
    log_info("stopped");
}

static void close_files(struct daemon *daemon)
{
    admin_access_free(daemon->admin_access);
    shard_use_tls(NULL);
    tls_context_free(daemon->tls);
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
    if (daemon->feed != NULL) {
        feed_stop(daemon->feed);
    }
    topology_free(daemon->topology);
    close_files(daemon);
}

bool daemon_check(struct migrator_settings *settings, struct error *err)
{
    struct daemon daemon = {.settings = settings};
    bool is_good = open_files(&daemon, err);
    close_files(&daemon);
    return is_good;
}

bool daemon_run(struct migrator_settings *settings, reload_fn *reload, struct error *err)
{
    struct daemon daemon = {.settings = settings, .reload = reload, .signal_fd = -1};
    roster_init(&daemon.roster);
    bool ok = open_all(&daemon, err);
    if (ok) {
        begin(&daemon);
        lookup_set_patience(LOOKUP_SHORT_PATIENCE_MS);
        loop_run(daemon.loop);
        end(&daemon);
    }
    close_all(&daemon);
    return ok;
}
