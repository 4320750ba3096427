#include "lib/cluster/former.h"

#include "lib/base/log.h"
#include "lib/cluster/change.h"
#include "lib/shard/fence.h"

/* The former process is mostly dead, and clients wait. */
#define FORMER_TIMEOUT_MS 500

/* *epoch: of the topology that says so; 0: it is a former one no more. */
static bool read_epoch(struct store *store, const struct topology_shard *former, uint64_t *epoch,
                       struct error *err)
{
    struct topology *topology = store_read(store, NULL, err);
    bool is_read = topology != NULL;
    bool is_former = is_read && topology_find_former(topology, &former->identity) >= 0;
    *epoch = is_former ? topology->epoch : 0;
    topology_free(topology);
    return is_read;
}

/* Unfenced: it lost its fence, or took another replication id, and lets nobody in. */
static bool close_primary(struct shard_link *link, uint64_t seen, uint64_t epoch, struct error *err)
{
    enum fence_outcome outcome = fence_close(link, seen, epoch, err);
    return outcome == FENCE_OK || outcome == FENCE_UNFENCED;
}

/* The fence is read before the topology: if the process is taken back after that, the fence that
 * this writes has a later epoch, and closing is refused. A replica takes no writes; connections
 * from before would outlive its promotion, though. */
static bool close_link(struct store *store, const struct topology_shard *former,
                       struct shard_link *link, struct error *err)
{
    struct fence_state fence;
    char role[16];
    uint64_t epoch;
    if (!shard_info(link, "replication", "role", role, sizeof(role), err) ||
        !fence_read(link, &fence, err) || !read_epoch(store, former, &epoch, err)) {
        return false;
    }
    if (epoch == 0) {
        return true;
    }
    bool is_closed = strcmp(role, "master") == 0 ? close_primary(link, fence.epoch, epoch, err)
                                                 : fence_kill_everybody(link, err);
    if (is_closed) {
        log_warn("former primary closed shard=%s address=%s epoch=%llu", former->name,
                 shard_address(link), (unsigned long long)epoch);
    }
    return is_closed;
}

bool former_close(struct store *store, const struct topology_shard *former, struct error *err)
{
    struct shard_link *link = shard_open(former, "control", FORMER_TIMEOUT_MS, err);
    if (link == NULL) {
        return false;
    }
    /* Else another process is there, and that one is dead. */
    bool is_it = strcmp(shard_link_identity(link)->run_id, former->identity.run_id) == 0;
    bool is_closed = !is_it || close_link(store, former, link, err);
    shard_close(link);
    return is_closed;
}

static enum change_verdict forget(struct topology *next, void *context, struct error *err)
{
    const struct topology_shard *former = context;
    (void)err;
    return topology_forget_former(next, &former->identity) ? CHANGE_WRITE : CHANGE_NOTHING;
}

bool former_forget(struct store *store, const struct topology_shard *former, struct error *err)
{
    struct topology_shard gone = *former;
    return cluster_change(store, forget, &gone, NULL, err);
}
