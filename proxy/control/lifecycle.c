/* Signals, and what the service manager is told: SIGTERM and SIGINT drain, a second one exits at
 * once, SIGHUP reads the configuration again. */
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/service.h"
#include "lib/base/signals.h"
#include "proxy/control/control_internal.h"

static void stop(struct control *control, unsigned signal)
{
    if (control->is_draining) {
        log_warn("stopping at once signal=%u", signal);
        _exit(EXIT_FAILURE);
    }
    log_info("stopping signal=%u", signal);
    service_stopping();
    control->is_draining = true;
    control->drain_until_us =
        loop_update_now(control->loop) + control->config->drain_timeout_ms * 1000;
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_drain(control->workers[i]);
    }
}

static void reload_users(struct control *control)
{
    struct error err;
    if (!users_load(control, &err)) {
        log_error("users left as they were why=\"%s\"", err.text);
    }
}

static void reload(struct control *control)
{
    struct error err;
    service_reloading();
    if (proxy_config_reload(control->config, &err)) {
        log_set_level(log_level_named(control->config->log_level));
        control_tune(control);
        reload_users(control);
        log_info("configuration reloaded");
    } else {
        log_error("configuration left as it was why=\"%s\"", err.text);
    }
    certificates_reload(control);
    admin_reload(control);
    service_ready();
}

static void on_signal(void *context)
{
    struct control *control = context;
    struct signalfd_siginfo info;
    while (read(control->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP) {
            stop(control, info.ssi_signo);
        } else if (!control->is_draining) {
            reload(control);
        }
    }
}

static void never_writable(void *context)
{
    (void)context;
}

void lifecycle_open(struct control *control)
{
    control->signal_fd = signals_open();
    io_start(&control->signal_io, control->loop, control->signal_fd, on_signal, never_writable,
             control);
    control->alive_period_us = service_alive_period_us();
}

void lifecycle_close(struct control *control)
{
    io_stop(&control->signal_io);
    (void)close(control->signal_fd);
}

/* Every worker has turned since we said so last; and the control thread turns now. */
static bool are_all_alive(const struct control *control)
{
    for (unsigned i = 0; i < control->nworkers; i++) {
        if (counter_read(&control->worker_counters[i].ticks) == control->seen_ticks[i]) {
            return false;
        }
    }
    return true;
}

static void say_alive(struct control *control, uint64_t now)
{
    if (control->alive_period_us == 0 || now < control->said_alive_us + control->alive_period_us ||
        !are_all_alive(control)) {
        return;
    }
    service_alive();
    control->said_alive_us = now;
    for (unsigned i = 0; i < control->nworkers; i++) {
        control->seen_ticks[i] = counter_read(&control->worker_counters[i].ticks);
    }
}

void lifecycle_tick(struct control *control, uint64_t now)
{
    say_alive(control, now);
    if (control->is_draining &&
        (control->nidle == control->nworkers || now > control->drain_until_us)) {
        loop_stop(control->loop);
    }
}
