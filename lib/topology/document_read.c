/* Reads a document that anybody may have written. Every member must be there, be of the right
 * kind, and be known: a member that this program does not understand may be one that it must not
 * ignore. What the values mean together is topology_validate's. */
#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/topology/document.h"
#include "lib/topology/document_internal.h"

#define NO_OWNER UINT16_MAX

/* --- members: the value, or null with a message ------------------------------------------- */

static json_t *member(json_t *object, const char *name, json_type type, struct error *err)
{
    static const char *const types[] = {"an object", "an array", "a text", "an integer", "a real"};
    json_t *value = json_object_get(object, name);
    if (value == NULL) {
        (void)error_set(err, "\"%s\" is missing", name);
        return NULL;
    }
    if (json_typeof(value) != type) {
        (void)error_set(err, "\"%s\" must be %s", name, types[type]);
        return NULL;
    }
    return value;
}

static bool read_number(json_t *object, const char *name, uint64_t *number, struct error *err)
{
    json_t *value = member(object, name, JSON_INTEGER, err);
    if (value == NULL) {
        return false;
    }
    if (json_integer_value(value) < 0) {
        return error_set(err, "\"%s\" must not be negative", name);
    }
    *number = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_bounded(json_t *object, const char *name, uint64_t max, uint64_t *number,
                         struct error *err)
{
    uint64_t value = 0;
    if (!read_number(object, name, &value, err)) {
        return false;
    }
    *number = value;
    return value <= max || error_set(err, "\"%s\" must be 0..%llu", name, (unsigned long long)max);
}

static bool read_flag(json_t *object, const char *name, bool *flag, struct error *err)
{
    json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) {
        return error_set(err, "\"%s\" must be true or false", name);
    }
    *flag = json_is_true(value);
    return true;
}

static bool read_slice(json_t *object, const char *name, struct slice *text, struct error *err)
{
    json_t *value = member(object, name, JSON_STRING, err);
    if (value == NULL) {
        return false;
    }
    *text = (struct slice){json_string_value(value), json_string_length(value)};
    return true;
}

/* Copies the text, terminated, when it fits in `size` bytes. */
static bool read_text(json_t *object, const char *name, char *text, size_t size, struct error *err)
{
    struct slice value;
    if (!read_slice(object, name, &value, err)) {
        return false;
    }
    if (value.len >= size) {
        return error_set(err, "\"%s\" is longer than %zu bytes", name, size - 1);
    }
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return true;
}

/* `known` ends with a null. */
static bool check_known(json_t *object, const char *const *known, struct error *err)
{
    if (!json_is_object(object)) {
        return error_set(err, "an object is expected");
    }
    void *at = json_object_iter(object);
    for (; at != NULL; at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        const char *const *candidate = known;
        while (*candidate != NULL && strcmp(*candidate, name) != 0) {
            candidate++;
        }
        if (*candidate == NULL) {
            return error_set(err, "\"%.60s\" is not known to this program", name);
        }
    }
    return true;
}

static bool read_shard_name(const struct topology *topology, json_t *object, const char *name,
                            unsigned *shard, struct error *err)
{
    struct slice text;
    if (!read_slice(object, name, &text, err)) {
        return false;
    }
    int index = topology_find_shard(topology, text);
    if (index < 0) {
        return error_set(err, "\"%s\": there is no shard \"%.*s\"", name,
                         (int)(text.len < 64 ? text.len : 64), text.data);
    }
    *shard = (unsigned)index;
    return true;
}

static bool read_id(json_t *object, const char *name, uint64_t *id, struct error *err)
{
    struct slice text;
    if (!read_slice(object, name, &text, err)) {
        return false;
    }
    return migration_id_parse(text, id) || error_set(err, "\"%s\" must be like \"m42\"", name);
}

/* `slots` is initialised and empty. */
static bool read_slots(json_t *object, const char *name, struct slot_set *slots, struct error *err)
{
    struct slice text;
    if (!read_slice(object, name, &text, err)) {
        return false;
    }
    return slot_set_parse(slots, text, err) || error_prefix(err, "\"%s\"", name);
}

/* --- shards ------------------------------------------------------------------------------- */

static bool read_address(json_t *object, struct topology_shard *shard, struct error *err)
{
    struct slice text;
    if (!read_slice(object, "address", &text, err)) {
        return false;
    }
    return shard_address_parse(text, shard) ||
           error_set(err, "\"address\" must be \"HOST:PORT\" or \"tls:HOST:PORT\"");
}

