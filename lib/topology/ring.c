#include "lib/topology/ring.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

struct point {
    uint64_t position;
    unsigned shard;
};

struct ring {
    struct point *points; /* sorted by position */
    size_t npoints;
};

uint64_t ring_position(unsigned slot)
{
    unsigned char number[8];
    for (unsigned i = 0; i < sizeof(number); i++) {
        number[i] = (unsigned char)((uint64_t)slot >> (8 * i));
    }
    return XXH3_64bits(number, sizeof(number));
}

static bool is_candidate_at(const bool *is_candidate, unsigned shard)
{
    return is_candidate == NULL || is_candidate[shard];
}

static unsigned points_of(const struct topology_shard *shard)
{
    unsigned points = shard->weight * RING_VNODES / 100;
    return points > 0 ? points : 1;
}

static int compare_points(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    if (a->position != b->position) {
        return a->position < b->position ? -1 : 1;
    }
    return (a->shard > b->shard) - (a->shard < b->shard);
}

static void add_points(struct ring *ring, const struct topology_shard *shard, unsigned index)
{
    for (unsigned i = 0; i < points_of(shard); i++) {
        char text[SHARD_NAME_MAX + 16];
        int length = snprintf(text, sizeof(text), "%s#%u", shard->name, i);
        ASSERT(length > 0 && (size_t)length < sizeof(text));
        ring->points[ring->npoints++] =
            (struct point){.position = XXH3_64bits(text, (size_t)length), .shard = index};
    }
}

static void ring_init(struct ring *ring, const struct topology *topology, const bool *is_candidate)
{
    size_t total = 0;
    for (unsigned i = 0; i < topology->nshards; i++) {
        total += is_candidate_at(is_candidate, i) ? points_of(&topology->shards[i]) : 0;
    }
    ASSERT(total > 0);
    *ring = (struct ring){.points = mem_alloc(total * sizeof(*ring->points))};
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (is_candidate_at(is_candidate, i)) {
            add_points(ring, &topology->shards[i], i);
        }
    }
    qsort(ring->points, ring->npoints, sizeof(*ring->points), compare_points);
}

/* The first point at or behind the position, around the ring. */
static size_t find_point(const struct ring *ring, uint64_t position)
{
    size_t low = 0, high = ring->npoints;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring->points[middle].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < ring->npoints ? low : 0;
}

unsigned ring_bound(const struct topology *topology, const bool *is_candidate, unsigned shard)
{
    ASSERT(is_candidate_at(is_candidate, shard));
    double weight = topology->shards[shard].weight;
    double total = 0;
    for (unsigned i = 0; i < topology->nshards; i++) {
        total += is_candidate_at(is_candidate, i) ? topology->shards[i].weight : 0;
    }
    return (unsigned)ceil(topology->nslots * weight / total * (1 + RING_EPSILON));
}

void ring_place(const struct topology *topology, const bool *is_candidate, uint16_t *owner)
{
    struct ring ring;
    ring_init(&ring, topology, is_candidate);
    unsigned *room = mem_zalloc(topology->nshards * sizeof(*room));
    for (unsigned i = 0; i < topology->nshards; i++) {
        room[i] = is_candidate_at(is_candidate, i) ? ring_bound(topology, is_candidate, i) : 0;
    }
    for (unsigned slot = 0; slot < topology->nslots; slot++) {
        size_t at = find_point(&ring, ring_position(slot));
        /* The bounds add up to more than all slots, so somebody has room. */
        while (room[ring.points[at].shard] == 0) {
            at = (at + 1) % ring.npoints;
        }
        owner[slot] = (uint16_t)ring.points[at].shard;
        room[owner[slot]]--;
    }
    mem_free(room);
    mem_free(ring.points);
}
