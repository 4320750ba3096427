/* What can go wrong in a cluster, begun and ended again: processes that die and hang, links that
 * are cut, slow and reset, shards without memory, scripts or time. Main thread only. */
#ifndef TESTS_SUPPORT_CHAOS_FAULTS_H
#define TESTS_SUPPORT_CHAOS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/random.h"
#include "tests/support/cluster.h"

struct fault_place {
    struct cluster *cluster;
    unsigned shards, proxies;
    unsigned victim;  /* drawn: which proxy or shard */
    unsigned shard;   /* drawn: at the other end of the link */
    const char *peer; /* drawn: "p1", "migrator" or null for everybody */
    char peer_text[16];
    uint64_t duration_ms; /* drawn */
    void *state;          /* of the fault while it lasts */
};

struct fault {
    const char *name;
    uint64_t min_ms, max_ms; /* how long it lasts */
    void (*begin)(struct fault_place *place);
    void (*end)(struct fault_place *place);
};

/* Ended by a fault without a name. */
extern const struct fault faults[];
const struct fault *fault_find(const char *name);

/* Draws everything that is drawn. */
void fault_draw(struct fault_place *place, const struct fault *fault, struct random *random);
/* "stop-proxy p2", as far as it says something. */
void fault_describe(const struct fault *fault, const struct fault_place *place, char *text,
                    unsigned size);

#endif
