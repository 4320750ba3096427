#include "lib/cluster/bootstrap.h"

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/fail_point.h"
#include "lib/base/random.h"
#include "lib/cluster/change.h"
#include "lib/cluster/probe.h"
#include "lib/cluster/sentinel.h"
#include "lib/cluster/takeover.h"
#include "lib/shard/fence.h"
#include "lib/topology/document.h"
#include "lib/topology/ring.h"

/* --- looking at a server before it becomes a shard ------------------------------------------ */

/* No fence, or one of this cluster and shard (a shard that was removed, or a crash). */
static bool check_fence(struct shard_link *link, const char *cluster, const char *name,
                        struct error *err)
{
    struct fence_state fence;
    if (!fence_read(link, &fence, err)) {
        return false;
    }
    if (fence.exists && (strcmp(fence.cluster, cluster) != 0 || strcmp(fence.shard, name) != 0)) {
        return error_set(err,
                         "%s is shard \"%s\" of cluster %s already: use another server, or delete "
                         "its key " METADATA_FENCE " when that cluster is no more",
                         shard_address(link), fence.shard, fence.cluster);
    }
    return true;
}

/* A key on the wrong shard would be invisible, and in the way of a later migration. */
static bool check_placement(struct shard_link *link, const struct topology *topology,
                            unsigned shard, struct error *err)
{
    uint64_t misplaced;
    char example[64];
    if (!probe_misplaced_keys(link, topology, shard, &misplaced, example, err)) {
        return false;
    }
    if (misplaced > 0) {
        return error_set(err,
                         "%s holds %llu keys that belong on other shards (for example \"%s\") and "
                         "would be invisible: load them through a proxy instead",
                         shard_address(link), (unsigned long long)misplaced, example);
    }
    return true;
}

static bool check_keys(struct shard_link *link, const struct topology *topology, unsigned shard,
                       bool adopt, struct error *err)
{
    uint64_t keys;
    if (!probe_count_keys(link, &keys, err)) {
        return false;
    }
    if (keys == 0) {
        return true;
    }
    if (!adopt) {
        return error_set(err, "%s holds %llu keys: empty it, or take them with --adopt",
                         shard_address(link), (unsigned long long)keys);
    }
    return topology->nshards == 1 || check_placement(link, topology, shard, err);
}

/* Everything that can be refused, before anything is written. */
static bool check_server(const struct topology *topology, unsigned shard, bool adopt,
                         struct shard_identity *identity, struct error *err)
{
    const struct topology_shard *place = &topology->shards[shard];
    struct shard_link *link = probe_open(place, err);
    if (link == NULL) {
        return false;
    }
    *identity = *shard_link_identity(link);
    bool is_good = check_fence(link, topology->cluster, place->name, err) &&
                   probe_replays_all(link, err) && check_keys(link, topology, shard, adopt, err);
    shard_close(link);
    return is_good;
}

/* --- the first fence ----------------------------------------------------------------------- */

/* Killed before the last look, as in takeover.c: an init that comes late must not write the fence
 * of a time that is over. The server may also have been a shard before, without a fence since a
 * FLUSHALL. */
static bool look_alone(struct store *store, struct shard_link *link, struct fence_state *fence,
                       uint64_t *newest, struct error *err)
{
    bool is_alone = fence_kill_everybody(link, err);
    if (FAIL_POINT("init.alone")) {
        return error_set(err, "fail point init.alone");
    }
    return is_alone && fence_read(link, fence, err) && store_epoch(store, newest, err);
}

/* Nobody was ever served here: hello is refused without a fence. So one absent on a shard whose
 * process the topology names is a first one that a crash left out. */