static bool read_empty(json_t *object, bool *serve_empty, struct error *err)
{
    struct slice text;
    if (!read_slice(object, "empty", &text, err)) {
        return false;
    }
    *serve_empty = slice_equal(text, SLICE("serve"));
    return *serve_empty || slice_equal(text, SLICE("refuse")) ||
           error_set(err, "\"empty\" must be \"serve\" or \"refuse\"");
}

/* Most shards have none. */
static bool read_sentinels(json_t *object, struct topology_shard *shard, struct error *err)
{
    return json_object_get(object, "sentinels") == NULL ||
           read_text(object, "sentinels", shard->sentinels, sizeof(shard->sentinels), err);
}

static bool read_identity(json_t *object, struct shard_identity *identity, struct error *err)
{
    return read_text(object, "run_id", identity->run_id, sizeof(identity->run_id), err) &&
           read_text(object, "replid", identity->replid, sizeof(identity->replid), err);
}

static bool read_shard(json_t *object, struct topology_shard *shard, struct error *err)
{
    static const char *const known[] = {"name",   "address", "sentinels", "weight",
                                        "run_id", "replid",  "empty",     NULL};
    uint64_t weight = 0;
    *shard = (struct topology_shard){.name = ""};
    if (!check_known(object, known, err) ||
        !read_text(object, "name", shard->name, sizeof(shard->name), err) ||
        !read_address(object, shard, err) || !read_sentinels(object, shard, err) ||
        !read_bounded(object, "weight", UINT32_MAX, &weight, err) ||
        !read_identity(object, &shard->identity, err) ||
        !read_empty(object, &shard->serve_empty, err)) {
        return false;
    }
    shard->weight = (uint32_t)weight;
    return true;
}

static bool read_shards(json_t *root, struct topology *topology, struct error *err)
{
    json_t *array = member(root, "shards", JSON_ARRAY, err);
    if (array == NULL) {
        return false;
    }
    size_t count = json_array_size(array);
    if (count > TOPOLOGY_SHARDS_MAX) {
        return error_set(err, "more than %u shards", TOPOLOGY_SHARDS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        struct topology_shard shard;
        if (!read_shard(json_array_get(array, i), &shard, err)) {
            return error_prefix(err, "shards[%zu]", i);
        }
        (void)topology_add_shard(topology, &shard); /* its index is i */
    }
    return true;
}

/* --- owners ------------------------------------------------------------------------------- */

static bool give_slots(struct topology *topology, unsigned shard, const struct slot_set *slots,
                       struct error *err)
{
    for (unsigned slot = slot_set_next(slots, 0); slot < slots->nslots;
         slot = slot_set_next(slots, slot + 1)) {
        if (topology->owner[slot] != NO_OWNER) {
            return error_set(err, "slot %u is owned by \"%s\" and by \"%s\"", slot,
                             topology->shards[topology->owner[slot]].name,
                             topology->shards[shard].name);
        }
        topology->owner[slot] = (uint16_t)shard;
    }
    return true;
}

static bool read_owner(json_t *object, const char *name, struct topology *topology,
                       struct error *err)
{
    int shard = topology_find_shard(topology, slice_of(name));
    if (shard < 0) {
        return error_set(err, "there is no shard \"%.64s\"", name);
    }
    struct slot_set slots;
    slot_set_init(&slots, topology->nslots);
    bool ok =
        read_slots(object, name, &slots, err) && give_slots(topology, (unsigned)shard, &slots, err);
    slot_set_fini(&slots);
    return ok;
}

static bool read_owners(json_t *root, struct topology *topology, struct error *err)
{
    json_t *object = member(root, "slots", JSON_OBJECT, err);
    if (object == NULL) {
        return false;
    }
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        topology->owner[slot] = NO_OWNER;
    }
    void *at = json_object_iter(object);
    for (; at != NULL; at = json_object_iter_next(object, at)) {
        if (!read_owner(object, json_object_iter_key(at), topology, err)) {
            return error_prefix(err, "slots");
        }
    }
    return true; /* a slot that nobody owns is found by topology_validate */
}

/* --- migrations and debts ----------------------------------------------------------------- */

static bool read_finalize_after(json_t *object, uint64_t *finalize_after_ms, struct error *err)
{
    json_t *value = json_object_get(object, "finalize_after_ms");
    if (json_is_string(value) && strcmp(json_string_value(value), DOCUMENT_NEVER) == 0) {
        *finalize_after_ms = FINALIZE_NEVER;
        return true;
    }
    return read_number(object, "finalize_after_ms", finalize_after_ms, err);
}

