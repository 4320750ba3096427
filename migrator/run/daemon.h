/* The main thread: watches the store, starts a thread for every open migration, renews the lease,
 * and serves the admin endpoint. */
#ifndef MIGRATOR_RUN_DAEMON_H
#define MIGRATOR_RUN_DAEMON_H

#include "lib/base/error.h"
#include "migrator/engine/settings.h"

/* On SIGHUP: reads the settings again. False: they are as they were. */
typedef bool reload_fn(struct migrator_settings *settings, struct error *err);

/* What daemon_run would refuse before it asks the store: the files that options name, and an admin
 * address that strangers can reach. */
bool daemon_check(struct migrator_settings *settings, struct error *err)
    __attribute__((warn_unused_result));
/* Runs until SIGTERM or SIGINT, which the caller has blocked in every thread. False: it could not
 * start. */
bool daemon_run(struct migrator_settings *settings, reload_fn *reload, struct error *err)
    __attribute__((warn_unused_result));

#endif
