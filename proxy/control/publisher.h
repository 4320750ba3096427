/* The control connection to one shard: says there which epoch this proxy has adopted, kills the
 * connections that its workers gave up, and asks what the server knows.
 *
 * Publishing epoch e on a shard says: no request dispatched under an older epoch to a slot that
 * changed is in flight on this shard any more, on any worker. A barrier waits for that. DESIGN.md
 * section 4, "Adopting an epoch". One thread: the control thread. */
#ifndef PROXY_CONTROL_PUBLISHER_H
#define PROXY_CONTROL_PUBLISHER_H

#include "proxy/backend/backend.h"
#include "proxy/client/fleet_facts.h"

struct publisher;

struct publisher_events {
    /* The fence is absent or names another process, as of backend_hello; seen after hello. */
    void (*on_unfenced)(void *context, const char *shard);
    /* A shard that had let us in has lost its fence: whoever has a connection is to close it. */
    void (*on_fence_lost)(void *context, const char *shard);
    /* The connection that this worker gave up is certainly dead. */
    void (*on_killed)(void *context, unsigned worker, const char *shard, uint64_t connection_id);
    /* The bytes of the server's replies to COMMAND and INFO server, after each connect. */
    void (*on_learnt)(void *context, struct slice command_reply, struct slice info_reply);
    /* The reply to INFO replication, which was asked for while the present epoch was adopted. */
    void (*on_replication)(void *context, unsigned shard, uint64_t asked_us, struct slice reply);
    /* publisher_facts are there, for the first time on this connection. */
    void (*on_surveyed)(void *context);
    void *context;
};

struct publisher *publisher_new(const struct backend_shared *shared, unsigned nworkers,
                                const struct publisher_events *events);
void publisher_free(struct publisher *publisher);
void publisher_set_target(struct publisher *publisher, unsigned index,
                          const struct topology_shard *shard, const struct endpoint *endpoint);
/* A new epoch was adopted: what the fence refused may pass now. */
void publisher_retry(struct publisher *publisher);
void publisher_tick(struct publisher *publisher, uint64_t now_us);

void publisher_drained(struct publisher *publisher, unsigned worker, uint64_t epoch);
void publisher_kill(struct publisher *publisher, unsigned worker,
                    const struct shard_identity *process, uint64_t connection_id);

/* Asks the shard how it is; when it has answered, publisher_facts tell. Asks no more than one at a
 * time. */
void publisher_survey(struct publisher *publisher);
/* Null: it has not said, or is not there. */
const struct fleet_facts *publisher_facts(const struct publisher *publisher);

/* Asks about its replication; on_replication tells. Asks no more than one at a time. */
void publisher_ask_replication(struct publisher *publisher);

const char *publisher_shard(const struct publisher *publisher);
bool publisher_is_ready(const struct publisher *publisher);
uint64_t publisher_published(const struct publisher *publisher);

#endif
