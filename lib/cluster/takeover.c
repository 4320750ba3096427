#include "lib/cluster/takeover.h"

#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/cluster/change.h"
#include "lib/cluster/former.h"
#include "lib/cluster/probe.h"
#include "lib/cluster/sentinel.h"
#include "lib/shard/fence.h"
#include "lib/topology/migration_state.h"

/* Another one at work throws us off the shard too; then what it left is looked at afresh. Not after
 * a time-out: the shard is unwell. */
#define TAKEOVER_TRIES 10
#define AGAIN_MS       2000ull

/* What was seen, before anything is changed. */
struct takeover {
    struct store *store;
    const char *name;
    const struct topology_shard *to; /* the address that an operator gives; null: none */
    uint64_t not_after_us;           /* the writes held elsewhere go on then; 0: none are */
    bool operator_accepts;
    struct topology *topology;   /* that was read */
    struct topology_shard shard; /* as it has it */
    unsigned index;              /* in it */
    struct topology_shard
        place; /* the same, but where the process is: elsewhere after a failover */
    char cluster[33];
    uint64_t epoch;                   /* of that topology */
    struct shard_link *link;          /* to the process that is there */
    char ancestor[RUN_ID_LENGTH + 1]; /* its master_replid2: whose replica it was when promoted */
    struct fence_state fence;
    struct guard_record *guards; /* all that the fence has */
    unsigned nguards;
    bool is_raised;  /* the fence: to `epoch`, for whichever process it names */
    bool is_refused; /* the change will not name it: an operator has to look */
    bool has_read;   /* the change has seen a topology ... */
    bool was_named;  /* ... and the first it saw named the process */
    uint64_t oldest; /* generation that still counts on the shard; UINT64_MAX: none */
};

static bool find_in(const struct topology *topology, struct takeover *takeover, struct error *err)
{
    int index = topology_find_shard(topology, slice_of(takeover->name));
    if (index < 0) {
        return error_set(err, "there is no shard \"%s\" in the topology (epoch %llu)",
                         takeover->name, (unsigned long long)topology->epoch);
    }
    takeover->index = (unsigned)index;
    takeover->shard = topology->shards[index];
    takeover->epoch = topology->epoch;
    memcpy(takeover->cluster, topology->cluster, sizeof(takeover->cluster));
    return true;
}

static bool read_topology(struct takeover *takeover, struct error *err)
{
    topology_free(takeover->topology);
    takeover->topology = store_read(takeover->store, NULL, err);
    return takeover->topology != NULL && find_in(takeover->topology, takeover, err);
}

static bool fence_is_ours(const struct takeover *takeover)
{
    return takeover->fence.exists && strcmp(takeover->fence.cluster, takeover->cluster) == 0 &&
           strcmp(takeover->fence.shard, takeover->name) == 0;
}

static bool is_in_order(const struct takeover *takeover)
{
    const struct shard_identity *process = shard_link_identity(takeover->link);
    return fence_is_ours(takeover) && topology_same_place(&takeover->shard, &takeover->place) &&
           shard_identity_equal(&takeover->fence.identity, process) &&
           shard_identity_equal(&takeover->shard.identity, process);
}

/* A fence above the store's epoch: the store was restored from a backup, and every epoch it hands
 * out until it has caught up was handed out before. */
static bool check_epoch(const struct takeover *takeover, struct error *err)
{
    if (takeover->fence.epoch <= takeover->epoch || !fence_is_ours(takeover)) {
        return true;
    }
    return error_set(err,
                     "the fence at %s is at epoch %llu, the store only at %llu: the store was "
                     "restored from a backup; run sluicectl store repair",
                     shard_address(takeover->link), (unsigned long long)takeover->fence.epoch,
                     (unsigned long long)takeover->epoch);
}

static bool locate(struct takeover *takeover, struct error *err)
{
    takeover->place = takeover->shard;
    if (takeover->to != NULL) {
        topology_place_at(&takeover->place, takeover->to);
        return true;
    }
    /* Without their word a former primary could pass for the shard. */
    return sentinel_locate(&takeover->place, err);
}

/* The topology is read for the address, then the shard, then the topology again: somebody may have
 * taken the shard over, or raised its fence, between the first two. */
static bool look(struct takeover *takeover, struct error *err)
{
    if (!read_topology(takeover, err) || !locate(takeover, err)) {
        return false;
    }
    takeover->link = probe_open(&takeover->place, err);
    if (takeover->link == NULL ||
        !shard_info(takeover->link, "replication", "master_replid2", takeover->ancestor,
                    sizeof(takeover->ancestor), err) ||
        !fence_read(takeover->link, &takeover->fence, err) ||
        !fence_guards(takeover->link, &takeover->guards, &takeover->nguards, err)) {
        return false;
    }
    return is_in_order(takeover) || (read_topology(takeover, err) && check_epoch(takeover, err));
}

