/* The topology: one document that says which shard owns which slot, and what is being moved.
 *
 * A `struct topology` is a plain value, made by the document parser or by topology_next and changed
 * only by the functions below and in migration_state.h, before it is handed to the store. What
 * routes requests is a `struct snapshot` made from it: immutable, reference-counted, any thread.
 * DESIGN.md section 4. Pure: no I/O, no clock. */
#ifndef LIB_TOPOLOGY_TOPOLOGY_H
#define LIB_TOPOLOGY_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/topology/slot.h"

#define TOPOLOGY_FORMAT         1 /* a reader that does not know the format does not adopt */
#define TOPOLOGY_SHARDS_MAX     1024
#define TOPOLOGY_MIGRATIONS_MAX 1024 /* open ones; as many debts */
#define TOPOLOGY_FORMERS_MAX    64
#define SHARD_NAME_MAX          63 /* bytes; [A-Za-z0-9_.-] */
#define SHARD_HOST_MAX          255
#define SENTINELS_TEXT_MAX      511
#define RUN_ID_LENGTH           40 /* Redis' run_id and master_replid: 40 hex digits */

/* The one Redis process that a shard is. Both empty: not known yet. */
struct shard_identity {
    char run_id[RUN_ID_LENGTH + 1];
    char replid[RUN_ID_LENGTH + 1];
};

bool shard_identity_equal(const struct shard_identity *a, const struct shard_identity *b);

struct topology_shard {
    char name[SHARD_NAME_MAX + 1];
    char host[SHARD_HOST_MAX +
              1]; /* a numeric address or a host name: where the process of `identity` is */
    uint16_t port;
    bool is_tls;                            /* speaks TLS, with a certificate for `host` */
    char sentinels[SENTINELS_TEXT_MAX + 1]; /* "NAME@HOST:PORT,HOST:PORT": who says which process is
                                             * the primary (cluster/sentinel.h); empty: the address
                                             * is fixed */
    uint32_t weight;                        /* 1..10000, 100 is usual; its share of the ring */
    struct shard_identity identity;
    bool serve_empty; /* `empty=serve`: a cache, taken back even when it came back empty */
};

/* Host, port and TLS are the same. */
bool topology_same_place(const struct topology_shard *a, const struct topology_shard *b);
/* Gives the shard host, port and TLS of `place`. */
void topology_place_at(struct topology_shard *shard, const struct topology_shard *place);
/* "HOST:PORT", with brackets around a host with colons and "tls:" before it all if it speaks that;
 * parsing takes what formatting writes. */
#define SHARD_ADDRESS_MAX (sizeof("tls:[]:65535") + 256)
void shard_address_format(const struct topology_shard *shard, char text[SHARD_ADDRESS_MAX]);
bool shard_address_parse(struct slice text, struct topology_shard *shard)
    __attribute__((warn_unused_result));

/* X(ENUM, "name", direction): the phases of section 6, and the words for them everywhere. */
#define MIGRATION_PHASES(X)                              \
    X(PHASE_PLANNED, "planned", DIRECTION_FORWARD)       \
    X(PHASE_DUAL_WRITE, "dual-write", DIRECTION_FORWARD) \
    X(PHASE_HOLD, "hold", DIRECTION_FORWARD)             \
    X(PHASE_SWITCHED, "switched", DIRECTION_REVERSE)     \
    X(PHASE_HOLD_BACK, "hold-back", DIRECTION_REVERSE)   \
    X(PHASE_FINALIZING, "finalizing", DIRECTION_REVERSE) \
    X(PHASE_ABORTING, "aborting", DIRECTION_FORWARD)

/* Forward: source is the authority, target the copy. Reverse: the other way round. */
enum direction {
    DIRECTION_FORWARD,
    DIRECTION_REVERSE
};

enum phase {
#define X(symbol, name, direction) symbol,
    MIGRATION_PHASES(X)
#undef X
};

const char *phase_name(enum phase phase);
bool phase_parse(const char *name, enum phase *phase) __attribute__((warn_unused_result));
enum direction phase_direction(enum phase phase);

/* Dual writes happen in dual-write and switched; requests are held in hold and hold-back. */
static inline bool phase_is_dual(enum phase phase)
{
    return phase == PHASE_DUAL_WRITE || phase == PHASE_SWITCHED;
}

static inline bool phase_is_hold(enum phase phase)
{
    return phase == PHASE_HOLD || phase == PHASE_HOLD_BACK;
}

/* What the operator asks of the migrator; carried in the topology, cleared by the migrator. */
#define MIGRATION_REQUESTS(X)   \
    X(REQUEST_NONE, "none")     \
    X(REQUEST_VERIFY, "verify") \
    X(REQUEST_SWITCH, "switch") \
    X(REQUEST_ROLLBACK, "rollback")

enum migration_request {
#define X(symbol, name) symbol,
    MIGRATION_REQUESTS(X)
#undef X
};

const char *migration_request_name(enum migration_request request);
bool migration_request_parse(const char *name, enum migration_request *request)
    __attribute__((warn_unused_result));

#define FINALIZE_NEVER UINT64_MAX

