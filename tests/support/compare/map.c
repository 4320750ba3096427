#include "tests/support/compare/map.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static bool complain(const char *what, const char *detail)
{
    (void)fprintf(stderr, "compare: %s: %s\n", what, detail);
    return false;
}

unsigned map_slot_of(const struct map *map, const char *key, size_t length)
{
    const char *open = memchr(key, '{', length);
    if (open != NULL) {
        size_t rest = length - (size_t)(open - key) - 1;
        const char *close = memchr(open + 1, '}', rest);
        if (close != NULL && close != open + 1) {
            key = open + 1;
            length = (size_t)(close - key);
        }
    }
    return (unsigned)(XXH3_64bits(key, length) % map->nslots);
}

static int find_shard(const struct map *map, const char *name)
{
    for (unsigned i = 0; name != NULL && i < map->nshards; i++) {
        if (strcmp(map->shards[i].name, name) == 0) {
            return (int)i;
        }
    }
    return MAP_NOBODY;
}

static bool add_shard(struct map *map, const char *name, const char *address, bool is_in_topology)
{
    const char *colon = address != NULL ? strrchr(address, ':') : NULL;
    if (name == NULL || colon == NULL || map->nshards == MAP_SHARDS_MAX) {
        return complain("bad shard", name != NULL ? name : "(no name)");
    }
    int index = find_shard(map, name);
    if (index == MAP_NOBODY) {
        index = (int)map->nshards++;
        (void)snprintf(map->shards[index].name, sizeof(map->shards[0].name), "%s", name);
    }
    /* This tool speaks no TLS: such a shard needs a plain address on the command line. */
    if (map->shards[index].port == 0 || strncmp(map->shards[index].host, "tls:", 4) == 0) {
        (void)snprintf(map->shards[index].host, sizeof(map->shards[0].host), "%.*s",
                       (int)(colon - address), address);
        map->shards[index].port = atoi(colon + 1);
    }
    map->shards[index].is_in_topology |= is_in_topology;
    return true;
}

