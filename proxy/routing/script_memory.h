/* What a worker remembers of scripts: that a shard has one, that one is kept. A memory of fixed
 * size that forgets when it is full, when the shards change, and on demand; to have forgotten costs
 * a question, to be wrong costs an error that is seen and healed (script_call.c). One thread. */
#ifndef PROXY_ROUTING_SCRIPT_MEMORY_H
#define PROXY_ROUTING_SCRIPT_MEMORY_H

#include "proxy/routing/router.h"

/* The shard has the script of this SHA-1 (lower case). */
bool script_is_loaded(const struct router *router, unsigned shard, struct slice sha);
void script_note_loaded(struct router *router, unsigned shard, struct slice sha);

enum script_keeping {
    SCRIPT_UNKNOWN,
    SCRIPT_KEPT_ONCE, /* a while ago: somebody may have flushed it since */
    SCRIPT_KEPT
};

/* Whether the script with this body is among those kept on the shards. */
enum script_keeping script_keeping(const struct router *router, struct slice body);
void script_note_kept(struct router *router, struct slice body);

void script_forget_all(struct router *router);

#endif
