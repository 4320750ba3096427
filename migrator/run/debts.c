#include "migrator/run/debts.h"

#include <pthread.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/cluster/change.h"
#include "lib/cluster/takeover.h"
#include "lib/topology/migration_progress.h"
#include "migrator/copy/purger.h"
#include "migrator/engine/journal.h"
#include "migrator/run/formers.h"

#define ASK_PERIOD_MS UINT64_C(1000)
#define PIECE_MS      UINT64_C(50)

struct debts {
    pthread_t thread;
    const struct lease *lease;
    const struct migrator_settings *settings;
    const atomic_bool *is_stopping;
    atomic_bool is_done;
    struct store *store;
    unsigned former_turn;
};

/* One debt, as a document of the topology has it. */
struct payment {
    struct debts *debts;
    const struct topology *topology;
    const struct purge_debt *debt;
    const struct topology_shard *shard;
    struct shard_link *link;
    struct shard_link **keepers; /* [nshards]: to those that own slots of the debt, else null */
};

static bool is_running(const struct debts *debts)
{
    return !atomic_load(debts->is_stopping) && lease_leads(debts->lease);
}

/* --- those who own the slots now -------------------------------------------------------------- */

/* A shard that awaits acceptance may have lost its keys, and what the debtor holds may be all that
 * is left of them. */
static bool check_keeper(const struct payment *payment, unsigned shard, struct error *err)
{
    const struct topology_shard *place = &payment->topology->shards[shard];
    struct fence_state fence;
    if (!fence_read(payment->keepers[shard], &fence, err)) {
        return error_prefix(err, "shard \"%s\"", place->name);
    }
    return (fence.exists && shard_identity_equal(&fence.identity, &place->identity) &&
            shard_identity_equal(shard_link_identity(payment->keepers[shard]), &place->identity)) ||
           error_set(err,
                     "shard \"%s\" owns slots of it, and its fence is absent or names another "
                     "process",
                     place->name);
}

static bool check_keepers(const struct payment *payment, struct error *err)
{
    for (unsigned i = 0; i < payment->topology->nshards; i++) {
        if (payment->keepers[i] != NULL && !check_keeper(payment, i, err)) {
            return false;
        }
    }
    return true;
}

static bool open_keepers(struct payment *payment, struct error *err)
{
    const struct topology *topology = payment->topology;
    const struct slot_set *slots = &payment->debt->slots;
    for (unsigned slot = slot_set_next(slots, 0); slot < topology->nslots;
         slot = slot_set_next(slots, slot + 1)) {
        unsigned owner = topology->owner[slot];
        const struct topology_shard *place = &topology->shards[owner];
        if (payment->keepers[owner] != NULL) {
            continue;
        }
        payment->keepers[owner] = shard_open(
            place, "migrator", option_number(&payment->debts->settings->shard_timeout_ms), err);
        if (payment->keepers[owner] == NULL) {
            return error_prefix(err, "shard \"%s\" owns slots of it", place->name);
        }
    }
    return check_keepers(payment, err);
}

/* Asked before each page of keys. */
static bool may_go_on(void *context)
{
    const struct payment *payment = context;
    struct error err;
    return is_running(payment->debts) && check_keepers(payment, &err);
}

/* What a debt names belongs to nobody on that shard, or nothing is removed: the document forbids
 * otherwise (migration_open refuses such slots), this only makes sure. */
static bool is_nobodys(const struct payment *payment)
{
    const struct topology *topology = payment->topology;
    const struct purge_debt *debt = payment->debt;
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        if (slot_set_has(&debt->slots, slot) && topology->owner[slot] == debt->shard) {
            return false;
        }
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *open = &topology->migrations[i];
        if ((open->source == debt->shard || open->target == debt->shard) &&
            slot_set_intersects(&open->slots, &debt->slots)) {
            return false;
        }
    }
    return true;
}

static bool guard(struct payment *payment, enum guard_state state, enum fence_outcome *outcome,
                  struct error *err)
{
    struct guard_claim claim = {.identity = &payment->shard->identity,
                                .migration = payment->debt->migration,
                                .generation = payment->debt->generation};
    *outcome = fence_guard(payment->link, &claim, state, NULL, -1, err);
    return *outcome == FENCE_OK;
}

static bool drop_metadata(struct payment *payment, struct error *err)
{
    struct guard_claim claim = {.identity = &payment->shard->identity,
                                .migration = payment->debt->migration,
                                .generation = payment->debt->generation};
    char cursor[24] = "0";
    do {
        struct shard_reply *page =
            shard_commandf(payment->link, err, "SCAN %s MATCH __sluice:m%llu:* COUNT 1000", cursor,
                           (unsigned long long)payment->debt->migration);
        if (page == NULL) {
            return false;
        }
        struct slice next = shard_reply_text(shard_reply_at(page, 0));
        (void)snprintf(cursor, sizeof(cursor), "%.*s", (int)next.len, next.data);
        bool ok = true;
        const struct shard_reply *names = shard_reply_at(page, 1);
        for (size_t i = 0; ok && i < shard_reply_count(names); i++) {
            struct slice name = shard_reply_text(shard_reply_at(names, i));
            ok = fence_drop(payment->link, &claim, &name, 1, err) == FENCE_OK;
        }
        shard_reply_free(page);
        if (!ok) {
            return false;
        }
    } while (strcmp(cursor, "0") != 0);
    return true;
}

