#include "lib/topology/topology.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

static const char *const phase_names[] = {
#define X(symbol, name, direction) name,
    MIGRATION_PHASES(X)
#undef X
};

static const enum direction phase_directions[] = {

#define X(symbol, name, direction) direction,
    MIGRATION_PHASES(X)
#undef X
};
static const char *const request_names[] = {
#define X(symbol, name) name,
    MIGRATION_REQUESTS(X)
#undef X
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

bool shard_identity_equal(const struct shard_identity *a, const struct shard_identity *b)
{
    return strcmp(a->run_id, b->run_id) == 0 && strcmp(a->replid, b->replid) == 0;
}

const char *phase_name(enum phase phase)
{
    ASSERT(phase < COUNT_OF(phase_names));
    return phase_names[phase];
}

bool phase_parse(const char *name, enum phase *phase)
{
    for (unsigned i = 0; i < COUNT_OF(phase_names); i++) {
        if (strcmp(name, phase_names[i]) == 0) {
            *phase = (enum phase)i;
            return true;
        }
    }
    return false;
}

enum direction phase_direction(enum phase phase)
{
    ASSERT(phase < COUNT_OF(phase_directions));
    return phase_directions[phase];
}

const char *migration_request_name(enum migration_request request)
{
    ASSERT(request < COUNT_OF(request_names));
    return request_names[request];
}

bool migration_request_parse(const char *name, enum migration_request *request)
{
    for (unsigned i = 0; i < COUNT_OF(request_names); i++) {
        if (strcmp(name, request_names[i]) == 0) {
            *request = (enum migration_request)i;
            return true;
        }
    }
    return false;
}

void migration_options_default(struct migration_options *options)
{
    *options = (struct migration_options){
        .manual_switch = false,
        .finalize_after_ms = FINALIZE_NEVER,
        .cutover_keys = 100,
        .hold_max_ms = 1000,
        .barrier_timeout_ms = 300,
        .max_skew_ms = 500,
        .large_key_bytes = 65536,
    };
}

struct topology *topology_new(const char *cluster, unsigned nslots)
{
    ASSERT(nslots > 0 && nslots <= SLOTS_MAX && (nslots & (nslots - 1)) == 0);
    struct topology *topology = mem_zalloc(sizeof(*topology));
    ASSERT(strlen(cluster) < sizeof(topology->cluster));
    (void)snprintf(topology->cluster, sizeof(topology->cluster), "%s", cluster);
    topology->epoch = 1;
    topology->owner_epoch = 1;
    topology->nslots = nslots;
    topology->owner = mem_zalloc(nslots * sizeof(*topology->owner));
    return topology;
}

void topology_free(struct topology *topology)
{
    if (topology == NULL) {
        return;
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        slot_set_fini(&topology->migrations[i].slots);
    }
    for (unsigned i = 0; i < topology->ndebts; i++) {
        slot_set_fini(&topology->debts[i].slots);
    }
    mem_free(topology->shards);
    mem_free(topology->owner);
    mem_free(topology->migrations);
    mem_free(topology->debts);
    mem_free(topology->formers);
    mem_free(topology);
}

struct topology *topology_next(const struct topology *topology)
{
    struct topology *next = mem_dup(topology, sizeof(*topology));
    next->epoch++;
    next->shards = mem_dup(topology->shards, topology->nshards * sizeof(*next->shards));
    next->owner = mem_dup(topology->owner, topology->nslots * sizeof(*next->owner));
    next->migrations =
        mem_dup(topology->migrations, topology->nmigrations * sizeof(*next->migrations));
    for (unsigned i = 0; i < next->nmigrations; i++) {
        slot_set_copy(&next->migrations[i].slots, &topology->migrations[i].slots);
    }
    next->debts = mem_dup(topology->debts, topology->ndebts * sizeof(*next->debts));
    for (unsigned i = 0; i < next->ndebts; i++) {
        slot_set_copy(&next->debts[i].slots, &topology->debts[i].slots);
    }
    next->formers = mem_dup(topology->formers, topology->nformers * sizeof(*next->formers));
    return next;
}

int topology_find_shard(const struct topology *topology, struct slice name)
{
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (slice_equal(slice_of(topology->shards[i].name), name)) {
            return (int)i;
        }
    }
    return -1;
}

unsigned topology_add_shard(struct topology *topology, const struct topology_shard *shard)
{
    ASSERT(topology->nshards < TOPOLOGY_SHARDS_MAX);
    unsigned index = topology->nshards++;
    topology->shards = mem_realloc(topology->shards, topology->nshards * sizeof(*topology->shards));
    topology->shards[index] = *shard;
    topology->owner_epoch = topology->epoch;
    return index;
}

static void cancel_debts(struct topology *topology, unsigned shard)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < topology->ndebts; i++) {
        if (topology->debts[i].shard == shard) {
            slot_set_fini(&topology->debts[i].slots);
        } else {
            topology->debts[kept++] = topology->debts[i];
        }
    }
    topology->ndebts = kept;
}

static void close_gap(unsigned *index, unsigned removed)
{
    ASSERT(*index != removed);
    *index -= *index > removed;
}

void topology_remove_shard(struct topology *topology, unsigned shard)
{
    ASSERT(shard < topology->nshards);
    cancel_debts(topology, shard);
    topology_forget_formers_of(topology, topology->shards[shard].name);
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        unsigned owner = topology->owner[slot];
        close_gap(&owner, shard);
        topology->owner[slot] = (uint16_t)owner;
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        close_gap(&topology->migrations[i].source, shard);
        close_gap(&topology->migrations[i].target, shard);
    }
    for (unsigned i = 0; i < topology->ndebts; i++) {
        close_gap(&topology->debts[i].shard, shard);
    }
    topology->nshards--;
    memmove(&topology->shards[shard], &topology->shards[shard + 1],
            (topology->nshards - shard) * sizeof(*topology->shards));
    topology->owner_epoch = topology->epoch;
}

struct migration *topology_find_migration(const struct topology *topology, uint64_t id)
{
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        if (topology->migrations[i].id == id) {
            return &topology->migrations[i];
        }
    }
    return NULL;
}

struct migration *topology_migration_of_slot(const struct topology *topology, unsigned slot)
{
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        if (slot_set_has(&topology->migrations[i].slots, slot)) {
            return &topology->migrations[i];
        }
    }
    return NULL;
}

unsigned topology_slots_owned(const struct topology *topology, unsigned shard)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        count += topology->owner[slot] == shard;
    }
    return count;
}

void migration_id_format(uint64_t id, char text[MIGRATION_ID_TEXT_MAX])
{
    text[0] = 'm';
    unsigned digits = number_format_u64(text + 1, id);
    text[1 + digits] = '\0';
}

bool migration_id_parse(struct slice text, uint64_t *id)
{
    if (text.len < 2 || text.data[0] != 'm' || text.data[1] == '0') {
        return false;
    }
    return number_parse_u64((struct slice){text.data + 1, text.len - 1}, id);
}

unsigned migration_authority(const struct migration *migration)
{
    bool is_forward = phase_direction(migration->phase) == DIRECTION_FORWARD;
    return is_forward ? migration->source : migration->target;
}

unsigned migration_copy(const struct migration *migration)
{
    bool is_forward = phase_direction(migration->phase) == DIRECTION_FORWARD;
    return is_forward ? migration->target : migration->source;
}
