/* Used by two threads: what they share is atomic. */
#include "migrator/run/lease.h"

#include <pthread.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"

#define RENEW_PERIOD_MS UINT64_C(1000)
#define LEAD_PERIOD_MS  UINT64_C(500)
#define PIECE_MS        UINT64_C(20)

_Static_assert(RENEW_PERIOD_MS * 5 <= STORE_LEASE_MS && LEAD_PERIOD_MS * 5 <= STORE_LEAD_MS,
               "a few renewals may fail");

struct lease {
    pthread_t thread;
    /* The thread's, once it runs. */
    struct store *store;
    struct store_member member;
    uint64_t started_us, renewed_us;
    bool has_failed;     /* said once */
    bool knows_namesake; /* asked once */
    /* Shared. */
    atomic_uint_least64_t epoch;
    atomic_uint_least64_t leads_until_us;   /* 0: another leads */
    atomic_uint_least64_t reserve_until_us; /* the store has said that another leads; 0: not */
    atomic_bool is_stopping;
    atomic_bool is_done;
    pthread_mutex_t failure_lock;
    struct error failure; /* the last one; under the lock */
};

static void note(struct lease *lease, const struct error *failure)
{
    if (failure != NULL && !lease->has_failed) {
        log_warn("lease cannot be renewed why=\"%s\"", failure->text);
    }
    if (failure != NULL) {
        (void)pthread_mutex_lock(&lease->failure_lock);
        lease->failure = *failure;
        (void)pthread_mutex_unlock(&lease->failure_lock);
    }
    lease->has_failed = failure != NULL;
}

static bool renew(struct lease *lease)
{
    struct error err;
    lease->member.epoch = atomic_load(&lease->epoch);
    lease->renewed_us = clock_now_us();
    bool ok = store_renew(lease->store, &lease->member, &err);
    note(lease, ok ? NULL : &err);
    return ok;
}

/* The time counts from before the question: the store's lease runs at least as long. */
static void lead(struct lease *lease)
{
    struct error err;
    bool leads = false;
    uint64_t asked_us = clock_now_us();
    bool led = lease_leads(lease);
    if (!store_lead(lease->store, &lease->member, &leads, &err)) {
        note(lease, &err);
        return; /* runs out by itself */
    }
    uint64_t until_us = asked_us + (uint64_t)STORE_LEAD_MS * 1000;
    atomic_store(&lease->reserve_until_us, leads ? (uint64_t)0 : until_us);
    atomic_store(&lease->leads_until_us, leads ? until_us : (uint64_t)0);
    if (leads != led) {
        log_info("%s id=%s", leads ? "leading" : "in reserve", lease->member.id);
    }
}

/* Once our own past, if we were killed, is forgotten. */
static void look_for_namesake(struct lease *lease)
{
    if (!lease->knows_namesake &&
        clock_now_us() > lease->started_us + (STORE_LEASE_MS + RENEW_PERIOD_MS) * 1000) {
        lease->knows_namesake = true;
        store_warn_of_namesake(lease->store, &lease->member);
    }
}

static void *run(void *context)
{
    struct lease *lease = context;
    while (!atomic_load(&lease->is_stopping)) {
        bool is_due = clock_now_us() - lease->renewed_us >= RENEW_PERIOD_MS * 1000;
        if (!is_due || renew(lease)) {
            lead(lease);
            look_for_namesake(lease);
        }
        for (uint64_t ms = 0; ms < LEAD_PERIOD_MS && !atomic_load(&lease->is_stopping);
             ms += PIECE_MS) {
            clock_sleep_ms(PIECE_MS);
        }
    }
    struct error err;
    if (!store_yield(lease->store, &lease->member, &err) ||
        !store_unregister(lease->store, &lease->member, &err)) {
        log_warn("lease cannot be given back why=\"%s\"", err.text);
    }
    atomic_store(&lease->is_done, true);
    return NULL;
}

struct lease *lease_start(const char *store_url, const struct store_member *member,
                          struct error *err)
{
    struct store *store = store_open(store_url, err);
    if (store == NULL || !store_may_write(store, err)) {
        store_close(store);
        return NULL;
    }
    struct lease *lease = mem_zalloc(sizeof(*lease));
    lease->store = store;
    lease->member = *member;
    lease->started_us = clock_now_us();
    (void)pthread_mutex_init(&lease->failure_lock, NULL);
    (void)error_set(&lease->failure, "the store does not answer");
    atomic_store(&lease->epoch, member->epoch);
    if (renew(lease)) {
        lead(lease);
    }
    int failed = pthread_create(&lease->thread, NULL, run, lease);
    ASSERT(failed == 0);
    return lease;
}

bool lease_leads(const struct lease *lease)
{
    /* A test of the tests, and of what leadership is not for: all believe that they lead. */
    return FAIL_POINT("rule.all-lead") || clock_now_us() < atomic_load(&lease->leads_until_us);
}

enum lease_state lease_state(struct lease *lease, struct error *why)
{
    if (lease_leads(lease)) {
        return LEASE_LEADS;
    }
    if (clock_now_us() < atomic_load(&lease->reserve_until_us)) {
        return LEASE_IN_RESERVE;
    }
    (void)pthread_mutex_lock(&lease->failure_lock);
    *why = lease->failure;
    (void)pthread_mutex_unlock(&lease->failure_lock);
    return LEASE_LOST;
}

void lease_set_epoch(struct lease *lease, uint64_t epoch)
{
    atomic_store(&lease->epoch, epoch);
}

bool lease_end(struct lease *lease, uint64_t deadline_us)
{
    atomic_store(&lease->is_stopping, true);
    while (!atomic_load(&lease->is_done)) {
        if (clock_now_us() > deadline_us) {
            return false;
        }
        clock_sleep_ms(2);
    }
    (void)pthread_join(lease->thread, NULL);
    store_close(lease->store);
    (void)pthread_mutex_destroy(&lease->failure_lock);
    mem_free(lease);
    return true;
}