static bool write_first_fence(struct store *store, const struct topology *topology, unsigned shard,
                              bool accept, struct error *err)
{
    const struct topology_shard *place = &topology->shards[shard];
    struct fence_state fence;
    uint64_t newest = 0;
    bool is_first = false;
    struct shard_link *link = probe_open(place, err);
    if (link == NULL) {
        return false;
    }
    bool is_named = shard_identity_equal(&place->identity, shard_link_identity(link));
    bool is_good = fence_read(link, &fence, err);
    if (is_good && !fence.exists && is_named) {
        is_good = look_alone(store, link, &fence, &newest, err);
        is_first = is_good && !fence.exists && newest == topology->epoch; /* Model: FIRSTOLD. */
    }
    /* Killed again: a fence that another one wrote may have let somebody in after the first time,
     * and been lost before the last look. Model: FIRSTNOKILL. */
    if (is_first) {
        is_good = fence_kill_everybody(link, err) &&
                  fence_write(link, FENCE_WRITE_FIRST, topology->cluster, place->name, newest,
                              err) == FENCE_OK;
    }
    shard_close(link);
    /* In order, or another process by now, or a fence from an earlier life of this shard. */
    return is_good &&
           (is_first || cluster_takeover(store, place->name, accept, err) == TAKEOVER_DONE);
}

static bool finish_init(struct store *store, const struct topology *topology, struct error *err)
{
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (FAIL_POINT("init.fence")) {
            return error_set(err, "fail point init.fence");
        }
        if (!write_first_fence(store, topology, i, false, err)) {
            return error_prefix(err,
                                "the topology is written, the fence of shard \"%s\" is not "
                                "(run the same init again)",
                                topology->shards[i].name);
        }
    }
    return true;
}

/* --- init ------------------------------------------------------------------------------------- */

static unsigned slots_of(const struct init_options *options)
{
    return options->nslots == 0 ? SLOTS_DEFAULT : options->nslots;
}

static struct topology *draft(const struct init_options *options, struct error *err)
{
    char cluster[33];
    unsigned nslots = slots_of(options);
    if (nslots > SLOTS_MAX || (nslots & (nslots - 1)) != 0) {
        (void)error_set(err, "the number of slots must be a power of two up to %u, not %u",
                        SLOTS_MAX, nslots);
        return NULL;
    }
    random_hex(cluster, 32);
    struct topology *topology = topology_new(cluster, nslots);
    bool is_good = true;
    for (unsigned i = 0; is_good && i < options->nshards; i++) {
        struct topology_shard shard = options->shards[i];
        shard.identity = (struct shard_identity){{0}, {0}};
        is_good = sentinel_locate(&shard, err) || error_prefix(err, "shard \"%s\"", shard.name);
        (void)topology_add_shard(topology, &shard);
    }
    if (!is_good || !topology_validate(topology, err)) {
        topology_free(topology);
        return NULL;
    }
    ring_place(topology, NULL, topology->owner);
    return topology;
}

static bool check_servers(struct topology *topology, bool adopt, struct error *err)
{
    for (unsigned i = 0; i < topology->nshards; i++) {
        struct topology_shard *shard = &topology->shards[i];
        if (!check_server(topology, i, adopt, &shard->identity, err)) {
            return error_prefix(err, "shard \"%s\"", shard->name);
        }
    }
    return true; /* two names for one server show only now: the store validates what it writes */
}

/* Where Sentinels say what the address is, it is they who tell a shard from another. */
static bool is_same_place(const struct topology_shard *a, const struct topology_shard *b)
{
    return strcmp(a->sentinels, b->sentinels) == 0 && a->is_tls == b->is_tls &&
           (a->sentinels[0] != '\0' || topology_same_place(a, b));
}

static bool is_same_list(const struct topology *topology, const struct init_options *options)
{
    bool is_same = topology->nshards == options->nshards && topology->nslots == slots_of(options);
    for (unsigned i = 0; is_same && i < options->nshards; i++) {
        const struct topology_shard *a = &topology->shards[i], *b = &options->shards[i];
        is_same = strcmp(a->name, b->name) == 0 && is_same_place(a, b) && a->weight == b->weight;
    }
    return is_same;
}

