/* The consistent-hash ring with bounded loads, from which the first placement and every rebalance
 * come. Each shard owns weight x RING_VNODES / 100 points at XXH3 of "name#i"; a slot sits at XXH3
 * of its number (8 bytes, little-endian) and goes clockwise to the first shard that is not full; a
 * shard is full at (1 + epsilon) of its fair share by weight.
 * Karger et al. 1997; Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads",
 * 2016. Pure. */
#ifndef LIB_TOPOLOGY_RING_H
#define LIB_TOPOLOGY_RING_H

#include "lib/topology/topology.h"

#define RING_VNODES  160 /* points of a shard of weight 100 */
#define RING_EPSILON 0.05

/* Fills owner[0, nslots) with shard indexes; shards with is_candidate[i] false own no points
 * (null: all are candidates). At least one is. */
void ring_place(const struct topology *topology, const bool *is_candidate, uint16_t *owner);

/* The most slots that a shard takes among these candidates: (1 + epsilon) of its fair share. */
unsigned ring_bound(const struct topology *topology, const bool *is_candidate, unsigned shard);
/* Where a slot sits on the ring: an order that has nothing to do with slot numbers. */
uint64_t ring_position(unsigned slot);

#endif
