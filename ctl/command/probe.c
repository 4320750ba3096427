#include "ctl/command/probe.h"

#include <string.h>

#include "lib/shard/fence.h"

const char *probe_state_name(enum probe_state state)
{
    static const char *const names[] = {"up", "unreachable", "other-process", "unfenced"};
    return names[state];
}

static bool count_keys(struct shard_link *link, struct probe *probe)
{
    struct shard_reply *reply = shard_commandf(link, &probe->why, "DBSIZE");
    if (reply == NULL) {
        return false;
    }
    probe->has_keys = shard_reply_type(reply) == REPLY_INTEGER;
    probe->keys = probe->has_keys ? (uint64_t)shard_reply_integer(reply) : 0;
    shard_reply_free(reply);
    return probe->has_keys || error_set(&probe->why, "DBSIZE was not answered with a number");
}

/* The topology's identity may be unknown; then only the fence tells. */
static bool is_named_process(const struct topology_shard *shard, struct shard_link *link)
{
    const struct shard_identity *identity = shard_link_identity(link);
    return shard->identity.run_id[0] == '\0' || shard_identity_equal(&shard->identity, identity);
}

static enum probe_state examine(const struct topology *topology, unsigned index,
                                struct shard_link *link, struct probe *probe)
{
    const struct topology_shard *shard = &topology->shards[index];
    struct fence_state fence;
    if (!count_keys(link, probe) || !fence_read(link, &fence, &probe->why)) {
        return PROBE_UNREACHABLE;
    }
    if (!is_named_process(shard, link)) {
        (void)error_set(&probe->why,
                        "another process than the topology names (a restart or a failover that is "
                        "not taken over yet); if it stays so: sluicectl shard accept %s",
                        shard->name);
        return PROBE_OTHER_PROCESS;
    }
    bool is_ours = fence.exists && strcmp(fence.cluster, topology->cluster) == 0 &&
                   strcmp(fence.shard, shard->name) == 0;
    if (!is_ours) {
        (void)error_set(&probe->why,
                        "%s; if its data are what they should be: sluicectl shard accept %s",
                        fence.exists ? "its fence is another cluster's or shard's"
                                     : "its fence is gone, so its data may be too",
                        shard->name);
        return PROBE_UNFENCED;
    }
    return PROBE_UP;
}

void probe_shard(const struct topology *topology, unsigned shard, struct probe *probe,
                 struct shard_link **link)
{
    memset(probe, 0, sizeof(*probe));
    probe->state = PROBE_UNREACHABLE;
    if (link != NULL) {
        *link = NULL;
    }
    const struct topology_shard *place = &topology->shards[shard];
    struct shard_link *opened =
        shard_open(place->host, place->port, "ctl", PROBE_TIMEOUT_MS, &probe->why);
    if (opened == NULL) {
        return;
    }
    probe->state = examine(topology, shard, opened, probe);
    if (link != NULL && probe->state == PROBE_UP) {
        *link = opened;
        return;
    }
    shard_close(opened);
}