struct migration_options {
    bool manual_switch;         /* stay in dual-write until `sluicectl switch` */
    uint64_t finalize_after_ms; /* after the switch; FINALIZE_NEVER: only by `sluicectl finalize` */
    uint64_t keys_per_second;   /* backfill and verify throttle; 0: none */
    uint64_t bytes_per_second;  /* 0: none */
    uint64_t cutover_keys;      /* hold only while fewer keys than this carry a mark */
    uint64_t hold_max_ms;       /* a longer hold is undone by any proxy */
    uint64_t barrier_timeout_ms; /* wait this long for a live proxy; below hold_max_ms */
    uint64_t max_skew_ms;        /* refuse when the shards' clocks differ by more */
    uint64_t large_key_bytes;    /* above: listed by plan and report, not mirrored by proxies */
};

void migration_options_default(struct migration_options *options);

struct migration {
    uint64_t id;     /* the epoch of the CAS that created it: never reused; written "m42" */
    unsigned source; /* index into shards */
    unsigned target;
    struct slot_set slots;
    enum phase phase;
    uint64_t entry_epoch; /* the epoch of the CAS that entered the phase */
    uint64_t generation;  /* the epoch of the CAS that began it */
    uint64_t base;        /* the epoch from which the metadata on the shards count */
    uint64_t made;     /* base, once the metadata of base have been made; else an older base or 0 */
    uint64_t verified; /* base, once every key has compared equal since; else older or 0 */
    /* The generation in which the owner's guard was closed when it took the slots over: a process
     * whose fence lacks that guard has lost what it took over. 0: the slots' owner is the first. */
    uint64_t owner_generation;
    bool is_paused;
    enum migration_request request;
    struct migration_options options;
};

/* A purge that could not be done because the shard was dead. It holds no slots: nobody routes by
 * it; the migrator purges when the shard is back, `shard remove --force` cancels it. */
struct purge_debt {
    uint64_t migration;  /* id */
    unsigned shard;      /* where the leftovers are */
    uint64_t generation; /* of the guard that allows the purge */
    struct slot_set slots;
};

struct topology {
    uint64_t epoch;       /* 1 is the first */
    uint64_t owner_epoch; /* the last epoch that changed any slot's authority, the shard list, or a
                           * shard's process: a SCAN begun before it starts over */
    char cluster[33];     /* 32 hex digits, random, made at init */
    unsigned nslots;
    struct topology_shard *shards;
    unsigned nshards;
    uint16_t *owner;              /* [nslots]: shard index that owns each slot (the authority) */
    struct migration *migrations; /* the open ones */
    unsigned nmigrations;
    struct purge_debt *debts;
    unsigned ndebts;
    /* Shards as they were before a server elsewhere took their place; the oldest first. Nobody
     * routes by them. Such a process may live, and is here until it is closed to proxies that have
     * not heard (cluster/former.h), or known to be gone. */
    struct topology_shard *formers;
    unsigned nformers;
};

/* Epoch 1, no shards; owner of every slot is shard 0 until the ring fills it (ring.h). */
struct topology *topology_new(const char *cluster, unsigned nslots);
void topology_free(struct topology *topology);
/* A deep copy with epoch + 1: change it, then give it to store_cas. */
struct topology *topology_next(const struct topology *topology);
/* All that must hold of a document, whoever wrote it. */
bool topology_validate(const struct topology *topology, struct error *err)
    __attribute__((warn_unused_result));

/* Index, or -1. */
int topology_find_shard(const struct topology *topology, struct slice name);
/* Appends it (copied); returns its index. The caller has checked the name. */
unsigned topology_add_shard(struct topology *topology, const struct topology_shard *shard);
/* The shard owns no slots and is in no migration; its debts are cancelled, its formers forgotten;
 * indexes above it move down by one everywhere. */
void topology_remove_shard(struct topology *topology, unsigned shard);

/* Keeps the shard as it is, for its server is about to be replaced; nothing when its process is not
 * known. The oldest of TOPOLOGY_FORMERS_MAX gives way. */
void topology_remember_former(struct topology *next, const struct topology_shard *shard);
/* Index of the former process, or -1. */
int topology_find_former(const struct topology *topology, const struct shard_identity *identity);
/* False: it is not there. */
bool topology_forget_former(struct topology *next, const struct shard_identity *identity);
void topology_forget_formers_of(struct topology *next, const char *shard_name);

struct migration *topology_find_migration(const struct topology *topology, uint64_t id);
/* The open migration that this slot is in, or null. */
struct migration *topology_migration_of_slot(const struct topology *topology, unsigned slot);
unsigned topology_slots_owned(const struct topology *topology, unsigned shard);

/* "m42" and back. */
#define MIGRATION_ID_TEXT_MAX 24
void migration_id_format(uint64_t id, char text[MIGRATION_ID_TEXT_MAX]);
bool migration_id_parse(struct slice text, uint64_t *id) __attribute__((warn_unused_result));

/* Who has the slots now, and who has the copy. */
unsigned migration_authority(const struct migration *migration);
unsigned migration_copy(const struct migration *migration);

#endif