/* The store has a topology. If it is the first, of the same shards, an init did not come to its
 * end, or did; what it lacks is done. */
static bool resume_init(struct store *store, const struct topology *topology,
                        const struct init_options *options, struct error *err)
{
    struct shard_identity identity;
    if (topology->epoch != 1 || !is_same_list(topology, options)) {
        return error_set(err,
                         "\"%s\" holds cluster %s already, at epoch %llu: add shards with "
                         "sluicectl shard add, or choose another store",
                         store_url(store), topology->cluster, (unsigned long long)topology->epoch);
    }
    for (unsigned i = 0; i < topology->nshards; i++) {
        struct fence_state fence;
        struct shard_link *link = probe_open(&topology->shards[i], err);
        bool is_read = link != NULL && fence_read(link, &fence, err);
        shard_close(link);
        if (!is_read ||
            (!fence.exists && !check_server(topology, i, options->adopt, &identity, err))) {
            return error_prefix(err, "shard \"%s\"", topology->shards[i].name);
        }
    }
    return finish_init(store, topology, err);
}

static bool is_stored(struct store *store, const struct topology *topology, struct error *err)
{
    struct buffer ours, theirs;
    struct topology *present = store_read(store, NULL, err);
    if (present == NULL) {
        return error_prefix(err, "whether the first topology was written is unknown");
    }
    buffer_init(&ours, SIZE_MAX);
    buffer_init(&theirs, SIZE_MAX);
    document_format(topology, &ours);
    document_format(present, &theirs);
    bool is_ours = slice_equal(buffer_slice(&ours), buffer_slice(&theirs));
    buffer_fini(&ours);
    buffer_fini(&theirs);
    topology_free(present);
    return is_ours || error_set(err, "\"%s\" was initialised by somebody else at the same time",
                                store_url(store));
}

static bool create(struct store *store, const struct topology *topology, struct error *err)
{
    switch (store_create(store, topology, err)) {
    case CAS_DONE:
        return true;
    case CAS_LOST:
    case CAS_UNKNOWN:
        return is_stored(store, topology, err);
    default:
        return false;
    }
}

static bool first_init(struct store *store, const struct init_options *options, struct error *err)
{
    struct topology *topology = draft(options, err);
    if (topology == NULL) {
        return false;
    }
    bool done = check_servers(topology, options->adopt, err) && create(store, topology, err) &&
                finish_init(store, topology, err);
    topology_free(topology);
    return done;
}

bool cluster_init(struct store *store, const struct init_options *options, struct error *err)
{
    bool is_missing = false;
    if (options->nshards == 0) {
        return error_set(err, "a cluster needs at least one shard: NAME=HOST:PORT");
    }
    struct topology *present = store_read(store, &is_missing, err);
    if (present == NULL) {
        return is_missing && first_init(store, options, err);
    }
    bool done = resume_init(store, present, options, err);
    topology_free(present);
    return done;
}

/* --- shard add -------------------------------------------------------------------------------- */

struct addition {
    const struct topology_shard *shard;
    bool adopt;
};

static enum change_verdict add_shard(struct topology *next, void *context, struct error *err)
{
    const struct addition *addition = context;
    const char *name = addition->shard->name;
    int present = topology_find_shard(next, slice_of(name));
    if (present >= 0) {
        if (topology_same_place(&next->shards[present], addition->shard)) {
            return CHANGE_NOTHING; /* only its fence may be missing */
        }
        char address[SHARD_ADDRESS_MAX];
        shard_address_format(&next->shards[present], address);
        (void)error_set(err, "there is a shard \"%s\" already, at %s", name, address);
        return CHANGE_REFUSED;
    }
    struct topology_shard shard = *addition->shard;
    shard.identity = (struct shard_identity){{0}, {0}};
    bool is_located = sentinel_locate(&shard, err);
    unsigned index = topology_add_shard(next, &shard);
    if (!is_located || !topology_validate(next, err) ||
        !check_server(next, index, addition->adopt, &next->shards[index].identity, err)) {
        (void)error_prefix(err, "shard \"%s\"", name);
        return CHANGE_REFUSED;
    }
    (void)topology_forget_former(next, &next->shards[index].identity);
    return CHANGE_WRITE;
}

