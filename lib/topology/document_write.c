#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/topology/document.h"
#include "lib/topology/document_internal.h"

typedef void slots_format_fn(const struct slot_set *slots, struct buffer *text);

static void put(json_t *object, const char *name, json_t *value)
{
    ASSERT(value != NULL);
    int failed = json_object_set_new_nocheck(object, name, value);
    ASSERT(!failed);
}

static void put_number(json_t *object, const char *name, uint64_t number)
{
    put(object, name, json_integer((json_int_t)number));
}

static void put_text(json_t *object, const char *name, const char *text)
{
    put(object, name, json_string(text));
}

static void put_id(json_t *object, const char *name, uint64_t id)
{
    char text[MIGRATION_ID_TEXT_MAX];
    migration_id_format(id, text);
    put_text(object, name, text);
}

static void put_slots(json_t *object, const char *name, const struct slot_set *slots,
                      slots_format_fn *format)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    format(slots, &text);
    struct slice slice = buffer_slice(&text);
    put(object, name, json_stringn(slice.data, slice.len));
    buffer_fini(&text);
}

static json_t *shard_to_json(const struct topology_shard *shard)
{
    json_t *object = json_object();
    char address[SHARD_ADDRESS_MAX];
    shard_address_format(shard, address);
    put_text(object, "name", shard->name);
    put_text(object, "address", address);
    if (shard->sentinels[0] != '\0') {
        put_text(object, "sentinels", shard->sentinels);
    }
    put_number(object, "weight", shard->weight);
    put_text(object, "run_id", shard->identity.run_id);
    put_text(object, "replid", shard->identity.replid);
    put_text(object, "empty", shard->serve_empty ? "serve" : "refuse");
    return object;
}

static json_t *shards_to_json(const struct topology *topology)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < topology->nshards; i++) {
        int failed = json_array_append_new(array, shard_to_json(&topology->shards[i]));
        ASSERT(!failed);
    }
    return array;
}

static json_t *owners_to_json(const struct topology *topology, slots_format_fn *format)
{
    struct slot_set *owned = mem_alloc(topology->nshards * sizeof(*owned));
    for (unsigned i = 0; i < topology->nshards; i++) {
        slot_set_init(&owned[i], topology->nslots);
    }
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        slot_set_add(&owned[topology->owner[slot]], slot);
    }
    json_t *object = json_object();
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (slot_set_count(&owned[i]) > 0) {
            put_slots(object, topology->shards[i].name, &owned[i], format);
        }
        slot_set_fini(&owned[i]);
    }
    mem_free(owned);
    return object;
}

static json_t *options_to_json(const struct migration_options *options)
{
    json_t *object = json_object();
    put(object, "manual_switch", json_boolean(options->manual_switch));
    if (options->finalize_after_ms == FINALIZE_NEVER) {
        put_text(object, "finalize_after_ms", DOCUMENT_NEVER);
    } else {
        put_number(object, "finalize_after_ms", options->finalize_after_ms);
    }
#define X(field) put_number(object, #field, options->field);
    DOCUMENT_NUMBER_OPTIONS(X)
#undef X
    return object;
}

static json_t *migration_to_json(const struct topology *topology, const struct migration *migration,
                                 slots_format_fn *format)
{
    json_t *object = json_object();
    put_id(object, "id", migration->id);
    put_text(object, "source", topology->shards[migration->source].name);
    put_text(object, "target", topology->shards[migration->target].name);
    put_slots(object, "slots", &migration->slots, format);
    put_text(object, "phase", phase_name(migration->phase));
    put_number(object, "entry_epoch", migration->entry_epoch);
    put_number(object, "generation", migration->generation);
    put_number(object, "base", migration->base);
    put_number(object, "made", migration->made);
    put_number(object, "verified", migration->verified);
    if (migration->owner_generation > 0) {
        put_number(object, "owner_generation", migration->owner_generation);
    }
    put(object, "paused", json_boolean(migration->is_paused));
    put_text(object, "request", migration_request_name(migration->request));
    put(object, "options", options_to_json(&migration->options));
    return object;
}

static json_t *migrations_to_json(const struct topology *topology, slots_format_fn *format)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        json_t *object = migration_to_json(topology, &topology->migrations[i], format);
        int failed = json_array_append_new(array, object);
        ASSERT(!failed);
    }
    return array;
}

static json_t *debts_to_json(const struct topology *topology, slots_format_fn *format)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < topology->ndebts; i++) {
        const struct purge_debt *debt = &topology->debts[i];
        json_t *object = json_object();
        put_id(object, "migration", debt->migration);
        put_text(object, "shard", topology->shards[debt->shard].name);
        put_number(object, "generation", debt->generation);
        put_slots(object, "slots", &debt->slots, format);
        int failed = json_array_append_new(array, object);
        ASSERT(!failed);
    }
    return array;
}

static json_t *formers_to_json(const struct topology *topology)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < topology->nformers; i++) {
        const struct topology_shard *former = &topology->formers[i];
        json_t *object = json_object();
        char address[SHARD_ADDRESS_MAX];
        shard_address_format(former, address);
        put_text(object, "shard", former->name);
        put_text(object, "address", address);
        put_text(object, "run_id", former->identity.run_id);
        put_text(object, "replid", former->identity.replid);
        int failed = json_array_append_new(array, object);
        ASSERT(!failed);
    }
    return array;
}

static int append_to_buffer(const char *data, size_t size_bytes, void *buffer)
{
    buffer_add(buffer, data, size_bytes);
    return 0;
}

static void assert_valid(const struct topology *topology)
{
    struct error err;
    bool is_valid = topology_validate(topology, &err);
    if (!is_valid) {
        log_error("topology would be written invalid why=\"%s\"", err.text);
    }
    ASSERT(is_valid);
}

static void format_document(const struct topology *topology, slots_format_fn *format,
                            struct buffer *text)
{
    assert_valid(topology);
    json_t *root = json_object();
    put_number(root, "format", TOPOLOGY_FORMAT);
    put_text(root, "cluster", topology->cluster);
    put_number(root, "epoch", topology->epoch);
    put_number(root, "owner_epoch", topology->owner_epoch);
    put_number(root, "nslots", topology->nslots);
    put(root, "shards", shards_to_json(topology));
    put(root, "slots", owners_to_json(topology, format));
    put(root, "migrations", migrations_to_json(topology, format));
    put(root, "debts", debts_to_json(topology, format));
    if (topology->nformers > 0) {
        put(root, "formers", formers_to_json(topology));
    }
    int failed = json_dump_callback(root, append_to_buffer, text, JSON_INDENT(2));
    ASSERT(!failed);
    buffer_add_text(text, "\n");
    json_decref(root);
}

void document_format(const struct topology *topology, struct buffer *text)
{
    format_document(topology, slot_set_format_hex, text);
}

void document_format_readable(const struct topology *topology, struct buffer *text)
{
    format_document(topology, slot_set_format, text);
}