/* The verb by which an operator says that it may be. */
static const char *acceptance(const struct takeover *takeover)
{
    return takeover->to != NULL ? "failover --accept-loss" : "accept";
}

/* A server at another address is taken by itself only where its history is the beginning of that
 * of the process which `shard` names: it was its replica when it was promoted. A former primary
 * that Sentinels put back without a copy of what came after it, say, is none. */
static bool check_descent(const struct takeover *takeover, const struct topology_shard *shard,
                          struct error *err)
{
    if (topology_same_place(shard, &takeover->place) || takeover->operator_accepts ||
        shard_identity_equal(&shard->identity, shard_link_identity(takeover->link)) ||
        strcmp(shard->identity.replid, takeover->ancestor) == 0) {
        return true;
    }
    return error_set(err,
                     "shard %s: %s was no replica of the process that the topology names when it "
                     "was promoted, and may lack its writes: look at it, then run sluicectl shard "
                     "%s %s",
                     takeover->name, shard_address(takeover->link), acceptance(takeover),
                     takeover->name);
}

static bool has_guard_of_owner(const struct takeover *takeover, const struct migration *migration)
{
    for (unsigned i = 0; i < takeover->nguards; i++) {
        const struct guard_record *guard = &takeover->guards[i];
        if (guard->migration == migration->id) {
            return guard->generation > migration->owner_generation ||
                   (guard->generation == migration->owner_generation &&
                    guard->state >= GUARD_OWNER);
        }
    }
    return false;
}

/* An append-only file, a snapshot and a replica have the beginning of what the process did. The
 * guard was closed behind the last key that the shard took over: a process that lacks it lacks
 * keys that others had long since acknowledged and kept, and to make the copy equal to it would
 * destroy the last of them. Model: NOPOSSESSION. */
static bool check_possession(const struct takeover *takeover, const struct topology *topology,
                             unsigned shard, struct error *err)
{
    if (takeover->operator_accepts || takeover->shard.serve_empty) {
        return true;
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (migration->owner_generation > 0 && migration_authority(migration) == shard &&
            !has_guard_of_owner(takeover, migration)) {
            const char *copy = topology->shards[migration_copy(migration)].name;
            return error_set(err,
                             "shard %s at %s has lost keys that it took over in m%llu, which shard "
                             "%s still has: restore the file or replica that has them and restart "
                             "it, or run sluicectl shard %s %s and lose them on both",
                             takeover->name, shard_address(takeover->link),
                             (unsigned long long)migration->id, copy, acceptance(takeover),
                             takeover->name);
        }
    }
    return true;
}

static bool is_allowed(const struct takeover *takeover, struct error *err)
{
    const struct fence_state *fence = &takeover->fence;
    if (fence_is_ours(takeover)) {
        return check_descent(takeover, &takeover->shard, err);
    }
    if (fence->exists) {
        return error_set(err,
                         "shard %s came back empty or is another server: the fence at %s is of "
                         "shard \"%s\" of cluster %s; look at it, and correct the address",
                         takeover->name, shard_address(takeover->link), fence->shard,
                         fence->cluster);
    }
    if (takeover->operator_accepts || takeover->shard.serve_empty) {
        return true;
    }
    return error_set(err,
                     "shard %s came back empty or is another server: look at it, then run "
                     "sluicectl shard accept %s",
                     takeover->name, takeover->name);
}

/* The generations that count on the shard have all begun with or after the process was named. */
static uint64_t oldest_generation(const struct topology *topology, unsigned shard)
{
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        bool counts = (migration->source == shard || migration->target == shard) &&
                      migration->phase != PHASE_PLANNED;
        oldest = counts && migration->generation < oldest ? migration->generation : oldest;
    }
    for (unsigned i = 0; i < topology->ndebts; i++) {
        const struct purge_debt *debt = &topology->debts[i];
        bool counts = debt->shard == shard;
        oldest = counts && debt->generation < oldest ? debt->generation : oldest;
    }
    return oldest;
}

/* Whether the shard is still where it was looked for, or has come to where its process is. */
static bool check_place(const struct takeover *takeover, const struct topology_shard *shard,
                        struct error *err)
{
    bool is_known = topology_same_place(shard, &takeover->place) ||
                    (topology_same_place(shard, &takeover->shard) &&
                     strcmp(shard->sentinels, takeover->shard.sentinels) == 0);
    return is_known || error_set(err, "shard \"%s\" got another address meanwhile", takeover->name);
}

