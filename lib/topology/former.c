#include "lib/base/memory.h"
#include "lib/topology/topology.h"

static void remove_former(struct topology *next, unsigned index)
{
    next->nformers--;
    memmove(&next->formers[index], &next->formers[index + 1],
            (next->nformers - index) * sizeof(*next->formers));
}

void topology_remember_former(struct topology *next, const struct topology_shard *shard)
{
    if (shard->identity.run_id[0] == '\0' || topology_find_former(next, &shard->identity) >= 0) {
        return;
    }
    if (next->nformers == TOPOLOGY_FORMERS_MAX) {
        remove_former(next, 0);
    }
    next->formers = mem_realloc(next->formers, (next->nformers + 1) * sizeof(*next->formers));
    next->formers[next->nformers++] = *shard;
}

int topology_find_former(const struct topology *topology, const struct shard_identity *identity)
{
    for (unsigned i = 0; i < topology->nformers; i++) {
        if (strcmp(topology->formers[i].identity.run_id, identity->run_id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool topology_forget_former(struct topology *next, const struct shard_identity *identity)
{
    int index = topology_find_former(next, identity);
    if (index >= 0) {
        remove_former(next, (unsigned)index);
    }
    return index >= 0;
}

void topology_forget_formers_of(struct topology *next, const char *shard_name)
{
    for (unsigned i = next->nformers; i-- > 0;) {
        if (strcmp(next->formers[i].name, shard_name) == 0) {
            remove_former(next, i);
        }
    }
}
