/* What must hold of every topology, whoever wrote it. A rule that is missing here is one that a
 * typing mistake or another version of the program can break. */
#include <ctype.h>

#include "lib/topology/topology.h"

static bool is_hex(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

/* Numbers are written as signed 64-bit JSON integers. */
static bool fits(uint64_t number)
{
    return number <= INT64_MAX;
}

static bool validate_header(const struct topology *topology, struct error *err)
{
    if (topology->epoch == 0 || topology->epoch >= INT64_MAX || topology->owner_epoch == 0 ||
        topology->owner_epoch > topology->epoch) {
        return error_set(err, "\"epoch\" must be 1 or more and \"owner_epoch\" 1..epoch");
    }
    if (!is_hex(topology->cluster, 32)) {
        return error_set(err, "\"cluster\" must be 32 hex digits");
    }
    unsigned nslots = topology->nslots;
    if (nslots == 0 || nslots > SLOTS_MAX || (nslots & (nslots - 1)) != 0) {
        return error_set(err, "\"nslots\" must be a power of two up to %u", SLOTS_MAX);
    }
    if (topology->nshards == 0 || topology->nshards > TOPOLOGY_SHARDS_MAX) {
        return error_set(err, "there must be 1..%u shards", TOPOLOGY_SHARDS_MAX);
    }
    if (topology->nmigrations > TOPOLOGY_MIGRATIONS_MAX ||
        topology->ndebts > TOPOLOGY_MIGRATIONS_MAX) {
        return error_set(err, "more than %u open migrations or purge debts",
                         TOPOLOGY_MIGRATIONS_MAX);
    }
    return true;
}

static bool all_in(const char *text, const char *punctuation)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        bool is_alphanumeric = byte < 128 && isalnum(byte) != 0;
        if (!is_alphanumeric && strchr(punctuation, *at) == NULL) {
            return false;
        }
    }
    return text[0] != '\0';
}

static bool validate_identity(const struct topology_shard *shard, struct error *err)
{
    const struct shard_identity *identity = &shard->identity;
    bool is_unknown = identity->run_id[0] == '\0' && identity->replid[0] == '\0';
    if (!is_unknown &&
        (!is_hex(identity->run_id, RUN_ID_LENGTH) || !is_hex(identity->replid, RUN_ID_LENGTH))) {
        return error_set(
            err, "shard \"%s\": \"run_id\" and \"replid\" must be %d hex digits, or both empty",
            shard->name, RUN_ID_LENGTH);
    }
    return true;
}

static bool validate_shard(const struct topology_shard *shard, struct error *err)
{
    if (!all_in(shard->name, "_.-")) {
        return error_set(err, "shard name \"%s\" must be 1..%d of [A-Za-z0-9_.-]", shard->name,
                         SHARD_NAME_MAX);
    }
    if (!all_in(shard->host, "_.-:%") || shard->port == 0) {
        return error_set(err, "shard \"%s\": the address must be HOST:PORT", shard->name);
    }
    if (shard->sentinels[0] != '\0' && !all_in(shard->sentinels, "_.-:%@,[]")) {
        return error_set(err, "shard \"%s\": \"sentinels\" must be NAME@HOST:PORT,...",
                         shard->name);
    }
    if (shard->weight == 0 || shard->weight > 10000) {
        return error_set(err, "shard \"%s\": \"weight\" must be 1..10000", shard->name);
    }
    return validate_identity(shard, err);
}

/* Two names for one server would make a migration between them destroy it. */
static bool validate_distinct(const struct topology_shard *a, const struct topology_shard *b,
                              struct error *err)
{
    if (strcmp(a->name, b->name) == 0) {
        return error_set(err, "two shards are named \"%s\"", a->name);
    }
    if (a->port == b->port && strcasecmp(a->host, b->host) == 0) {
        return error_set(err, "shards \"%s\" and \"%s\" have the same address %s:%u", a->name,
                         b->name, a->host, a->port);
    }
    if (a->identity.run_id[0] != '\0' && strcmp(a->identity.run_id, b->identity.run_id) == 0) {
        return error_set(err, "shards \"%s\" and \"%s\" are the same Redis process, run id %s",
                         a->name, b->name, a->identity.run_id);
    }
    return true;
}

