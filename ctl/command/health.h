/* What a shard says about itself right now: can it be reached, is it the process that the topology
 * names, does its fence stand, how many keys has it. Blocking. */
#ifndef CTL_COMMAND_HEALTH_H
#define CTL_COMMAND_HEALTH_H

#include "lib/shard/shard.h"
#include "lib/topology/topology.h"

#define HEALTH_TIMEOUT_MS 2000

enum health_state {
    HEALTH_UP,
    HEALTH_UNREACHABLE,
    HEALTH_OTHER_PROCESS, /* not the one the topology names */
    HEALTH_UNFENCED,      /* no fence, or another cluster's, shard's or process' */
};

struct health {
    enum health_state state;
    uint64_t keys; /* DBSIZE without Sluice's own; 0 unless it answered */
    bool has_keys;
    struct error why; /* unless HEALTH_UP: what is wrong, and what to do */
};

/* "up", "unreachable", "other-process", "unfenced". */
const char *health_state_name(enum health_state state);

/* Opens a link and asks. The link is returned only when the shard is up and `link` is not null; the
 * caller closes it. */
void health_look(const struct topology *topology, unsigned shard, struct health *health,
                 struct shard_link **link);

#endif