static bool read_options(json_t *migration, struct migration_options *options, struct error *err)
{
#define X(field) #field,
    static const char *const known[] = {"manual_switch", "finalize_after_ms",
                                        DOCUMENT_NUMBER_OPTIONS(X) NULL};
#undef X
    json_t *object = member(migration, "options", JSON_OBJECT, err);
    return object != NULL && check_known(object, known, err) &&
           read_flag(object, "manual_switch", &options->manual_switch, err) &&
           read_finalize_after(object, &options->finalize_after_ms, err)
#define X(field) &&read_number(object, #field, &options->field, err)
               DOCUMENT_NUMBER_OPTIONS(X);
#undef X
}

static bool read_phase(json_t *object, enum phase *phase, struct error *err)
{
    struct slice text;
    if (!read_slice(object, "phase", &text, err)) {
        return false;
    }
    return phase_parse(text.data, phase) || error_set(err, "no phase \"%.40s\"", text.data);
}

static bool read_request(json_t *object, enum migration_request *request, struct error *err)
{
    struct slice text;
    if (!read_slice(object, "request", &text, err)) {
        return false;
    }
    return migration_request_parse(text.data, request) ||
           error_set(err, "no request \"%.40s\"", text.data);
}

/* Only where the slots have changed hands. */
static bool read_owner_generation(json_t *object, uint64_t *generation, struct error *err)
{
    return json_object_get(object, "owner_generation") == NULL ||
           read_number(object, "owner_generation", generation, err);
}

/* `migration->slots` is initialised and empty. */
static bool read_migration(json_t *object, const struct topology *topology,
                           struct migration *migration, struct error *err)
{
    static const char *const known[] = {
        "id",          "source",           "target", "slots", "phase",   "options",
        "entry_epoch", "generation",       "base",   "made",  "request", "verified",
        "paused",      "owner_generation", NULL};
    return check_known(object, known, err) && read_id(object, "id", &migration->id, err) &&
           read_shard_name(topology, object, "source", &migration->source, err) &&
           read_shard_name(topology, object, "target", &migration->target, err) &&
           read_slots(object, "slots", &migration->slots, err) &&
           read_phase(object, &migration->phase, err) &&
           read_number(object, "entry_epoch", &migration->entry_epoch, err) &&
           read_number(object, "generation", &migration->generation, err) &&
           read_number(object, "base", &migration->base, err) &&
           read_number(object, "made", &migration->made, err) &&
           read_number(object, "verified", &migration->verified, err) &&
           read_owner_generation(object, &migration->owner_generation, err) &&
           read_flag(object, "paused", &migration->is_paused, err) &&
           read_request(object, &migration->request, err) &&
           read_options(object, &migration->options, err);
}

/* `debt->slots` is initialised and empty. */
static bool read_debt(json_t *object, const struct topology *topology, struct purge_debt *debt,
                      struct error *err)
{
    static const char *const known[] = {"migration", "shard", "generation", "slots", NULL};
    return check_known(object, known, err) && read_id(object, "migration", &debt->migration, err) &&
           read_shard_name(topology, object, "shard", &debt->shard, err) &&
           read_number(object, "generation", &debt->generation, err) &&
           read_slots(object, "slots", &debt->slots, err);
}

/* The array, or null when it is none or longer than the topology allows. */
static json_t *bounded_array(json_t *root, const char *name, unsigned max, struct error *err)
{
    json_t *array = member(root, name, JSON_ARRAY, err);
    if (array != NULL && json_array_size(array) > max) {
        (void)error_set(err, "\"%s\" has more than %u elements", name, max);
        return NULL;
    }
    return array;
}

static bool read_migrations(json_t *root, struct topology *topology, struct error *err)
{
    json_t *array = bounded_array(root, "migrations", TOPOLOGY_MIGRATIONS_MAX, err);
    if (array == NULL) {
        return false;
    }
    size_t count = json_array_size(array);
    topology->migrations = mem_zalloc(count * sizeof(*topology->migrations));
    for (size_t i = 0; i < count; i++) {
        struct migration *migration = &topology->migrations[topology->nmigrations++];
        slot_set_init(&migration->slots, topology->nslots);
        if (!read_migration(json_array_get(array, i), topology, migration, err)) {
            return error_prefix(err, "migrations[%zu]", i);
        }
    }
    return true;
}

