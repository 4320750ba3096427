/* Who leads? Any number of migrators may run; the one that leads works, the others are in reserve.
 * A thread renews our place in the store and takes the lead when it is free.
 *
 * Two may believe that they lead: one that was stopped and goes on, or one that the store cannot be
 * reached from. Nothing safe hangs on it: fences, guards and compare-and-swaps decide what is done.
 * So this only saves work, and keeps two from getting in each other's way. */
#ifndef MIGRATOR_RUN_LEASE_H
#define MIGRATOR_RUN_LEASE_H

#include <stdatomic.h>

#include "lib/store/store.h"

struct lease;

enum lease_state {
    LEASE_LEADS,
    LEASE_IN_RESERVE, /* another leads */
    LEASE_LOST,       /* it cannot be renewed: perhaps nobody leads */
};

/* Registers before it returns, if the store answers. Null with a message, as when this user may not
 * write the store. */
struct lease *lease_start(const char *store_url, const struct store_member *member,
                          struct error *err) __attribute__((warn_unused_result));
/* False once the lead was not renewed for STORE_LEAD_MS, whatever the thread does. Any thread. */
bool lease_leads(const struct lease *lease);
/* As far as the store has told within STORE_LEAD_MS; `why` is set when the lease is lost. Any
 * thread. */
enum lease_state lease_state(struct lease *lease, struct error *why);
/* What the store is to know of us from the next renewal on. */
void lease_set_epoch(struct lease *lease, uint64_t epoch);
/* Gives the lead and the place back. Waits for the thread until `deadline_us` of clock_now_us;
 * false: the store hangs, and nothing was freed. */
bool lease_end(struct lease *lease, uint64_t deadline_us) __attribute__((warn_unused_result));

#endif
