#include "migrator/run/formers.h"

#include "lib/base/log.h"
#include "lib/cluster/former.h"

void formers_try_next(struct store *store, const struct topology *topology, unsigned *turn)
{
    struct error err;
    if (topology->nformers == 0) {
        return;
    }
    const struct topology_shard *former = &topology->formers[(*turn)++ % topology->nformers];
    if (!former_close(store, former, &err) || !former_forget(store, former, &err)) {
        log_debug("former primary cannot be closed yet shard=%s why=\"%s\"", former->name,
                  err.text);
    }
}
