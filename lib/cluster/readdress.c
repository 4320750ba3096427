#include "lib/cluster/readdress.h"

#include "lib/cluster/change.h"
#include "lib/cluster/probe.h"
#include "lib/cluster/sentinel.h"

struct readdress {
    struct topology_shard place; /* located */
    struct shard_identity found; /* the process there */
    bool is_changed;
};

static bool find_process(struct readdress *readdress, struct error *err)
{
    if (!sentinel_locate(&readdress->place, err)) {
        return false;
    }
    struct shard_link *link = probe_open(&readdress->place, err);
    if (link == NULL) {
        return false;
    }
    readdress->found = *shard_link_identity(link);
    shard_close(link);
    return true;
}

static bool is_process(const struct readdress *readdress, const struct topology_shard *shard,
                       struct error *err)
{
    char address[SHARD_ADDRESS_MAX];
    shard_address_format(&readdress->place, address);
    return shard_identity_equal(&shard->identity, &readdress->found) ||
           error_set(err,
                     "%s is not the process of shard \"%s\" that the topology names: for a replica "
                     "of it there is sluicectl shard failover",
                     address, shard->name);
}

static enum change_verdict change_place(struct topology *next, void *context, struct error *err)
{
    struct readdress *readdress = context;
    const struct topology_shard *place = &readdress->place;
    int index = topology_find_shard(next, slice_of(place->name));
    if (index < 0) {
        (void)error_set(err, "there is no shard \"%s\"", place->name);
        return CHANGE_REFUSED;
    }
    struct topology_shard *shard = &next->shards[index];
    if (!is_process(readdress, shard, err)) {
        return CHANGE_REFUSED;
    }
    if (topology_same_place(shard, place) && strcmp(shard->sentinels, place->sentinels) == 0) {
        return CHANGE_NOTHING;
    }
    readdress->is_changed = true;
    topology_place_at(shard, place);
    memcpy(shard->sentinels, place->sentinels, sizeof(shard->sentinels));
    return topology_validate(next, err) ? CHANGE_WRITE : CHANGE_REFUSED;
}

bool cluster_readdress(struct store *store, const struct topology_shard *place, bool *is_changed,
                       struct error *err)
{
    struct readdress readdress = {.place = *place};
    bool ok =
        find_process(&readdress, err) && cluster_change(store, change_place, &readdress, NULL, err);
    *is_changed = readdress.is_changed;
    return ok;
}