static bool read_debts(json_t *root, struct topology *topology, struct error *err)
{
    json_t *array = bounded_array(root, "debts", TOPOLOGY_MIGRATIONS_MAX, err);
    if (array == NULL) {
        return false;
    }
    size_t count = json_array_size(array);
    topology->debts = mem_zalloc(count * sizeof(*topology->debts));
    for (size_t i = 0; i < count; i++) {
        struct purge_debt *debt = &topology->debts[topology->ndebts++];
        slot_set_init(&debt->slots, topology->nslots);
        if (!read_debt(json_array_get(array, i), topology, debt, err)) {
            return error_prefix(err, "debts[%zu]", i);
        }
    }
    return true;
}

/* --- formers ------------------------------------------------------------------------------ */

static bool read_former(json_t *object, struct topology_shard *former, struct error *err)
{
    static const char *const known[] = {"shard", "address", "run_id", "replid", NULL};
    *former = (struct topology_shard){.name = ""};
    return check_known(object, known, err) &&
           read_text(object, "shard", former->name, sizeof(former->name), err) &&
           read_address(object, former, err) && read_identity(object, &former->identity, err);
}

/* Mostly there are none. */
static bool read_formers(json_t *root, struct topology *topology, struct error *err)
{
    if (json_object_get(root, "formers") == NULL) {
        return true;
    }
    json_t *array = bounded_array(root, "formers", TOPOLOGY_FORMERS_MAX, err);
    if (array == NULL) {
        return false;
    }
    size_t count = json_array_size(array);
    topology->formers = mem_zalloc((count + 1) * sizeof(*topology->formers));
    for (size_t i = 0; i < count; i++) {
        if (!read_former(json_array_get(array, i), &topology->formers[i], err)) {
            return error_prefix(err, "formers[%zu]", i);
        }
        topology->nformers++;
    }
    return true;
}

/* --- the whole ---------------------------------------------------------------------------- */

/* First of all: another format may mean anything, its members too. */
static bool check_format(json_t *root, struct error *err)
{
    if (!json_is_object(root)) {
        return error_set(err, "an object is expected");
    }
    uint64_t format = 0;
    if (!read_number(root, "format", &format, err)) {
        return false;
    }
    return format == TOPOLOGY_FORMAT ||
           error_set(err, "format %llu, this program knows %d: upgrade it first",
                     (unsigned long long)format, TOPOLOGY_FORMAT);
}

static struct topology *read_header(json_t *root, struct error *err)
{
    static const char *const known[] = {"format", "cluster", "epoch", "owner_epoch",
                                        "nslots", "shards",  "slots", "migrations",
                                        "debts",  "formers", NULL};
    char cluster[sizeof(((struct topology *)NULL)->cluster)];
    uint64_t nslots = 0, epoch = 0, owner_epoch = 0;
    if (!check_format(root, err) || !check_known(root, known, err) ||
        !read_text(root, "cluster", cluster, sizeof(cluster), err) ||
        !read_number(root, "epoch", &epoch, err) ||
        !read_number(root, "owner_epoch", &owner_epoch, err) ||
        !read_bounded(root, "nslots", SLOTS_MAX, &nslots, err)) {
        return NULL;
    }
    if (nslots == 0 || (nslots & (nslots - 1)) != 0) {
        (void)error_set(err, "\"nslots\" must be a power of two up to %u", SLOTS_MAX);
        return NULL;
    }
    struct topology *topology = topology_new(cluster, (unsigned)nslots);
    topology->epoch = epoch;
    topology->owner_epoch = owner_epoch;
    return topology;
}

static struct topology *read_document(json_t *root, struct error *err)
{
    struct topology *topology = read_header(root, err);
    if (topology == NULL) {
        return NULL;
    }
    uint64_t owner_epoch = topology->owner_epoch; /* adding shards changes it */
    bool ok = read_shards(root, topology, err) && read_owners(root, topology, err) &&
              read_migrations(root, topology, err) && read_debts(root, topology, err) &&
              read_formers(root, topology, err);
    topology->owner_epoch = owner_epoch;
    if (!ok || !topology_validate(topology, err)) {
        topology_free(topology);
        return NULL;
    }
    return topology;
}

struct topology *document_parse(struct slice text, struct error *err)
{
    json_error_t why;
    const char *data = text.len > 0 ? text.data : "";
    json_t *root = json_loadb(data, text.len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        (void)error_set(err, "the topology is not JSON: line %d, column %d: %s", why.line,
                        why.column, why.text);
        return NULL;
    }
    struct topology *topology = read_document(root, err);
    if (topology == NULL) {
        (void)error_prefix(err, "the topology is not valid");
    }
    json_decref(root);
    return topology;
}
