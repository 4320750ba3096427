/* Topologies for tests. */
#ifndef TESTS_SUPPORT_SAMPLE_TOPOLOGY_H
#define TESTS_SUPPORT_SAMPLE_TOPOLOGY_H

#include "lib/base/random.h"
#include "lib/topology/topology.h"

#define SAMPLE_CLUSTER "0123456789abcdef0123456789abcdef"

/* Shards "s1", "s2", ... at 127.0.0.1:7001, ...; slot n is owned by shard n % nshards. Epoch 1. */
struct topology *sample_topology(unsigned nshards, unsigned nslots);
void sample_add_shard(struct topology *topology, const char *name);
/* What no program does. */
void sample_remove_slot(struct slot_set *set, unsigned slot);
/* An edge of the drawing in migration_state.h. */
bool sample_edge_is_drawn(enum phase from, enum phase to);
/* An identity made from a number, the same for the same number. */
struct shard_identity sample_identity(unsigned number);
/* What the store would hold after `changes` random changes of every kind; frees `topology`. */
struct topology *sample_change_randomly(struct topology *topology, struct random *random,
                                        unsigned changes);

/* True when the function ends the process by abort(3): for ASSERTs. */
bool sample_aborts(void (*function)(void *context), void *context);

#endif
