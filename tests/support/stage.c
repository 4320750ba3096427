#include "tests/support/stage.h"

#include <stddef.h>

struct cluster *cluster;
struct duel *duel;
struct redis_server *plain_redis;

int stage_set_beside_plain(void **state)
{
    (void)state;
    cluster = cluster_start(&(const struct cluster_options){.shards = 2});
    plain_redis = redis_server_start(NULL);
    return 0;
}

int stage_clear(void **state)
{
    (void)state;
    duel_stop(duel);
    duel = NULL;
    cluster_stop(cluster);
    cluster = NULL;
    redis_server_stop(plain_redis);
    plain_redis = NULL;
    process_stop_all();
    return 0;
}

int stage_close_clients(void **state)
{
    (void)state;
    duel_close_clients(duel);
    return 0;
}
