#include "tests/support/stage.h"

#include <stddef.h>

struct cluster *cluster;
struct duel *duel;

int stage_clear(void **state)
{
    (void)state;
    duel_stop(duel);
    duel = NULL;
    cluster_stop(cluster);
    cluster = NULL;
    process_stop_all();
    return 0;
}

int stage_close_clients(void **state)
{
    (void)state;
    duel_close_clients(duel);
    return 0;
}