static bool validate_shards(const struct topology *topology, struct error *err)
{
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (!validate_shard(&topology->shards[i], err)) {
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            if (!validate_distinct(&topology->shards[j], &topology->shards[i], err)) {
                return false;
            }
        }
    }
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        if (topology->owner[slot] >= topology->nshards) {
            return error_set(err, "slot %u is owned by no shard", slot);
        }
    }
    return true;
}

static bool validate_options(const struct migration_options *options, struct error *err)
{
    if (options->hold_max_ms == 0 || options->barrier_timeout_ms >= options->hold_max_ms) {
        return error_set(err, "\"barrier_timeout_ms\" must be below \"hold_max_ms\"");
    }
    if (!fits(options->keys_per_second) || !fits(options->bytes_per_second) ||
        !fits(options->cutover_keys) || !fits(options->hold_max_ms) ||
        !fits(options->max_skew_ms) || !fits(options->large_key_bytes) ||
        (options->finalize_after_ms != FINALIZE_NEVER && !fits(options->finalize_after_ms))) {
        return error_set(err, "an option is larger than 2^63 - 1");
    }
    return true;
}

static bool validate_epochs(const struct topology *topology, const struct migration *migration,
                            struct error *err)
{
    if (migration->id == 0 || migration->id > migration->base ||
        migration->base > migration->generation || migration->generation > topology->epoch ||
        migration->entry_epoch < migration->id || migration->entry_epoch > topology->epoch) {
        return error_set(err, "id <= base <= generation <= epoch and "
                              "id <= entry_epoch <= epoch must hold");
    }
    if (migration->owner_generation >= migration->generation && migration->owner_generation > 0) {
        return error_set(err, "\"owner_generation\" must be below \"generation\"");
    }
    if (migration->made > migration->base || migration->verified > migration->base ||
        (migration->verified == migration->base && migration->made != migration->base)) {
        return error_set(err, "\"made\" and \"verified\" may not be above \"base\", "
                              "and only what was made is verified");
    }
    if (phase_is_hold(migration->phase) && migration->verified != migration->base) {
        return error_set(err, "phase %s needs \"verified\" equal to \"base\"",
                         phase_name(migration->phase));
    }
    return true;
}

static bool is_set_of(const struct topology *topology, const struct slot_set *slots,
                      struct error *err)
{
    if (slots->nslots != topology->nslots || slot_set_count(slots) == 0) {
        return error_set(err, "\"slots\" must name at least one slot, of %u", topology->nslots);
    }
    return true;
}

static bool validate_places(const struct topology *topology, const struct migration *migration,
                            struct error *err)
{
    if (migration->source >= topology->nshards || migration->target >= topology->nshards ||
        migration->source == migration->target) {
        return error_set(err, "source and target must be two shards");
    }
    if (!is_set_of(topology, &migration->slots, err)) {
        return false;
    }
    unsigned authority = migration_authority(migration);
    for (unsigned slot = slot_set_next(&migration->slots, 0); slot < topology->nslots;
         slot = slot_set_next(&migration->slots, slot + 1)) {
        if (topology->owner[slot] != authority) {
            return error_set(err, "slot %u must be owned by \"%s\" in phase %s", slot,
                             topology->shards[authority].name, phase_name(migration->phase));
        }
    }
    return true;
}

/* A purge that is still owed would delete what a new migration copies to that shard. */
static bool validate_debts_apart(const struct topology *topology, const struct migration *migration,
                                 struct error *err)
{
    for (unsigned i = 0; i < topology->ndebts; i++) {
        const struct purge_debt *debt = &topology->debts[i];
        bool is_concerned = debt->shard == migration->source || debt->shard == migration->target;
        if (is_concerned && slot_set_intersects(&debt->slots, &migration->slots)) {
            return error_set(err, "shard \"%s\" still owes the purge of m%llu for some slots",
                             topology->shards[debt->shard].name,
                             (unsigned long long)debt->migration);
        }
    }
    return true;
}

