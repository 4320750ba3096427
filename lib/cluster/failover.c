#include "lib/cluster/failover.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/number.h"
#include "lib/cluster/probe.h"
#include "lib/cluster/sentinel.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"

/* The hold on the former primary ends by itself when we die. */
#define PAUSE_MS 30000ull
/* Before its end: what may pass between deciding and the change. A store without a leader may take
 * 5 s for each of two questions; if we are stopped for longer just then, has_all says it. */
#define LATE_MS           15000ull
#define CATCH_UP_MS       5000ull
#define POLL_MS           5
#define FORMER_TIMEOUT_MS 1000

struct failover {
    struct store *store;
    const char *name;
    const struct topology_shard *to;
    struct failover_view *view;
    struct topology_shard shard; /* as the topology has it */
    char cluster[33];
    struct shard_link *link;   /* to the server */
    struct shard_link *former; /* to the process that the topology names; null: is not there */
    uint64_t held_until_us;    /* writes on it; 0: they are not */
    bool is_promoted;
};

/* --- looking --------------------------------------------------------------------------------- */

static bool read_shard(struct failover *failover, struct error *err)
{
    struct topology *topology = store_read(failover->store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    int index = topology_find_shard(topology, slice_of(failover->name));
    if (index >= 0) {
        failover->shard = topology->shards[index];
        memcpy(failover->cluster, topology->cluster, sizeof(failover->cluster));
    }
    topology_free(topology);
    return index >= 0 || error_set(err, "there is no shard \"%s\"", failover->name);
}

/* They would name their own primary again, or make a replica of ours. */
static bool check_sentinels(struct failover *failover, struct error *err)
{
    struct topology_shard place = failover->shard;
    struct error silence;
    if (place.sentinels[0] == '\0') {
        return true;
    }
    failover->view->leaves_sentinels = !sentinel_locate(&place, &silence);
    return failover->view->leaves_sentinels ||
           error_set(err,
                     "shard \"%s\" has Sentinels, and they answer: let them do it (SENTINEL "
                     "FAILOVER), or give it a fixed address first (sluicectl shard set)",
                     failover->name);
}

static bool read_fence(struct failover *failover, struct error *err)
{
    struct fence_state fence;
    if (!fence_read(failover->link, &fence, err)) {
        return false;
    }
    failover->view->is_fenced = fence.exists;
    return !fence.exists ||
           (strcmp(fence.cluster, failover->cluster) == 0 &&
            strcmp(fence.shard, failover->name) == 0) ||
           error_set(err, "%s has the fence of shard \"%s\" of cluster %s: it is no replica of %s",
                     shard_address(failover->link), fence.shard, fence.cluster, failover->name);
}

/* A replica has the replication id of its primary, and when it is promoted remembers it. */
static bool read_history(struct failover *failover, struct error *err)
{
    char role[16], before[RUN_ID_LENGTH + 1];
    struct failover_view *view = failover->view;
    const char *wanted = failover->shard.identity.replid;
    const char *present = shard_link_identity(failover->link)->replid;
    if (!shard_info(failover->link, "replication", "role", role, sizeof(role), err) ||
        !shard_info(failover->link, "replication", "master_replid2", before, sizeof(before), err)) {
        return false;
    }
    if (shard_identity_equal(shard_link_identity(failover->link), &failover->shard.identity)) {
        return error_set(err, "%s is the shard's process, at another address: sluicectl shard set",
                         failover->view->to);
    }
    bool is_replica = strcmp(role, "master") != 0;
    view->role = is_replica ? FAILOVER_TO_REPLICA : FAILOVER_TO_PRIMARY;
    view->is_proven = view->is_fenced && strcmp(is_replica ? present : before, wanted) == 0;
    return true;
}

static void look_at_former(struct failover *failover)
{
    struct error err;
    struct shard_link *link = shard_open(&failover->shard, "control", FORMER_TIMEOUT_MS, &err);
    bool is_it =
        link != NULL && shard_identity_equal(shard_link_identity(link), &failover->shard.identity);
    failover->view->former = is_it          ? FORMER_ANSWERS
                             : link != NULL ? FORMER_IS_ANOTHER
                                            : FORMER_SILENT;
    if (is_it) {
        failover->former = link;
    } else {
        shard_close(link);
    }
}

static bool read_offset(struct shard_link *link, const char *field, uint64_t *offset,
                        struct error *err)
{
    char text[32];
    if (!shard_info(link, "replication", field, text, sizeof(text), err)) {
        return false;
    }
    return number_parse_u64(slice_of(text), offset) ||
           error_set(err, "%s: %s is \"%s\"", shard_address(link), field, text);
}

/* How much of the former primary's stream the server has not. The server is asked first: of what
 * stands still that is exact, of what moves too much. */
static bool read_missing(struct failover *failover, struct error *err)
{
    bool is_replica = failover->view->role == FAILOVER_TO_REPLICA;
    uint64_t has = 0, wanted = 0;
    if (failover->former == NULL || !failover->view->is_proven) {
        return true;
    }
    if (!read_offset(failover->link, is_replica ? "slave_repl_offset" : "second_repl_offset", &has,
                     err) ||
        !read_offset(failover->former, "master_repl_offset", &wanted, err)) {
        return false;
    }
    has -= is_replica || has == 0 ? 0 : 1; /* the first that is its own */
    failover->view->missing = wanted > has ? wanted - has : 0;
    return true;
}

static bool look(struct failover *failover, struct error *err)
{
    struct failover_view *view = failover->view;
    *view = (struct failover_view){.role = FAILOVER_DONE};
    if (!read_shard(failover, err)) {
        return false;
    }
    shard_address_format(&failover->shard, view->from);
    shard_address_format(failover->to, view->to);
    if (topology_same_place(&failover->shard, failover->to)) {
        return true;
    }
    failover->link = check_sentinels(failover, err) ? probe_open_any(failover->to, err) : NULL;
    if (failover->link == NULL || !read_fence(failover, err) || !read_history(failover, err)) {
        return false;
    }
    look_at_former(failover);
    return read_missing(failover, err);
}

static void fini(struct failover *failover)
{
    shard_close(failover->link);
    shard_close(failover->former);
}

bool failover_look(struct store *store, const char *shard, const struct topology_shard *to,
                   struct failover_view *view, struct error *err)
{
    struct failover failover = {.store = store, .name = shard, .to = to, .view = view};
    bool ok = look(&failover, err);
    fini(&failover);
    return ok;
}

/* --- doing ----------------------------------------------------------------------------------- */

static bool tell(struct shard_link *link, const char *command, struct error *err)
{
    struct shard_reply *reply = shard_commandf(link, err, command);
    bool is_done = reply != NULL;
    shard_reply_free(reply);
    return is_done;
}

static bool check_history(const struct failover *failover, bool accept_loss, struct error *err)
{
    const struct failover_view *view = failover->view;
    if (view->is_proven || accept_loss) {
        return true;
    }
    return error_set(err,
                     "%s %s: what only the process that the topology names had would be lost, and "
                     "it may lack more. Look at it, then give --accept-loss",
                     view->to,
                     view->is_fenced ? "is no replica of that process, nor was it when promoted"
                                     : "has no fence of this shard: it is empty, or was never its "
                                       "replica");
}

/* Whether it has all, once writes are held. */
static bool catch_up(struct failover *failover, struct error *err)
{
    uint64_t deadline_us = clock_now_us() + CATCH_UP_MS * 1000;
    for (;;) {
        if (!read_missing(failover, err)) {
            return false;
        }
        bool can_come = failover->view->role == FAILOVER_TO_REPLICA;
        if (failover->view->missing == 0 || !can_come || clock_now_us() > deadline_us) {
            return true;
        }
        clock_sleep_ms(POLL_MS);
    }
}

/* What cannot be ended ends by itself. Not once the server is a primary: its former one may be
 * that already. */
static void release_writes(struct failover *failover)
{
    struct error err;
    if (failover->held_until_us != 0 && !failover->is_promoted) {
        (void)tell(failover->former, "CLIENT UNPAUSE", &err);
    }
}

/* Clients wait from here on, for reads no longer than the takeover needs. */
static bool hold_writes(struct failover *failover, bool accept_loss, struct error *err)
{
    char pause[48];
    if (failover->former == NULL || !failover->view->is_proven) {
        return true;
    }
    (void)snprintf(pause, sizeof(pause), "CLIENT PAUSE %llu WRITE", PAUSE_MS);
    uint64_t now_us = clock_now_us();
    if (!tell(failover->former, pause, err)) {
        return false;
    }
    failover->held_until_us = now_us + PAUSE_MS * 1000;
    if (!catch_up(failover, err)) {
        return false;
    }
    return failover->view->missing == 0 || accept_loss ||
           error_set(err,
                     "the primary %s answers, and has %llu bytes of writes that %s has not: wait, "
                     "make it a replica again (REPLICAOF), or give --accept-loss",
                     failover->view->from, (unsigned long long)failover->view->missing,
                     failover->view->to);
}

/* When the writes that are held may go on, less what a slow store needs; 0: none are held, or they
 * may be lost. */
static uint64_t latest_us(const struct failover *failover, bool accept_loss)
{
    if (failover->held_until_us == 0 || accept_loss) {
        return 0;
    }
    return FAIL_POINT("failover.late") ? 1 : failover->held_until_us - LATE_MS * 1000;
}

static bool promote(struct failover *failover, bool accept_loss, struct error *err)
{
    uint64_t latest = latest_us(failover, accept_loss);
    if (failover->view->role != FAILOVER_TO_REPLICA) {
        failover->is_promoted = true;
        return true;
    }
    if (FAIL_POINT("failover.held")) {
        return error_set(err, "fail point failover.held");
    }
    if (latest != 0 && clock_now_us() >= latest) {
        return error_set(err, "it took so long that the primary's writes go on: run it again");
    }
    if (!tell(failover->link, "REPLICAOF NO ONE", err)) {
        return false;
    }
    failover->is_promoted = true;
    return !FAIL_POINT("failover.promoted") || error_set(err, "fail point failover.promoted");
}

static bool take(const struct failover *failover, bool accept_loss, struct error *err)
{
    return cluster_takeover_at(failover->store, failover->name, failover->to,
                               latest_us(failover, accept_loss), accept_loss, err) == TAKEOVER_DONE;
}

static bool move(struct failover *failover, bool accept_loss, struct error *err)
{
    bool is_moved = check_history(failover, accept_loss, err) &&
                    hold_writes(failover, accept_loss, err) &&
                    promote(failover, accept_loss, err) && take(failover, accept_loss, err);
    if (!is_moved) {
        release_writes(failover);
    }
    failover->view->has_all =
        is_moved && failover->held_until_us > clock_now_us() && failover->view->missing == 0;
    return is_moved;
}

bool failover_run(struct store *store, const char *shard, const struct topology_shard *to,
                  bool accept_loss, struct failover_view *view, struct error *err)
{
    struct failover failover = {.store = store, .name = shard, .to = to, .view = view};
    bool ok = look(&failover, err);
    if (ok && view->role == FAILOVER_DONE) {
        ok = take(&failover, accept_loss, err); /* only its fence may be missing */
    } else if (ok) {
        ok = move(&failover, accept_loss, err);
    }
    fini(&failover);
    return ok;
}
