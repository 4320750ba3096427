#include "ctl/command/health.h"

#include <string.h>

#include "lib/shard/fence.h"

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"up", "unreachable", "other-process", "unfenced"};
    return names[state];
}

static bool count_keys(struct shard_link *link, struct health *health)
{
    struct shard_reply *reply = shard_commandf(link, &health->why, "DBSIZE");
    if (reply == NULL) {
        return false;
    }
    health->has_keys = shard_reply_type(reply) == REPLY_INTEGER;
    health->keys = health->has_keys ? (uint64_t)shard_reply_integer(reply) : 0;
    shard_reply_free(reply);
    return health->has_keys || error_set(&health->why, "DBSIZE was not answered with a number");
}

/* The topology's identity may be unknown; then only the fence tells. */
static bool is_named_process(const struct topology_shard *shard, struct shard_link *link)
{
    const struct shard_identity *identity = shard_link_identity(link);
    return shard->identity.run_id[0] == '\0' || shard_identity_equal(&shard->identity, identity);
}

static enum health_state examine(const struct topology *topology, unsigned index,
                                 struct shard_link *link, struct health *health)
{
    const struct topology_shard *shard = &topology->shards[index];
    struct fence_state fence;
    if (!count_keys(link, health) || !fence_read(link, &fence, &health->why)) {
        return HEALTH_UNREACHABLE;
    }
    if (!is_named_process(shard, link)) {
        (void)error_set(&health->why,
                        "another process than the topology names (a restart or a failover that is "
                        "not taken over yet); if it stays so: sluicectl shard accept %s",
                        shard->name);
        return HEALTH_OTHER_PROCESS;
    }
    bool is_ours = fence.exists && strcmp(fence.cluster, topology->cluster) == 0 &&
                   strcmp(fence.shard, shard->name) == 0;
    if (!is_ours) {
        (void)error_set(&health->why,
                        "%s; if its data are what they should be: sluicectl shard accept %s",
                        fence.exists ? "its fence is another cluster's or shard's"
                                     : "its fence is gone, so its data may be too",
                        shard->name);
        return HEALTH_UNFENCED;
    }
    return HEALTH_UP;
}

void health_look(const struct topology *topology, unsigned shard, struct health *health,
                 struct shard_link **link)
{
    memset(health, 0, sizeof(*health));
    health->state = HEALTH_UNREACHABLE;
    if (link != NULL) {
        *link = NULL;
    }
    const struct topology_shard *place = &topology->shards[shard];
    struct shard_link *opened =
        shard_open(place->host, place->port, "ctl", HEALTH_TIMEOUT_MS, &health->why);
    if (opened == NULL) {
        return;
    }
    health->state = examine(topology, shard, opened, health);
    if (link != NULL && health->state == HEALTH_UP) {
        *link = opened;
        return;
    }
    shard_close(opened);
}
