#include "tests/support/sample_topology.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/topology/migration_state.h"

void sample_add_shard(struct topology *topology, const char *name)
{
    struct topology_shard shard = {.host = "127.0.0.1", .weight = 100};
    (void)snprintf(shard.name, sizeof(shard.name), "%s", name);
    shard.port = 7001;
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (topology->shards[i].port >= shard.port) {
            shard.port = (uint16_t)(topology->shards[i].port + 1);
        }
    }
    (void)topology_add_shard(topology, &shard);
}

struct topology *sample_topology(unsigned nshards, unsigned nslots)
{
    ASSERT(nshards > 0);
    struct topology *topology = topology_new(SAMPLE_CLUSTER, nslots);
    for (unsigned i = 0; i < nshards; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%u", i + 1);
        sample_add_shard(topology, name);
    }
    for (unsigned slot = 0; slot < nslots; slot++) {
        topology->owner[slot] = (uint16_t)(slot % nshards);
    }
    return topology;
}

struct shard_identity sample_identity(unsigned number)
{
    struct shard_identity identity;
    (void)snprintf(identity.run_id, sizeof(identity.run_id), "%040x", number);
    (void)snprintf(identity.replid, sizeof(identity.replid), "%040x", ~number);
    return identity;
}

/* --- random changes ----------------------------------------------------------------------- */

static bool is_random(struct random *random, unsigned one_in)
{
    return random_below(random, one_in) == 0;
}

static void open_randomly(struct topology *next, struct random *random)
{
    unsigned source = (unsigned)random_below(random, next->nshards);
    unsigned target = (unsigned)random_below(random, next->nshards);
    struct slot_set slots;
    slot_set_init(&slots, next->nslots);
    for (unsigned slot = 0; slot < next->nslots; slot++) {
        if (next->owner[slot] == source && topology_migration_of_slot(next, slot) == NULL &&
            is_random(random, 4)) {
            slot_set_add(&slots, slot);
        }
    }
    struct migration_options options;
    migration_options_default(&options);
    options.manual_switch = is_random(random, 2);
    options.finalize_after_ms = is_random(random, 2) ? FINALIZE_NEVER : random_below(random, 999);
    options.keys_per_second = random_below(random, 99999);
    struct migration *migration = migration_open(next, source, target, &slots, &options, NULL);
    if (migration != NULL) {
        migration->is_paused = is_random(random, 3);
        migration->request = (enum migration_request)random_below(random, 4);
    }
    slot_set_fini(&slots);
}

static void close_randomly(struct topology *next, struct migration *migration,
                           struct random *random)
{
    bool has_debt = migration->phase != PHASE_PLANNED && is_random(random, 2);
    migration_close(next, migration, has_debt ? (int)migration_copy(migration) : -1);
}

/* The drawing in migration_state.h, once more and by hand: a row is `from`, a column `to`. */
// clang-format off
static const char *const drawing[PHASE_ABORTING + 1] = {
    /*                P D H S B F A */
    /* planned     */ "-x-----",
    /* dual-write  */ "--x---x",
    /* hold        */ "-x-x--x",
    /* switched    */ "----xx-",
    /* hold-back   */ "---x--x",
    /* finalizing  */ "-------",
    /* aborting    */ "-------",
};

// clang-format on

bool sample_edge_is_drawn(enum phase from, enum phase to)
{
    return drawing[from][to] == 'x';
}

static void advance_randomly(struct topology *next, struct random *random)
{
    if (next->nmigrations == 0) {
        return;
    }
    struct migration *migration = &next->migrations[random_below(random, next->nmigrations)];
    if (migration->phase != PHASE_PLANNED && is_random(random, 2)) {
        migration->made = migration->base;
        migration->verified = migration->base;
    }
    enum phase to = (enum phase)random_below(random, PHASE_ABORTING + 1);
    bool is_ready = !phase_is_hold(to) || migration->verified == migration->base;
    if (sample_edge_is_drawn(migration->phase, to) && is_ready) {
        migration_enter(next, migration, to);
    } else if (migration->phase == PHASE_FINALIZING || migration->phase == PHASE_ABORTING ||
               (migration->phase == PHASE_PLANNED && is_random(random, 5))) {
        close_randomly(next, migration, random);
    }
}

static void change_shards_randomly(struct topology *next, struct random *random)
{
    unsigned shard = (unsigned)random_below(random, next->nshards);
    if (is_random(random, 3) && next->nshards < 12) {
        char name[32];
        (void)snprintf(name, sizeof(name), "x%llu", (unsigned long long)next->epoch);
        sample_add_shard(next, name);
        return;
    }
    struct shard_identity identity = sample_identity((unsigned)next->epoch);
    topology_replace_process(next, shard, &identity);
    next->shards[shard].serve_empty = is_random(random, 2);
}

struct topology *sample_change_randomly(struct topology *topology, struct random *random,
                                        unsigned changes)
{
    for (unsigned i = 0; i < changes; i++) {
        struct topology *next = topology_next(topology);
        switch (random_below(random, 8)) {
        case 0:
            change_shards_randomly(next, random);
            break;
        case 1:
        case 2:
            open_randomly(next, random);
            break;
        default:
            advance_randomly(next, random);
        }
        topology_free(topology);
        topology = next;
    }
    return topology;
}

bool sample_aborts(void (*function)(void *context), void *context)
{
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        function(context);
        _exit(0);
    }
    int status = 0;
    pid_t ended = waitpid(child, &status, 0);
    ASSERT(ended == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

void sample_remove_slot(struct slot_set *set, unsigned slot)
{
    set->bits[slot / 64] &= ~((uint64_t)1 << (slot % 64));
}
