/* What a shard says about itself right now: can it be reached, is it the process that the topology
 * names, does its fence stand, how many keys has it. Blocking. */
#ifndef CTL_COMMAND_PROBE_H
#define CTL_COMMAND_PROBE_H

#include "lib/shard/shard.h"
#include "lib/topology/topology.h"

#define PROBE_TIMEOUT_MS 2000

enum probe_state {
    PROBE_UP,
    PROBE_UNREACHABLE,
    PROBE_OTHER_PROCESS, /* not the one the topology names */
    PROBE_UNFENCED,      /* no fence, or another cluster's, shard's or process' */
};

struct probe {
    enum probe_state state;
    uint64_t keys; /* DBSIZE; 0 unless it answered */
    bool has_keys;
    struct error why; /* unless PROBE_UP: what is wrong, and what to do */
};

/* "up", "unreachable", "other-process", "unfenced". */
const char *probe_state_name(enum probe_state state);

/* Opens a link and asks. The link is returned only when the shard is up and `link` is not null; the
 * caller closes it. */
void probe_shard(const struct topology *topology, unsigned shard, struct probe *probe,
                 struct shard_link **link);

#endif