static bool validate_apart(const struct topology *topology, unsigned index, struct error *err)
{
    const struct migration *migration = &topology->migrations[index];
    for (unsigned i = 0; i < index; i++) {
        const struct migration *other = &topology->migrations[i];
        if (other->id == migration->id) {
            return error_set(err, "two migrations have this id");
        }
        if (slot_set_intersects(&other->slots, &migration->slots)) {
            return error_set(err, "some of its slots are in m%llu too",
                             (unsigned long long)other->id);
        }
    }
    return true;
}

static bool validate_migration(const struct topology *topology, unsigned index, struct error *err)
{
    const struct migration *migration = &topology->migrations[index];
    if (!validate_places(topology, migration, err) || !validate_epochs(topology, migration, err) ||
        !validate_options(&migration->options, err) ||
        !validate_debts_apart(topology, migration, err) || !validate_apart(topology, index, err)) {
        return error_prefix(err, "migration m%llu", (unsigned long long)migration->id);
    }
    return true;
}

static bool validate_debt(const struct topology *topology, unsigned index, struct error *err)
{
    const struct purge_debt *debt = &topology->debts[index];
    if (debt->shard >= topology->nshards || debt->migration == 0 ||
        debt->migration > debt->generation || debt->generation > topology->epoch) {
        return error_set(err, "its shard must exist and 1 <= migration <= generation <= epoch");
    }
    if (topology_find_migration(topology, debt->migration) != NULL) {
        return error_set(err, "its migration is still open");
    }
    for (unsigned i = 0; i < index; i++) {
        if (topology->debts[i].migration == debt->migration) {
            return error_set(err, "there are two debts of one migration");
        }
    }
    if (!is_set_of(topology, &debt->slots, err)) {
        return false;
    }
    for (unsigned slot = slot_set_next(&debt->slots, 0); slot < topology->nslots;
         slot = slot_set_next(&debt->slots, slot + 1)) {
        if (topology->owner[slot] == debt->shard) {
            return error_set(err, "slot %u is owned by the shard that would be purged", slot);
        }
    }
    return true;
}

/* A process that is the shard's again must not be closed. */
static bool validate_former(const struct topology *topology, unsigned index, struct error *err)
{
    const struct topology_shard *former = &topology->formers[index];
    if (topology_find_shard(topology, slice_of(former->name)) < 0) {
        return error_set(err, "there is no such shard");
    }
    if (!all_in(former->host, "_.-:%") || former->port == 0) {
        return error_set(err, "the address must be HOST:PORT");
    }
    if (!is_hex(former->identity.run_id, RUN_ID_LENGTH) ||
        !is_hex(former->identity.replid, RUN_ID_LENGTH)) {
        return error_set(err, "\"run_id\" and \"replid\" must be %d hex digits", RUN_ID_LENGTH);
    }
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (strcmp(topology->shards[i].identity.run_id, former->identity.run_id) == 0) {
            return error_set(err, "it is shard \"%s\" now", topology->shards[i].name);
        }
    }
    return true;
}

static bool validate_formers(const struct topology *topology, struct error *err)
{
    if (topology->nformers > TOPOLOGY_FORMERS_MAX) {
        return error_set(err, "more than %u former primaries", TOPOLOGY_FORMERS_MAX);
    }
    for (unsigned i = 0; i < topology->nformers; i++) {
        if (!validate_former(topology, i, err)) {
            return error_prefix(err, "former primary of shard \"%s\"", topology->formers[i].name);
        }
    }
    return true;
}

bool topology_validate(const struct topology *topology, struct error *err)
{
    if (!validate_header(topology, err) || !validate_shards(topology, err)) {
        return false;
    }
    for (unsigned i = 0; i < topology->ndebts; i++) {
        if (!validate_debt(topology, i, err)) {
            return error_prefix(err, "debt of m%llu",
                                (unsigned long long)topology->debts[i].migration);
        }
    }
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        if (!validate_migration(topology, i, err)) {
            return false;
        }
    }
    return validate_formers(topology, err);
}