static bool purge(struct payment *payment, uint64_t *purged, struct error *err)
{
    const struct copy_hooks hooks = {.may_go_on = may_go_on, .context = payment};
    struct copy_pair pair = {.copy = {payment->link, &payment->shard->identity},
                             .migration = payment->debt->migration,
                             .generation = payment->debt->generation,
                             .slots = &payment->debt->slots,
                             .hooks = &hooks};
    enum copy_status status = purge_run(&pair, purged);
    if (status == COPY_FAILED) {
        return error_set(err, "%s", pair.failure.why.text);
    }
    return status == COPY_OK || error_set(err, "interrupted");
}

struct paid {
    uint64_t migration;
    uint64_t generation;
};

static enum change_verdict remove_debt(struct topology *next, void *context, struct error *err)
{
    const struct paid *paid = context;
    (void)err;
    for (unsigned i = 0; i < next->ndebts; i++) {
        if (next->debts[i].migration == paid->migration &&
            next->debts[i].generation == paid->generation) {
            migration_debt_paid(next, i);
            return CHANGE_WRITE;
        }
    }
    return CHANGE_NOTHING;
}

static bool clean_up(struct payment *payment, struct error *err)
{
    uint64_t purged = 0;
    enum fence_outcome outcome;
    /* STALE: the guard is closed already; a payer died before it told the topology. */
    if (guard(payment, GUARD_PURGE, &outcome, err)) {
        if (!purge(payment, &purged, err)) {
            return false;
        }
    } else if (outcome != FENCE_STALE) {
        return false;
    }
    if (!guard(payment, GUARD_CLOSED, &outcome, err) || !drop_metadata(payment, err)) {
        return false;
    }
    struct journal_place place = {payment->debt->migration, payment->topology->epoch,
                                  PHASE_FINALIZING};
    return journal_append(payment->debts->store, &place, err, "debt-paid", "{s:s, s:I}", "shard",
                          payment->shard->name, "keys", (journal_int)purged);
}

static bool pay(struct payment *payment, struct error *err)
{
    const struct topology_shard *shard = payment->shard;
    struct paid paid = {payment->debt->migration, payment->debt->generation};
    if (!is_nobodys(payment)) {
        return error_set(err, "slots of the debt are in use on shard \"%s\"", shard->name);
    }
    payment->link = shard_open(shard, "migrator",
                               option_number(&payment->debts->settings->shard_timeout_ms), err);
    if (payment->link == NULL) {
        return false;
    }
    if (!shard_identity_equal(shard_link_identity(payment->link), &shard->identity)) {
        /* Paid at the next look, by the topology that names the process. */
        return cluster_takeover(payment->debts->store, shard->name, false, err) == TAKEOVER_DONE;
    }
    return shard_load_scripts(payment->link, err) && open_keepers(payment, err) &&
           clean_up(payment, err) &&
           cluster_change(payment->debts->store, remove_debt, &paid, NULL, err);
}

static void pay_or_leave(struct payment *payment)
{
    struct error err;
    unsigned nshards = payment->topology->nshards;
    payment->keepers = mem_zalloc(nshards * sizeof(struct shard_link *));
    if (!pay(payment, &err)) {
        log_debug("debt cannot be paid yet migration=m%llu shard=%s why=\"%s\"",
                  (unsigned long long)payment->debt->migration, payment->shard->name, err.text);
    }
    for (unsigned i = 0; i < nshards; i++) {
        shard_close(payment->keepers[i]);
    }
    mem_free(payment->keepers);
    shard_close(payment->link);
}

static void look(struct debts *debts)
{
    struct error err;
    struct topology *topology = store_read(debts->store, NULL, &err);
    if (topology != NULL) {
        formers_try_next(debts->store, topology, &debts->former_turn);
    }
    for (unsigned i = 0; topology != NULL && i < topology->ndebts && is_running(debts); i++) {
        struct payment payment = {.debts = debts,
                                  .topology = topology,
                                  .debt = &topology->debts[i],
                                  .shard = &topology->shards[topology->debts[i].shard]};
        pay_or_leave(&payment);
    }
    topology_free(topology);
}

static void *run(void *context)
{
    struct debts *debts = context;
    while (!atomic_load(debts->is_stopping)) {
        if (lease_leads(debts->lease)) {
            look(debts);
        }
        for (uint64_t ms = 0; ms < ASK_PERIOD_MS && !atomic_load(debts->is_stopping);
             ms += PIECE_MS) {
            clock_sleep_ms(PIECE_MS);
        }
    }
    atomic_store(&debts->is_done, true);
    return NULL;
}

struct debts *debts_start(const struct migrator_settings *settings, const struct lease *lease,
                          const atomic_bool *is_stopping, struct error *err)
{
    struct store *store = store_open(settings->store_url, err);
    if (store == NULL) {
        return NULL;
    }
    struct debts *debts = mem_zalloc(sizeof(*debts));
    debts->settings = settings;
    debts->lease = lease;
    debts->is_stopping = is_stopping;
    debts->store = store;
    int failed = pthread_create(&debts->thread, NULL, run, debts);
    if (failed != 0) {
        (void)error_set(err, "cannot start a thread for purge debts: %s", strerror(failed));
        store_close(store);
        mem_free(debts);
        return NULL;
    }
    return debts;
}

bool debts_end(struct debts *debts, uint64_t deadline_us)
{
    while (!atomic_load(&debts->is_done)) {
        if (clock_now_us() > deadline_us) {
            return false;
        }
        clock_sleep_ms(2);
    }
    (void)pthread_join(debts->thread, NULL);
    store_close(debts->store);
    mem_free(debts);
    return true;
}
