#include "ctl/command/shards.h"

#include "ctl/command/health.h"
#include "ctl/output/table.h"

static json_t *shard_view(const struct topology *topology, unsigned index)
{
    const struct topology_shard *shard = &topology->shards[index];
    struct health health;
    health_look(topology, index, &health, NULL);

    char address[SHARD_ADDRESS_MAX];
    shard_address_format(shard, address);
    json_t *view = json_object();
    set_text(view, "name", shard->name);
    set_text(view, "address", address);
    if (shard->sentinels[0] != '\0') {
        set_text(view, "sentinels", shard->sentinels);
    }
    set_number(view, "weight", shard->weight);
    set_number(view, "slots", topology_slots_owned(topology, index));
    set_text(view, "state", health_state_name(health.state));
    set_flag(view, "reachable", health.state != HEALTH_UNREACHABLE);
    if (health.has_keys) {
        set_number(view, "keys", health.keys);
    }
    if (health.state != HEALTH_UP) {
        set_text(view, "why", health.why.text);
    }
    return view;
}

json_t *shards_view(const struct topology *topology)
{
    json_t *shards = json_array();
    for (unsigned i = 0; i < topology->nshards; i++) {
        (void)json_array_append_new(shards, shard_view(topology, i));
    }
    return shards;
}

void shards_print(const json_t *shards, FILE *out)
{
    struct table *table = table_new("SHARD|ADDRESS|>WEIGHT|>SLOTS|>KEYS|STATE");
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        char keys[24] = "?";
        if (json_object_get(shard, "keys") != NULL) {
            (void)snprintf(keys, sizeof(keys), "%llu",
                           (unsigned long long)view_number(shard, "keys"));
        }
        const char *why = view_text(shard, "why");
        table_cell(table, "%s", view_text(shard, "name"));
        table_cell(table, "%s", view_text(shard, "address"));
        table_cell(table, "%llu", (unsigned long long)view_number(shard, "weight"));
        table_cell(table, "%llu", (unsigned long long)view_number(shard, "slots"));
        table_cell(table, "%s", keys);
        table_cell(table, "%s%s%s", view_text(shard, "state"), why[0] != '\0' ? ": " : "", why);
    }
    table_print(table, out);
    table_free(table);
}

json_t *formers_view(const struct topology *topology)
{
    json_t *formers = json_array();
    for (unsigned i = 0; i < topology->nformers; i++) {
        const struct topology_shard *former = &topology->formers[i];
        char address[SHARD_ADDRESS_MAX];
        json_t *view = json_object();
        shard_address_format(former, address);
        set_text(view, "shard", former->name);
        set_text(view, "address", address);
        (void)json_array_append_new(formers, view);
    }
    return formers;
}

void formers_print(const json_t *formers, FILE *out)
{
    size_t i;
    json_t *former;
    json_array_foreach(formers, i, former)
    {
        (void)fprintf(out,
                      "former primary of %s at %s: not closed, it did not answer; the migrator "
                      "tries again\n",
                      view_text(former, "shard"), view_text(former, "address"));
    }
}
