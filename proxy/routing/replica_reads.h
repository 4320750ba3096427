/* What replicas answer instead of their primary: reads that may lag (request->may_lag) by
 * replica_lag_max, of slots that are in no migration.
 *
 *   read ---> replica:  read, read, ...    of one turn
 *                       HMGET fence        the proof, behind them
 *        <--- replies wait for the proof
 *
 * No barrier reaches a replica's connections, and what is read there is refused by nobody. So
 * nothing that it answers is passed on unless all of this holds:
 *   - the fence, as the replica had it after the reads, names the topology's process and no larger
 *     epoch: what was read is of this shard, and older than the next barrier on it. Whatever is
 *     removed from a shard is removed behind a barrier;
 *   - the replica had, since the present epoch was adopted here, all that its primary had: a slot
 *     that came to the shard before is whole;
 *   - that was not longer ago than replica_lag_max when the proof came;
 *   - the epoch has not changed meanwhile: an adoption closes all connections to replicas.
 * What cannot be passed on, an error too, is asked of the primary. One thread. */
#ifndef PROXY_ROUTING_REPLICA_READS_H
#define PROXY_ROUTING_REPLICA_READS_H

#include "proxy/routing/router.h"

struct replica_reads;

struct replica_reads *replica_reads_new(struct router *router);
/* What is under way goes to the primaries; the router must not find `reads` any more. */
void replica_reads_free(struct replica_reads *reads);
/* The time-outs or the bound have changed. */
void replica_reads_tune(struct replica_reads *reads);

/* True: the request will be done. False: no replica can be asked now. */
bool replica_reads_send(struct replica_reads *reads, struct request *request, unsigned shard,
                        struct slice bytes);
void replica_reads_take(struct replica_reads *reads, const struct replica_list *list);
/* A newer topology has been adopted, and rules. What is under way goes to the primaries. */
void replica_reads_adopt(struct replica_reads *reads);
void replica_reads_tick(struct replica_reads *reads);

#endif