bool map_add_shard(struct map *map, const char *text)
{
    char name[64];
    const char *equals = strchr(text, '=');
    if (equals == NULL || (size_t)(equals - text) >= sizeof(name)) {
        return complain("not NAME=HOST:PORT", text);
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    return add_shard(map, name, equals + 1, false);
}

static bool fill_slot(const struct map *map, unsigned long slot, int *table, int value)
{
    if (slot >= map->nslots || table[slot] != MAP_NOBODY) {
        return complain("a slot stands twice, or is none", "");
    }
    table[slot] = value;
    return true;
}

/* A digit for every four slots. */
static bool fill_hex(const struct map *map, const char *digits, int *table, int value)
{
    for (unsigned long slot = 0; digits[slot / 4] != '\0'; slot++) {
        char digit[2] = {digits[slot / 4], '\0'};
        bool is_set = strtoul(digit, NULL, 16) >> (slot % 4) & 1;
        if (is_set && !fill_slot(map, slot, table, value)) {
            return false;
        }
    }
    return true;
}

/* Sets table[slot] = value for each slot of a text like "0-99,200", or "hex:0f". */
static bool fill_slots(const struct map *map, const char *text, int *table, int value)
{
    if (text != NULL && strncmp(text, "hex:", 4) == 0) {
        return fill_hex(map, text + 4, table, value);
    }
    while (text != NULL && *text != '\0') {
        char *end = NULL;
        unsigned long first = strtoul(text, &end, 10);
        unsigned long last = first;
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        if (last < first || last >= map->nslots || (*end != ',' && *end != '\0')) {
            return complain("bad slots", text);
        }
        for (unsigned long slot = first; slot <= last; slot++) {
            if (!fill_slot(map, slot, table, value)) {
                return false;
            }
        }
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool read_move(struct map *map, json_t *object, struct map_move *move, int index)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    const char *phase = json_string_value(json_object_get(object, "phase"));
    move->source = find_shard(map, json_string_value(json_object_get(object, "source")));
    move->target = find_shard(map, json_string_value(json_object_get(object, "target")));
    if (id == NULL || phase == NULL || move->source < 0 || move->target < 0) {
        return complain("bad migration", id != NULL ? id : "(no id)");
    }
    (void)snprintf(move->id, sizeof(move->id), "%s", id);
    (void)snprintf(move->phase, sizeof(move->phase), "%s", phase);
    json_int_t base = json_integer_value(json_object_get(object, "base"));
    json_int_t verified = json_integer_value(json_object_get(object, "verified"));
    move->is_complete = base == verified && base != 0 && strcmp(phase, "finalizing") != 0 &&
                        strcmp(phase, "aborting") != 0 && strcmp(phase, "planned") != 0;
    return fill_slots(map, json_string_value(json_object_get(object, "slots")), map->move, index);
}

static bool read_moves(struct map *map, json_t *moves)
{
    size_t index;
    json_t *object;
    map->nmoves = (unsigned)json_array_size(moves);
    map->moves = calloc(map->nmoves + 1, sizeof(*map->moves));
    json_array_foreach(moves, index, object)
    {
        if (!read_move(map, object, &map->moves[index], (int)index)) {
            return false;
        }
    }
    return true;
}

static bool read_shards(struct map *map, json_t *root)
{
    size_t index;
    json_t *object;
    json_array_foreach(json_object_get(root, "shards"), index, object)
    {
        if (!add_shard(map, json_string_value(json_object_get(object, "name")),
                       json_string_value(json_object_get(object, "address")), true)) {
            return false;
        }
    }
    json_array_foreach(json_object_get(root, "debts"), index, object)
    {
        int shard = find_shard(map, json_string_value(json_object_get(object, "shard")));
        if (shard >= 0) {
            map->shards[shard].has_debt = true;
        }
    }
    return true;
}

static bool read_owners(struct map *map, json_t *owners)
{
    const char *name;
    json_t *slots;
    json_object_foreach(owners, name, slots)
    {
        int shard = find_shard(map, name);
        if (shard < 0) {
            return complain("slots of an unknown shard", name);
        }
        if (!fill_slots(map, json_string_value(slots), map->owner, shard)) {
            return false;
        }
    }
    for (unsigned slot = 0; slot < map->nslots; slot++) {
        if (map->owner[slot] == MAP_NOBODY) {
            return complain("topology", "a slot has no owner");
        }
    }
    return true;
}

static bool read_document(struct map *map, json_t *root)
{
    json_int_t nslots = json_integer_value(json_object_get(root, "nslots"));
    if (nslots < 1 || nslots > 65536) {
        return complain("topology", "nslots is missing or out of range");
    }
    map->epoch = (unsigned long long)json_integer_value(json_object_get(root, "epoch"));
    map->nslots = (unsigned)nslots;
    map->owner = malloc(map->nslots * sizeof(int));
    map->move = malloc(map->nslots * sizeof(int));
    for (unsigned slot = 0; slot < map->nslots; slot++) {
        map->owner[slot] = MAP_NOBODY;
        map->move[slot] = MAP_NOBODY;
    }
    return read_shards(map, root) && read_owners(map, json_object_get(root, "slots")) &&
           read_moves(map, json_object_get(root, "migrations"));
}

/* The file of a file store with the largest epoch. */
static bool find_newest(const char *folder, char path[PATH_MAX])
{
    unsigned long long newest = 0;
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return complain("cannot read the store's folder", folder);
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        unsigned long long epoch = 0;
        int used = 0;
        if (sscanf(entry->d_name, "topology.%llu%n", &epoch, &used) == 1 &&
            entry->d_name[used] == '\0' && epoch > newest) {
            newest = epoch;
        }
    }
    (void)closedir(entries);
    (void)snprintf(path, PATH_MAX, "%s/topology.%llu", folder, newest);
    return newest > 0 || complain("no topology in", folder);
}

bool map_read(struct map *map, const char *source)
{
    char path[PATH_MAX];
    json_error_t error;
    if (strncmp(source, "file:", 5) == 0) {
        if (!find_newest(source + 5, path)) {
            return false;
        }
    } else {
        (void)snprintf(path, sizeof(path), "%s", source);
    }
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL) {
        return complain(path, error.text);
    }
    bool is_good = read_document(map, root);
    json_decref(root);
    return is_good;
}

void map_free(struct map *map)
{
    free(map->owner);
    free(map->move);
    free(map->moves);
}