static bool check_unused(const struct topology *topology, unsigned shard, struct error *err)
{
    const char *name = topology->shards[shard].name;
    unsigned slots = topology_slots_owned(topology, shard);
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        if (migration->source == shard || migration->target == shard) {
            return error_set(err, "shard \"%s\" is in migration m%llu: finalize or abort it first",
                             name, (unsigned long long)migration->id);
        }
    }
    if (slots > 0) {
        return error_set(err, "shard \"%s\" owns %u slots: run sluicectl drain %s first", name,
                         slots, name);
    }
    return true;
}

/* A shard that is used for nothing and has no fence was being added when somebody crashed; one that
 * is in use has lost its fence, and with it its metadata: an operator has to look at it. */
static bool finish_addition(struct store *store, const char *name, struct error *err)
{
    struct topology *topology = store_read(store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    int index = topology_find_shard(topology, slice_of(name));
    bool done = false;
    if (index < 0) {
        (void)error_set(err, "shard \"%s\" was removed meanwhile", name);
    } else if (check_unused(topology, (unsigned)index, NULL)) {
        done = write_first_fence(store, topology, (unsigned)index, true, err);
    } else {
        done = cluster_takeover(store, name, false, err) == TAKEOVER_DONE;
    }
    topology_free(topology);
    return done;
}

bool cluster_add_shard(struct store *store, const struct topology_shard *shard, bool adopt,
                       struct error *err)
{
    struct addition addition = {shard, adopt};
    if (!cluster_change(store, add_shard, &addition, NULL, err)) {
        return false;
    }
    if (FAIL_POINT("add.fence")) {
        return error_set(err, "fail point add.fence");
    }
    if (!finish_addition(store, shard->name, err)) {
        return error_prefix(err,
                            "shard \"%s\" is in the topology, but not fenced (run the same "
                            "command again)",
                            shard->name);
    }
    return true;
}

/* --- shard remove, shard accept
 * ------------------------------------------------------------------- */

struct removal {
    const char *name;
    bool force;
};

static bool check_debts(const struct topology *topology, unsigned shard, struct error *err)
{
    for (unsigned i = 0; i < topology->ndebts; i++) {
        if (topology->debts[i].shard == shard) {
            return error_set(err,
                             "shard \"%s\" still holds copies of migration m%llu that are to be "
                             "purged when it is back: --force gives that up",
                             topology->shards[shard].name,
                             (unsigned long long)topology->debts[i].migration);
        }
    }
    return true;
}

static enum change_verdict remove_shard(struct topology *next, void *context, struct error *err)
{
    const struct removal *removal = context;
    int index = topology_find_shard(next, slice_of(removal->name));
    if (index < 0) {
        (void)error_set(err, "there is no shard \"%s\"", removal->name);
        return CHANGE_REFUSED;
    }
    if (!check_unused(next, (unsigned)index, err) ||
        (!removal->force && !check_debts(next, (unsigned)index, err))) {
        return CHANGE_REFUSED;
    }
    topology_remove_shard(next, (unsigned)index); /* and its debts */
    return CHANGE_WRITE;
}

bool cluster_remove_shard(struct store *store, const char *name, bool force, struct error *err)
{
    struct removal removal = {name, force};
    return cluster_change(store, remove_shard, &removal, NULL, err);
}

bool cluster_accept_shard(struct store *store, const char *name, struct error *err)
{
    return cluster_takeover(store, name, true, err) == TAKEOVER_DONE;
}
