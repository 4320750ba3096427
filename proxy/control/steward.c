/* Used by two threads: posters take the lock for the queue only, never while a job runs. */
#include "proxy/control/steward.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/cluster/change.h"
#include "lib/cluster/takeover.h"
#include "lib/topology/migration_state.h"

#define NAMESAKE_RENEWALS 7 /* more than a lease: our own past, if we were killed, is forgotten */

enum job_kind {
    JOB_RENEW,
    JOB_TAKE_OVER,
    JOB_UNDO_HOLD,
    JOB_LOOK_UP
};

struct job {
    struct job *next;
    enum job_kind kind;
    char shard[SHARD_NAME_MAX + 1];
    uint64_t migration, entry_epoch;
    char host[SHARD_HOST_MAX + 1];
    uint16_t port;
    struct mailbox *mailbox;
    void (*deliver)(struct mail *mail, void *receiver);
};

struct steward {
    pthread_t thread;
    struct store *store; /* the steward's thread only */
    unsigned renewals;   /* the steward's thread only */
    atomic_bool store_answers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last;  /* under lock */
    struct store_member member; /* under lock */
    bool is_registered;         /* under lock */
    bool is_stopping;           /* under lock */
};

/* --- the jobs -------------------------------------------------------------------------------- */

static void renew(struct steward *steward)
{
    struct error err;
    (void)pthread_mutex_lock(&steward->lock);
    struct store_member member = steward->member;
    (void)pthread_mutex_unlock(&steward->lock);
    bool ok = store_renew(steward->store, &member, &err);
    if (!ok && atomic_load(&steward->store_answers)) {
        log_warn("store does not answer why=\"%s\"", err.text);
    }
    atomic_store(&steward->store_answers, ok);
    if (++steward->renewals == NAMESAKE_RENEWALS) {
        store_warn_of_namesake(steward->store, &member);
    }
}

static void take_over(struct steward *steward, const char *shard)
{
    struct error err;
    switch (cluster_takeover(steward->store, shard, false, &err)) {
    case TAKEOVER_DONE:
        log_info("shard taken over shard=%s", shard);
        break;
    case TAKEOVER_NOT_ALLOWED:
    case TAKEOVER_FAILED:
        log_warn("shard is not served shard=%s why=\"%s\"", shard, err.text);
        break;
    }
}

static enum change_verdict undo_hold_in(struct topology *next, void *context, struct error *err)
{
    const struct job *job = context;
    struct migration *migration = topology_find_migration(next, job->migration);
    (void)err;
    /* Model: CASPHASE. */
    if (migration == NULL || migration->entry_epoch != job->entry_epoch ||
        !phase_is_hold(migration->phase)) {
        return CHANGE_NOTHING; /* switched, or undone by somebody else: the CAS has decided */
    }
    migration_enter(next, migration,
                    migration->phase == PHASE_HOLD ? PHASE_DUAL_WRITE : PHASE_SWITCHED);
    return CHANGE_WRITE;
}

static void undo_hold(struct steward *steward, struct job *job)
{
    struct error err;
    uint64_t epoch;
    if (cluster_change(steward->store, undo_hold_in, job, &epoch, &err)) {
        log_warn("hold lasted too long migration=m%llu epoch=%llu",
                 (unsigned long long)job->migration, (unsigned long long)epoch);
    } else {
        log_error("hold cannot be undone migration=m%llu why=\"%s\"",
                  (unsigned long long)job->migration, err.text);
    }
}

static void look_up(const struct job *job)
{
    struct error err;
    struct lookup *lookup = mem_zalloc(sizeof(*lookup));
    if (!endpoint_resolve(&lookup->endpoint, job->host, job->port, &err)) {
        log_debug("shard has no address host=%s why=\"%s\"", job->host, err.text);
        mem_free(lookup);
        return;
    }
    memcpy(lookup->host, job->host, sizeof(lookup->host));
    lookup->port = job->port;
    lookup->mail.deliver = job->deliver;
    mailbox_post(job->mailbox, &lookup->mail);
}

static void do_job(struct steward *steward, struct job *job)
{
    switch (job->kind) {
    case JOB_RENEW:
        renew(steward);
        break;
    case JOB_TAKE_OVER:
        take_over(steward, job->shard);
        break;
    case JOB_UNDO_HOLD:
        undo_hold(steward, job);
        break;
    case JOB_LOOK_UP:
        look_up(job);
        break;
    }
}

