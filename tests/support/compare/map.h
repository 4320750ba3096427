/* Which slot belongs where, read from the topology's JSON by code of its own (nothing of lib/). */
#ifndef TESTS_SUPPORT_COMPARE_MAP_H
#define TESTS_SUPPORT_COMPARE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#define MAP_SHARDS_MAX 64
#define MAP_NOBODY     (-1)

struct map_move {
    char id[32];
    int source, target; /* indexes into shards */
    char phase[32];
    bool is_complete; /* every key must be on both shards, and equal */
};

struct map {
    unsigned long long epoch;
    unsigned nslots;
    unsigned nshards;

    struct {
        char name[64];
        char host[256];
        int port;
        bool is_in_topology;
        bool has_debt; /* leftovers of a purge that could not be done are allowed */
    } shards[MAP_SHARDS_MAX];

    int *owner; /* [nslots] shard, or MAP_NOBODY */
    int *move;  /* [nslots] index into moves, or MAP_NOBODY */
    unsigned nmoves;
    struct map_move *moves;
};

/* `source`: "file:DIR" of a file store, or the path of a topology document. False with a message on
 * standard error. */
bool map_read(struct map *map, const char *source);
void map_free(struct map *map);
/* "NAME=HOST:PORT": a shard that may not be in the topology. */
bool map_add_shard(struct map *map, const char *text);
/* The slot of a key, by the hash tag's rule. */
unsigned map_slot_of(const struct map *map, const char *key, size_t length);

#endif
