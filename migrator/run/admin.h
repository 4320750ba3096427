/* The admin endpoint of the migrator: /metrics, /stats, /topology, /healthz, /readyz. But for the
 * last two it may ask for a token (lib/net/admin_access.h). Main thread only; reads the progress
 * counters that the migrations' threads write. */
#ifndef MIGRATOR_RUN_ADMIN_H
#define MIGRATOR_RUN_ADMIN_H

#include "lib/net/loop.h"
#include "migrator/run/lease.h"
#include "migrator/run/roster.h"

struct admin;

/* What it shows; kept by the daemon. */
struct admin_view {
    const struct migrator_settings *settings;
    const struct roster *roster;
    const struct topology *topology; /* the newest that was read; may be null */
    bool is_ready;                   /* the store answers */
    enum lease_state lease;
    struct error lease_failure; /* why the lease is lost, if it is */
};

/* Who may ask: what the settings say, refused where they let strangers in. Null with a message. */
struct admin_access *admin_access_of(const struct migrator_settings *settings, struct error *err)
    __attribute__((warn_unused_result));
/* Null with a message. `view` and `access` must outlive it. */
struct admin *admin_open(struct loop *loop, const struct admin_access *access,
                         const struct admin_view *view, struct error *err)
    __attribute__((warn_unused_result));
void admin_close(struct admin *admin); /* null is allowed */
const char *admin_address(const struct admin *admin);

#endif