static bool replace(struct topology *next, unsigned index, const struct takeover *takeover,
                    struct error *err)
{
    struct topology_shard *shard = &next->shards[index];
    if (!topology_same_place(shard, &takeover->place)) {
        topology_remember_former(next, shard);
        topology_place_at(shard, &takeover->place);
    }
    if (takeover->to != NULL) {
        shard->sentinels[0] = '\0';
    }
    topology_replace_process(next, index, shard_link_identity(takeover->link));
    return topology_validate(next, err); /* it may be another shard's server */
}

/* Names the process, even if it is named already: what took the fence took the metadata, and a
 * guard made again late would pass an emptied copy off as verified. */
static enum change_verdict name_process(struct topology *next, void *context, struct error *err)
{
    struct takeover *takeover = context;
    const struct shard_identity *process = shard_link_identity(takeover->link);
    int index = topology_find_shard(next, slice_of(takeover->name));
    if (index < 0) {
        (void)error_set(err, "shard \"%s\" was removed meanwhile", takeover->name);
        return CHANGE_REFUSED;
    }
    if (takeover->not_after_us != 0 && clock_now_us() >= takeover->not_after_us) {
        (void)error_set(err, "it took so long that the primary's writes go on: run it again");
        return CHANGE_REFUSED;
    }
    const struct topology_shard *shard = &next->shards[index];
    if (!check_place(takeover, shard, err)) {
        return CHANGE_REFUSED;
    }
    bool is_named = topology_same_place(shard, &takeover->place) &&
                    shard_identity_equal(&shard->identity, process);
    if (!takeover->has_read) {
        takeover->has_read = true;
        takeover->was_named = is_named && topology_same_place(&takeover->shard, &takeover->place);
    }
    /* Another taker-over named it after we had found the loss: one new base is enough. */
    takeover->oldest = oldest_generation(next, (unsigned)index);
    if (is_named && !takeover->was_named) {
        return CHANGE_NOTHING;
    }
    /* The topology may have moved back and away again: the fence would let in who has not heard of
     * that. Model: STALERAISE. */
    if (takeover->is_raised && next->epoch != takeover->epoch + 1) {
        (void)error_set(err, "the topology was changed meanwhile");
        return CHANGE_REFUSED;
    }
    /* The first: it may be of another process than was looked at. */
    if (!check_descent(takeover, shard, err) ||
        !check_possession(takeover, next, (unsigned)index, err)) {
        takeover->is_refused = true;
        return CHANGE_REFUSED;
    }
    if (!replace(next, (unsigned)index, takeover, err)) {
        return CHANGE_REFUSED;
    }
    takeover->oldest = next->epoch;
    return CHANGE_WRITE;
}

/* The topology moved away from this process and back, and its fence names it still, or is about to:
 * a taker-over of before may come late to write it. Hello would let in whoever has not heard of
 * either, and once the topology names the process again nobody would see that anything is left to
 * do. So this comes before the naming; the epoch is in the store. Model: NORAISE, RAISEOWN. */
static bool close_to_older_epochs(struct takeover *takeover, struct error *err)
{
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    if (!fence_is_ours(takeover)) {
        return true;
    }
    enum fence_outcome outcome = fence_raise(takeover->link, &takeover->fence.identity,
                                             takeover->epoch, &peers, &count, err);
    mem_free(peers);
    takeover->is_raised = outcome == FENCE_OK && fence_kill_everybody(takeover->link, err);
    return takeover->is_raised;
}

/* No fence was there. Whoever else saw that may be slower than we, and come back with an old epoch
 * when our fence has been lost in its turn. So each who is to write the first one ends all other
 * connections before it looks for the last time: if somebody has written one since, and it is gone
 * again, then our own connection is gone, too. */
static bool look_alone(struct takeover *takeover, struct error *err)
{
    if (!fence_kill_everybody(takeover->link, err) ||
        !fence_read(takeover->link, &takeover->fence, err)) {
        return false;
    }
    return !takeover->fence.exists || error_set(err, "somebody else has just written the fence");
}

/* After a failover the former primary may live: cut off from its Sentinels only, or about to be
 * told. It is closed to whoever has not heard, before the new one is opened: else a stale proxy
 * would go on writing there what nobody will read. Where it cannot be reached, the topology
 * remembers it, and nothing is lost by that which Redis would have kept. */
static bool close_former(const struct takeover *takeover)
{
    struct error err;
    return !topology_same_place(&takeover->shard, &takeover->place) &&
           takeover->shard.identity.run_id[0] != '\0' &&
           former_close(takeover->store, &takeover->shard, &err);
}

/* Else the migrator does. */
static void forget_former(const struct takeover *takeover)
{
    struct error err;
    if (!former_forget(takeover->store, &takeover->shard, &err)) {
        log_debug("former primary stays in the topology shard=%s why=\"%s\"", takeover->name,
                  err.text);
    }
}