/* --- the queue ------------------------------------------------------------------------------- */

static bool is_same(const struct job *a, const struct job *b)
{
    return a->kind == b->kind && strcmp(a->shard, b->shard) == 0 && a->migration == b->migration &&
           a->entry_epoch == b->entry_epoch && strcmp(a->host, b->host) == 0 &&
           a->port == b->port && a->deliver == b->deliver;
}

static void post(struct steward *steward, const struct job *job)
{
    (void)pthread_mutex_lock(&steward->lock);
    const struct job *waiting = steward->first;
    while (waiting != NULL && !is_same(waiting, job)) {
        waiting = waiting->next;
    }
    if (waiting == NULL) {
        struct job *copy = mem_dup(job, sizeof(*job));
        copy->next = NULL;
        *steward->last = copy;
        steward->last = &copy->next;
        (void)pthread_cond_signal(&steward->wake);
    }
    (void)pthread_mutex_unlock(&steward->lock);
}

/* Null: stop. */
static struct job *next_job(struct steward *steward)
{
    (void)pthread_mutex_lock(&steward->lock);
    while (steward->first == NULL && !steward->is_stopping) {
        (void)pthread_cond_wait(&steward->wake, &steward->lock);
    }
    struct job *job = steward->is_stopping ? NULL : steward->first;
    if (job != NULL) {
        steward->first = job->next;
        if (steward->first == NULL) {
            steward->last = &steward->first;
        }
    }
    (void)pthread_mutex_unlock(&steward->lock);
    return job;
}

static void *run(void *context)
{
    struct steward *steward = context;
    struct job *job;
    while ((job = next_job(steward)) != NULL) {
        do_job(steward, job);
        mem_free(job);
    }
    return NULL;
}

void steward_renew(struct steward *steward, const struct store_member *member)
{
    struct job job = {.kind = JOB_RENEW};
    (void)pthread_mutex_lock(&steward->lock);
    steward->member = *member;
    steward->is_registered = true;
    (void)pthread_mutex_unlock(&steward->lock);
    post(steward, &job);
}

void steward_take_over(struct steward *steward, const char *shard)
{
    struct job job = {.kind = JOB_TAKE_OVER};
    (void)snprintf(job.shard, sizeof(job.shard), "%s", shard);
    post(steward, &job);
}

void steward_undo_hold(struct steward *steward, uint64_t migration, uint64_t entry_epoch)
{
    struct job job = {.kind = JOB_UNDO_HOLD, .migration = migration, .entry_epoch = entry_epoch};
    post(steward, &job);
}

void steward_look_up(struct steward *steward, const char *host, uint16_t port,
                     struct mailbox *mailbox, void (*deliver)(struct mail *mail, void *receiver))
{
    struct job job = {.kind = JOB_LOOK_UP, .port = port, .mailbox = mailbox, .deliver = deliver};
    (void)snprintf(job.host, sizeof(job.host), "%s", host);
    post(steward, &job);
}

bool steward_store_answers(const struct steward *steward)
{
    return atomic_load(&steward->store_answers);
}

/* --- life ------------------------------------------------------------------------------------ */

struct steward *steward_start(const char *store_url, struct error *err)
{
    struct store *store = store_open(store_url, err);
    if (store == NULL) {
        return NULL;
    }
    struct steward *steward = mem_zalloc(sizeof(*steward));
    steward->store = store;
    steward->last = &steward->first;
    atomic_store(&steward->store_answers, true);
    (void)pthread_mutex_init(&steward->lock, NULL);
    (void)pthread_cond_init(&steward->wake, NULL);
    int failed = pthread_create(&steward->thread, NULL, run, steward);
    ASSERT(failed == 0);
    return steward;
}

void steward_stop(struct steward *steward)
{
    struct error err;
    (void)pthread_mutex_lock(&steward->lock);
    steward->is_stopping = true;
    (void)pthread_cond_signal(&steward->wake);
    (void)pthread_mutex_unlock(&steward->lock);
    (void)pthread_join(steward->thread, NULL);
    if (steward->is_registered && !store_unregister(steward->store, &steward->member, &err)) {
        log_warn("cannot unregister why=\"%s\"", err.text);
    }
    while (steward->first != NULL) {
        struct job *job = steward->first;
        steward->first = job->next;
        mem_free(job);
    }
    store_close(steward->store);
    (void)pthread_cond_destroy(&steward->wake);
    (void)pthread_mutex_destroy(&steward->lock);
    mem_free(steward);
}
