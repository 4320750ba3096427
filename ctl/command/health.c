#include "ctl/command/health.h"

#include <string.h>

#include "lib/base/memory.h"
#include "lib/shard/fence.h"

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"up", "unreachable", "other-process", "unfenced"};
    return names[state];
}

static bool ask_number(struct shard_link *link, const struct slice *argv, unsigned argc,
                       uint64_t *number, struct error *err)
{
    struct shard_reply *reply = shard_command(link, argv, argc, err);
    if (reply == NULL) {
        return false;
    }
    int64_t integer = shard_reply_integer(reply);
    *number = integer > 0 ? (uint64_t)integer : 0;
    shard_reply_free(reply);
    return true;
}

/* The keys that Sluice itself keeps there: the fence, and every open migration's metadata. */
static bool count_hidden(const struct topology *topology, struct shard_link *link, uint64_t *hidden,
                         struct error *err)
{
    size_t count = topology->nmigrations;
    struct metadata_names *names = mem_alloc((2 * count + 1) * sizeof(*names));
    struct slice *argv = mem_alloc((6 * count + 3) * sizeof(*argv));
    unsigned argc = 0;
    argv[argc++] = SLICE("EXISTS");
    argv[argc++] = SLICE(METADATA_FENCE);
    argv[argc++] = SLICE("__sluice:scripts");
    for (size_t i = 0; i < 2 * count; i++) {
        const struct migration *migration = &topology->migrations[i / 2];
        metadata_names_of(migration->id, migration->base,
                          i % 2 == 0 ? DIRECTION_FORWARD : DIRECTION_REVERSE, &names[i]);
        argv[argc++] = slice_of(names[i].seq);
        argv[argc++] = slice_of(names[i].dirty);
        argv[argc++] = slice_of(names[i].ver);
    }
    bool ok = ask_number(link, argv, argc, hidden, err);
    mem_free(argv);
    mem_free(names);
    return ok;
}

static bool count_keys(const struct topology *topology, struct shard_link *link,
                       struct health *health)
{
    const struct slice argv[] = {SLICE("DBSIZE")};
    uint64_t hidden;
    uint64_t all;
    if (!count_hidden(topology, link, &hidden, &health->why) ||
        !ask_number(link, argv, 1, &all, &health->why)) {
        return false;
    }
    health->has_keys = true;
    health->keys = all > hidden ? all - hidden : 0;
    return true;
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
    if (!count_keys(topology, link, health) || !fence_read(link, &fence, &health->why)) {
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
    struct shard_link *opened = shard_open(place, "ctl", HEALTH_TIMEOUT_MS, &health->why);
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