static bool fence_process(struct takeover *takeover, uint64_t epoch, struct error *err)
{
    enum fence_write_mode mode =
        fence_is_ours(takeover) ? FENCE_WRITE_TAKEOVER : FENCE_WRITE_ACCEPT;
    bool is_alone = fence_kill_everybody(takeover->link, err);
    if (FAIL_POINT("takeover.killed")) {
        return error_set(err, "fail point takeover.killed");
    }
    return is_alone && fence_write(takeover->link, mode, takeover->cluster, takeover->name, epoch,
                                   err) == FENCE_OK;
}

/* Looked at before anything is done to the shard: an operator has to bring back what it lost, and
 * is not thrown off it. Our own programs are: what was said hello to before REPLICAOF there and
 * back is still connected, and would go on reading and writing there. Who comes anew is asked who
 * the server is. */
static bool has_what_it_took(const struct takeover *takeover, enum takeover_result *result,
                             struct error *err)
{
    struct error why;
    if (!fence_is_ours(takeover) ||
        check_possession(takeover, takeover->topology, takeover->index, err)) {
        return true;
    }
    bool is_cut_off = fence_kill_programs(takeover->link, &why);
    *result = is_cut_off ? TAKEOVER_NOT_ALLOWED : TAKEOVER_FAILED;
    return false;
}

static enum takeover_result take(struct takeover *takeover, struct error *err)
{
    uint64_t epoch;
    enum takeover_result result;
    if (!look(takeover, err)) {
        return TAKEOVER_FAILED;
    }
    if (is_in_order(takeover)) {
        return TAKEOVER_DONE;
    }
    if (!is_allowed(takeover, err)) {
        return TAKEOVER_NOT_ALLOWED;
    }
    if (!has_what_it_took(takeover, &result, err)) {
        return result;
    }
    if (!takeover->fence.exists && !look_alone(takeover, err)) {
        return TAKEOVER_FAILED;
    }
    if (!close_to_older_epochs(takeover, err)) {
        return TAKEOVER_FAILED;
    }
    if (FAIL_POINT("takeover.raised")) {
        (void)error_set(err, "fail point takeover.raised");
        return TAKEOVER_FAILED;
    }
    if (!cluster_change(takeover->store, name_process, takeover, &epoch, err)) {
        return takeover->is_refused ? TAKEOVER_NOT_ALLOWED : TAKEOVER_FAILED;
    }
    if (FAIL_POINT("takeover.named")) {
        (void)error_set(err, "fail point takeover.named");
        return TAKEOVER_FAILED;
    }
    /* Where another taker-over named it, others may have changed the topology since. */
    epoch = takeover->oldest < epoch ? takeover->oldest : epoch;
    bool is_closed = close_former(takeover);
    if (!fence_process(takeover, epoch, err)) {
        return TAKEOVER_FAILED;
    }
    if (is_closed) {
        forget_former(takeover);
    }
    log_warn("shard_taken_over shard=%s address=%s epoch=%llu run_id=%s", takeover->name,
             shard_address(takeover->link), (unsigned long long)epoch,
             shard_link_identity(takeover->link)->run_id);
    return TAKEOVER_DONE;
}

static enum takeover_result take_repeatedly(const struct takeover *request, struct error *err)
{
    enum takeover_result result = TAKEOVER_FAILED;
    uint64_t deadline_us = clock_now_us() + AGAIN_MS * 1000;
    for (unsigned i = 0; i < TAKEOVER_TRIES; i++) {
        struct takeover takeover = *request;
        result = take(&takeover, err);
        shard_close(takeover.link);
        topology_free(takeover.topology);
        mem_free(takeover.guards);
        if (result != TAKEOVER_FAILED || clock_now_us() > deadline_us) {
            break;
        }
        clock_sleep_ms(1 + random_system() % 10); /* so that two do not kill each other in step */
    }
    if (result == TAKEOVER_FAILED) {
        (void)error_prefix(err, "cannot take over shard \"%s\"", request->name);
    }
    return result;
}

enum takeover_result cluster_takeover(struct store *store, const char *shard_name,
                                      bool operator_accepts, struct error *err)
{
    struct takeover request = {
        .store = store, .name = shard_name, .operator_accepts = operator_accepts};
    return take_repeatedly(&request, err);
}

enum takeover_result cluster_takeover_at(struct store *store, const char *shard_name,
                                         const struct topology_shard *to, uint64_t not_after_us,
                                         bool operator_accepts, struct error *err)
{
    struct takeover request = {.store = store,
                               .name = shard_name,
                               .to = to,
                               .not_after_us = not_after_us,
                               .operator_accepts = operator_accepts};
    return take_repeatedly(&request, err);
}
