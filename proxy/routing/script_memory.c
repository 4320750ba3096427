#include "proxy/routing/script_memory.h"

#include <xxhash.h>

#include "lib/base/memory.h"
#include "proxy/routing/router_internal.h"

#define PLACES    4096u /* a power of two; 64 kB a worker that has clients with scripts */
#define FRESH_US  2000000u
#define SEED_BODY UINT64_MAX

struct place {
    uint64_t key; /* a hash; 0: free */
    uint64_t noted_at_us;
};

struct script_memory {
    struct place places[PLACES];
};

/* What was true of the shards before an owner or a process changed is not known to be true now. */
static uint64_t make_key(const struct router *router, struct slice text, uint64_t seed)
{
    uint64_t epoch = router_snapshot(router)->topology->owner_epoch;
    uint64_t key = XXH3_64bits_withSeed(text.data, text.len, seed ^ epoch << 20);
    return key == 0 ? 1 : key;
}

static const struct place *find(const struct router *router, uint64_t key)
{
    if (router->scripts == NULL) {
        return NULL;
    }
    const struct place *place = &router->scripts->places[key % PLACES];
    return place->key == key ? place : NULL;
}

static void note(struct router *router, uint64_t key)
{
    if (router->scripts == NULL) {
        router->scripts = mem_zalloc(sizeof(*router->scripts));
    }
    router->scripts->places[key % PLACES] = (struct place){key, router_now_us(router)};
}

bool script_is_loaded(const struct router *router, unsigned shard, struct slice sha)
{
    return find(router, make_key(router, sha, shard)) != NULL;
}

void script_note_loaded(struct router *router, unsigned shard, struct slice sha)
{
    note(router, make_key(router, sha, shard));
}

enum script_keeping script_keeping(const struct router *router, struct slice body)
{
    const struct place *place = find(router, make_key(router, body, SEED_BODY));
    if (place == NULL) {
        return SCRIPT_UNKNOWN;
    }
    return router_now_us(router) > place->noted_at_us + FRESH_US ? SCRIPT_KEPT_ONCE : SCRIPT_KEPT;
}

void script_note_kept(struct router *router, struct slice body)
{
    note(router, make_key(router, body, SEED_BODY));
}

void script_forget_all(struct router *router)
{
    mem_free(router->scripts);
    router->scripts = NULL;
}
